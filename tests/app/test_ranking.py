"""The ranking form: what it says is what is stored, and what cannot be is said before anything is."""

from __future__ import annotations

import json
import re
import uuid
from html import unescape
from typing import Any

import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from annotation.db import Database
from annotation.ranking import Ranking as Order
from annotation.ranking import weak_orders
from annotation.store import campaigns, imports, people, rankings
from annotation.tables import Assignment, AssignmentState, Campaign, PriorityRule, Ranking, Turn, TurnState
from app import forms
from tests.app.conftest import Browse
from tests.conftest import Cast
from tests.material import dialogue, ranked

FRAGMENT = {"HX-Request": "true"}


@pytest.fixture
def turns(database: Database, campaign: Campaign) -> None:
    with database.writing() as session:
        imports.add(session, campaign, [dialogue(f"d{i}", turns=2) for i in range(3)], source="t", actor_id=None)


def next_turn(client: TestClient, campaign: Campaign) -> str:
    """Opens the next turn and returns its path."""
    answer = client.post(f"/rank/{campaign.id}/next")
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def assignment_of(database: Database, path: str) -> Assignment:
    with database.reading() as session:
        return session.get_one(Assignment, int(path.rpartition("/")[2]))


def form_for(database: Database, path: str, ranking: Order, **more: str) -> dict[str, Any]:
    """The form that says this ranking of the responses, in the letters as they are shown."""
    fields = forms.write_fields(ranking, assignment_of(database, path).response_order)
    return {**fields, "key": uuid.uuid4().hex, "acts": "9", "active": "31", **more}


def stored(database: Database) -> list[Ranking]:
    with database.reading() as session:
        return list(session.scalars(select(Ranking).order_by(Ranking.id)))


FITTING = ranked("D > B = A > C", 1, 9)


@pytest.mark.usefixtures("turns")
def test_a_ranking_goes_through_the_form_and_the_next_turn_opens(
    browse: Browse, database: Database, campaign: Campaign
) -> None:
    client = browse("li")
    path = next_turn(client, campaign)
    page = client.get(path).text
    assert all(f"d0 回答1{name}" in page for name in "甲乙丙丁")
    answer = client.post(f"{path}/ranking", data=form_for(database, path, FITTING), headers=FRAGMENT)
    assert answer.json() == {"next": f"/rank/{campaign.id}/next", "late": False}
    [kept] = stored(database)
    assert rankings.read(kept) == FITTING
    assert (kept.active_seconds, kept.guideline.version) == (31.0, 1)
    assert next_turn(client, campaign) != path


@pytest.mark.usefixtures("turns")
def test_without_script_the_form_works_too(browse: Browse, database: Database, campaign: Campaign) -> None:
    client = browse("li")
    path = next_turn(client, campaign)
    answer = client.post(f"{path}/ranking", data=form_for(database, path, FITTING))
    assert answer.status_code == 303
    after = client.get(answer.headers["location"]).text
    assert "Your ranking is stored" in after
    assert f'action="/rank/{campaign.id}/next"' in after


@pytest.mark.parametrize("ties", [False, True], ids=["24 strict orders", "75 weak orders"])
def test_every_order_goes_through_the_form_unchanged_whatever_order_is_shown(ties: bool) -> None:
    shown_orders = [[0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 1, 0]]
    for order in weak_orders(4, ties=ties):
        given = Order(order, ranked_boundaries(len(order) - 1), {2: frozenset({forms.Ability(4)})})
        for shown in shown_orders:
            read, unplaced = forms.read_ranking(forms.write_fields(given, shown), shown)
            assert (read, unplaced) == (given, ())


def ranked_boundaries(count: int) -> tuple[Any, ...]:
    return ranked(" > ".join("ABCD"[: count + 1]), *range(1, count + 1)).boundaries if count else ()


@pytest.mark.usefixtures("turns")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"place-a": ""}, "Not placed yet: A."),
        ({"ability-1": ""}, "What decides below place 1?"),
        ({"acts": "1"}, "Is it what you mean?"),
    ],
)
def test_what_is_missing_is_said_and_nothing_is_stored(
    browse: Browse, database: Database, campaign: Campaign, changes: dict[str, str], said: str
) -> None:
    client = browse("li")
    path = next_turn(client, campaign)
    form = form_for(database, path, ranked("A > B > C > D", 1, 2, 3)) | changes
    for headers in (FRAGMENT, {}):
        answer = client.post(f"{path}/ranking", data=form, headers=headers)
        assert answer.status_code == 422
        assert said in unescape(answer.text)
    assert stored(database) == []


@pytest.mark.usefixtures("turns")
def test_an_order_placed_in_too_few_acts_is_stored_once_it_is_confirmed(
    browse: Browse, database: Database, campaign: Campaign
) -> None:
    client = browse("li")
    path = next_turn(client, campaign)
    form = form_for(database, path, FITTING, acts="0")
    assert client.post(f"{path}/ranking", data=form, headers=FRAGMENT).status_code == 422
    assert client.post(f"{path}/ranking", data=form | {"confirmed": "on"}, headers=FRAGMENT).status_code == 200


def contradicting(database: Database, path: str) -> dict[str, Any]:
    """The best one has a fault of accuracy, and warm tone decides."""
    return form_for(database, path, ranked("A > B > C > D", 9, 9, 9, A=1))


@pytest.mark.usefixtures("turns")
def test_a_contradiction_is_explained_with_a_mend_that_mends_it(
    browse: Browse, database: Database, campaign: Campaign
) -> None:
    client = browse("li")
    path = next_turn(client, campaign)
    form = contradicting(database, path)
    for _ in range(8):
        answer = client.post(f"{path}/ranking", data=form, headers=FRAGMENT)
        if answer.status_code == 200:
            break
        text = unescape(answer.text)
        if "stands above" in text:
            assert "①accuracy" in text
            mend, *_ = re.findall(r'data-mend="([^"]+)"', answer.text)
            form = {**{k: v for k, v in form.items() if k in ("key", "acts", "active")}, **json.loads(unescape(mend))}
        else:
            [place] = re.findall(r"below place (\d)", text)
            form[f"ability-{place}"] = "9"
    assert answer.status_code == 200
    order = rankings.read(stored(database)[0])
    assert order.ranks()[0] == 3  # with every boundary below it decided by warm tone, the fault sinks to the bottom


@pytest.mark.usefixtures("turns")
def test_a_campaign_that_only_warns_takes_a_contradiction_once_confirmed(
    browse: Browse, database: Database, campaign: Campaign
) -> None:
    with database.writing() as session:
        campaigns.get(session, campaign.id).priority_rule = PriorityRule.WARN
    client = browse("li")
    path = next_turn(client, campaign)
    form = contradicting(database, path)
    assert client.post(f"{path}/ranking", data=form, headers=FRAGMENT).status_code == 422
    assert client.post(f"{path}/ranking", data=form | {"confirmed": "on"}, headers=FRAGMENT).status_code == 200


@pytest.mark.usefixtures("turns")
def test_enforcing_cannot_be_confirmed_away(browse: Browse, database: Database, campaign: Campaign) -> None:
    client = browse("li")
    path = next_turn(client, campaign)
    form = contradicting(database, path) | {"confirmed": "on"}
    assert client.post(f"{path}/ranking", data=form, headers=FRAGMENT).status_code == 422


@pytest.mark.usefixtures("turns")
def test_ties_can_be_switched_off(browse: Browse, database: Database, campaign: Campaign) -> None:
    with database.writing() as session:
        campaigns.get(session, campaign.id).ties_allowed = False
    client = browse("li")
    path = next_turn(client, campaign)
    answer = client.post(f"{path}/ranking", data=form_for(database, path, FITTING), headers=FRAGMENT)
    assert answer.status_code == 422
    assert "no ties" in answer.text


@pytest.mark.usefixtures("turns")
def test_none_acceptable_needs_no_order(browse: Browse, database: Database, campaign: Campaign) -> None:
    client = browse("li")
    path = next_turn(client, campaign)
    form = {"none": "on", "key": uuid.uuid4().hex, "acts": "0", **{f"place-{c}": "" for c in "abcd"}}
    assert client.post(f"{path}/ranking", data=form, headers=FRAGMENT).status_code == 200
    assert rankings.read(stored(database)[0]) == Order((), none_acceptable=True)


@pytest.mark.usefixtures("turns")
def test_a_double_click_is_one_ranking(browse: Browse, database: Database, campaign: Campaign) -> None:
    client = browse("li")
    path = next_turn(client, campaign)
    form = form_for(database, path, FITTING)
    answers = [client.post(f"{path}/ranking", data=form, headers=FRAGMENT) for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 200]
    assert answers[0].json() == answers[1].json()
    assert len(stored(database)) == 1
    other = form | forms.write_fields(ranked("A > B > C > D"), assignment_of(database, path).response_order)
    assert client.post(f"{path}/ranking", data=other, headers=FRAGMENT).status_code == 409
    assert len(stored(database)) == 1


@pytest.mark.usefixtures("turns")
@pytest.mark.parametrize(
    "nonsense",
    [{"place-a": "7"}, {"place-a": "x"}, {"ability-1": "10"}, {"fault-a": ["0"]}, {"key": "short"}, {"acts": "-1"}],
)
def test_what_no_form_sends_is_refused_and_stores_nothing(
    browse: Browse, database: Database, campaign: Campaign, nonsense: dict[str, Any]
) -> None:
    client = browse("li")
    path = next_turn(client, campaign)
    form = form_for(database, path, FITTING) | nonsense
    assert client.post(f"{path}/ranking", data=form, headers=FRAGMENT).status_code == 422
    assert stored(database) == []


@pytest.mark.usefixtures("turns")
def test_a_draft_is_there_again_after_a_reload(browse: Browse, database: Database, campaign: Campaign) -> None:
    client = browse("li")
    path = next_turn(client, campaign)
    form = form_for(database, path, ranked("C > A > B > D", 4, 5, 6, D=2), revision="0", none="on")
    assert client.post(f"{path}/draft", data=form).json() == {"revision": 1}
    assert client.post(f"{path}/draft", data=form | {"revision": "1"}).json() == {"revision": 2}
    other_window = form | {"key": uuid.uuid4().hex}
    assert client.post(f"{path}/draft", data=other_window).status_code == 409
    page = client.get(path).text
    assert 'name="revision" value="2"' in page
    letter = forms.shown_letter(2, assignment_of(database, path).response_order).lower()
    assert re.search(rf'id="place-{letter}".*?<option value="1" selected>', page, re.DOTALL)
    assert re.search(r'id="ability-2".*?<option value="5" selected>', page, re.DOTALL)
    assert re.search(r'name="none" checked', page)
    assert 'name="active" value="31"' in page  # the time goes on from there


@pytest.mark.usefixtures("turns")
def test_a_window_whose_last_save_went_unanswered_is_not_taken_for_another(
    browse: Browse, database: Database, campaign: Campaign
) -> None:
    client = browse("li")
    path = next_turn(client, campaign)
    form = form_for(database, path, FITTING, revision="0")
    assert client.post(f"{path}/draft", data=form).json() == {"revision": 1}
    assert client.post(f"{path}/draft", data=form).json() == {"revision": 2}


@pytest.mark.usefixtures("turns")
def test_every_contradiction_is_shown_with_a_mend_of_its_own_and_one_mends_all(
    browse: Browse, database: Database, campaign: Campaign
) -> None:
    client = browse("li")
    path = next_turn(client, campaign)
    form = form_for(database, path, ranked("A > B > C > D", 9, 9, 9, A=1, C=2))
    page = client.post(f"{path}/ranking", data=form, headers=FRAGMENT).text
    # A stands above B with a fault, C below B by warm tone though its fault is one of safety, C above D with a fault
    whole, *mends = [json.loads(unescape(each)) for each in re.findall(r'data-mend="([^"]+)"', page)]
    assert len(mends) == 4
    assert mends.pop() == whole
    rest = {name: form[name] for name in ("key", "acts", "active")}
    assert "below place 1?" in client.post(f"{path}/ranking", data=rest | whole, headers=FRAGMENT).text
    named = rest | whole | {"ability-1": "9"}  # B and D were not neighbours before
    assert client.post(f"{path}/ranking", data=named, headers=FRAGMENT).status_code == 200
    kept = rankings.read(stored(database)[0])
    assert (kept.groups, [each.ability for each in kept.boundaries]) == (((1,), (3,), (2,), (0,)), [9, 2, 1])


@pytest.mark.usefixtures("turns")
def test_a_submitted_ranking_can_be_corrected_from_ones_own_history(
    browse: Browse, database: Database, campaign: Campaign
) -> None:
    client = browse("li")
    path = next_turn(client, campaign)
    client.post(f"{path}/ranking", data=form_for(database, path, FITTING), headers=FRAGMENT)
    assert f'href="{path}"' in client.get("/history").text
    assert "is a correction" in client.get(path).text
    client.post(f"{path}/ranking", data=form_for(database, path, ranked("A > B > C > D")), headers=FRAGMENT)
    assert [kept.version for kept in stored(database)] == [1, 2]


@pytest.mark.usefixtures("turns")
def test_a_change_that_was_not_submitted_is_said_beside_what_was_and_can_be_left(
    browse: Browse, database: Database, campaign: Campaign
) -> None:
    client = browse("li")
    path = next_turn(client, campaign)
    assert client.post(f"{path}/draft/discard").status_code == 409
    client.post(f"{path}/ranking", data=form_for(database, path, FITTING), headers=FRAGMENT)
    submitted = forms.shown_order(FITTING, assignment_of(database, path).response_order)
    assert submitted in unescape(client.get("/history").text)
    assert "not submitted it again" not in client.get(path).text
    client.post(f"{path}/draft", data=form_for(database, path, ranked("A > B > C > D"), revision="0"), headers=FRAGMENT)
    assert f"not submitted it again. Submitted: {submitted}" in unescape(client.get(path).text)
    assert client.post(f"{path}/draft/discard").headers["location"] == path
    assert "not submitted it again" not in client.get(path).text
    assert [kept.version for kept in stored(database)] == [1]


@pytest.mark.usefixtures("turns")
def test_a_turn_that_cannot_be_judged_is_handed_back_with_a_reason(
    browse: Browse, database: Database, campaign: Campaign
) -> None:
    client = browse("li")
    path = next_turn(client, campaign)
    assert client.post(f"{path}/cannot-judge", data={"reason": " "}).status_code == 422
    assert client.post(f"{path}/cannot-judge", data={"reason": "缺少病史"}).status_code == 303
    given = assignment_of(database, path)
    assert (given.state, given.reason, given.place) == (AssignmentState.CANNOT_JUDGE, "缺少病史", None)
    assert next_turn(client, campaign) != path


@pytest.mark.usefixtures("turns")
def test_nobody_gets_at_the_turn_of_somebody_else(browse: Browse, campaign: Campaign) -> None:
    path = next_turn(browse("li"), campaign)
    other = browse("wang")
    assert other.get(path).status_code == 404
    for action in ("ranking", "draft", "cannot-judge"):
        assert other.post(f"{path}/{action}", data={"reason": "x"}).status_code == 404


@pytest.mark.usefixtures("turns")
def test_a_campaign_is_unknown_to_whoever_does_not_rank_in_it(
    browse: Browse, database: Database, campaign: Campaign, cast: Cast
) -> None:
    with database.writing() as session:
        campaigns.set_members(session, campaigns.get(session, campaign.id), {cast.li.id, cast.wang.id}, actor_id=None)
    li, chen = browse("li"), browse("chen")
    answers = [chen.post(f"/rank/{campaign.id}/next"), chen.get(f"/rank/{campaign.id}/stored")]
    for answer in answers:
        assert answer.status_code == 404
        assert campaign.name not in answer.text
    assert next_turn(li, campaign).startswith("/assignments/")
    assert li.get(f"/rank/{campaign.id}/stored").status_code == 200


@pytest.mark.usefixtures("turns")
@pytest.mark.parametrize(("active", "kept_seconds"), [("nan", 0.0), ("inf", 14400.0), ("-1", 0.0), ("x", 0.0)])
def test_an_active_time_that_cannot_be_is_mended(
    browse: Browse, database: Database, campaign: Campaign, active: str, kept_seconds: float
) -> None:
    client = browse("li")
    path = next_turn(client, campaign)
    form = form_for(database, path, FITTING, active=active)
    assert client.post(f"{path}/ranking", data=form, headers=FRAGMENT).status_code == 200
    assert stored(database)[0].active_seconds == kept_seconds


@pytest.mark.usefixtures("turns")
@pytest.mark.parametrize("revision", ["x", "9" * 20, "9" * 5000])
def test_a_revision_that_no_draft_has_is_refused(
    browse: Browse, database: Database, campaign: Campaign, revision: str
) -> None:
    client = browse("li")
    path = next_turn(client, campaign)
    assert client.post(f"{path}/draft", data=form_for(database, path, FITTING, revision=revision)).status_code == 422


def test_where_nothing_is_left_that_is_said(browse: Browse, campaign: Campaign) -> None:
    answer = browse("li").post(f"/rank/{campaign.id}/next")
    assert answer.status_code == 200
    assert "Nothing is left for you" in answer.text


@pytest.mark.usefixtures("turns")
def test_an_annotator_sees_neither_the_other_nor_the_model(
    browse: Browse, database: Database, campaign: Campaign
) -> None:
    wang, li = browse("wang"), browse("li")
    first = next_turn(wang, campaign)
    wang.post(f"{first}/ranking", data=form_for(database, first, FITTING, note="秘密备注"), headers=FRAGMENT)
    path = next_turn(li, campaign)
    assert assignment_of(database, path).turn_id == assignment_of(database, first).turn_id
    bodies = [li.get(where) for where in ("/rank", path, "/history")]
    bodies.append(li.post(f"{path}/ranking", data={"key": "x" * 32}, headers=FRAGMENT))
    li.post(f"{path}/ranking", data=form_for(database, path, ranked("A > B > C > D")), headers=FRAGMENT)
    bodies += [li.get(where) for where in ("/rank", path, "/history")]
    for body in bodies:
        everything = body.text + str(body.headers)
        for hidden in ("王芳", "wang", "model-0", "model-3", "秘密备注"):
            assert hidden not in everything


def test_the_whole_of_a_campaign_is_ranked_through_the_web(
    browse: Browse, database: Database, campaign: Campaign, turns: None
) -> None:
    clients = [browse(name) for name in ("li", "wang", "chen")]
    working = list(clients)
    while working:
        for client in list(working):
            answer = client.post(f"/rank/{campaign.id}/next")
            if answer.status_code == 200:
                working.remove(client)
                continue
            path = str(answer.headers["location"])
            client.post(f"{path}/ranking", data=form_for(database, path, FITTING), headers=FRAGMENT)
    with database.reading() as session:
        assert session.scalar(select(func.count(Ranking.id))) == 12
        assert set(session.scalars(select(Turn.state))) == {TurnState.SETTLED}
        assert people.count(session) == 5
