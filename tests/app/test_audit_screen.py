"""The screens of an audit, of a policy, of a doubt, and of how a turn was decided."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from annotation.db import Database
from annotation.measure_tables import GuidelineDoubt
from annotation.ranking import Ranking as Order
from annotation.review_policy import ReviewPolicy
from annotation.review_tables import Adjudication
from annotation.store import imports, places, rankings
from annotation.store.rankings import Submission
from annotation.tables import Campaign, Turn, TurnState
from app.routes import history
from tests.app.conftest import Browse
from tests.conftest import Cast
from tests.material import dialogue, ranked

AGREED = ranked("D > B > A > C", 1, 2, 3)
OTHER = ranked("D > A > B > C", 1, 9, 3)


@pytest.fixture
def rank_twice(database: Database, cast: Cast, campaign: Campaign) -> Any:
    """Li and Wang rank a turn."""

    def rank(first: Order, second: Order, name: str = "d1", *, audit: float = 0.0) -> None:
        with database.writing() as session:
            mine = session.get_one(Campaign, campaign.id)
            mine.audit_share = audit
            imports.add(session, mine, [dialogue(name)], source="t", actor_id=None)
            for user, order in ((cast.li, first), (cast.wang, second)):
                held = places.reserve_next(session, user, mine)
                assert held is not None
                rankings.submit(session, held, Submission(f"{user.login}-{name}", order))

    return rank


def open_next(client: TestClient) -> str:
    return str(client.post("/review/next").headers["location"])


def version(page: str) -> str:
    return re.findall(r'name="version" value="(\d+)"', page)[0]


def send(client: TestClient, path: str, action: str, **fields: Any) -> str:
    """Answers with the version that the page names; returns the page that comes."""
    answer = client.post(f"{path}/{action}", data={"version": version(client.get(path).text), **fields})
    assert answer.status_code == 303, answer.text
    return str(client.get(path).text)


def place(client: TestClient, path: str, *letters: str) -> str:
    return [send(client, path, "audit/place", response="ABCD".index(letter)) for letter in letters][-1]


def test_an_audit_shows_nothing_of_what_was_agreed_before_the_own_order_is_fixed(
    browse: Browse, rank_twice: Any
) -> None:
    rank_twice(AGREED, AGREED, audit=1.0)
    client = browse("zhao")
    assert "ordered by you alone" in client.get("/review").text
    path = open_next(client)
    pages = [client.get(path).text, place(client, path, "D", "A", "B")]
    for page in pages:
        assert "<svg viewBox" not in page.split("<main", 1)[1]
        assert not re.search("doctors|agree|Doctor I", page.split("<main", 1)[1])
    revealed = send(client, path, "audit/fix")
    assert "Two doctors agree on something else" in revealed
    assert "Decided" not in send(client, path, "audit/verdict", overturns="true", reason="B 的剂量错")
    for ability in (1, 2):
        send(client, path, "audit/ability", ability=ability)
    assert "Your order stands" in send(client, path, "audit/ability", ability=9)


def test_an_audit_that_confirms_says_so_and_ends(browse: Browse, rank_twice: Any) -> None:
    rank_twice(AGREED, AGREED, audit=1.0)
    client = browse("zhao")
    path = open_next(client)
    place(client, path, "D", "B", "A")
    assert "confirmed" in send(client, path, "audit/fix")


def test_the_answers_of_a_contested_turn_do_not_reach_an_audit_nor_the_other_way_round(
    browse: Browse, rank_twice: Any
) -> None:
    rank_twice(AGREED, AGREED, audit=1.0)
    client = browse("zhao")
    path = open_next(client)
    form = {"version": "0", "first": 0, "second": 1, "relation": ">", "none_acceptable": "true", "reason": "x"}
    for action in ("pair", "outcome", "rewrite", "back", "unlock", "decide"):
        assert client.post(f"{path}/{action}", data={**form, "text": "x"}).status_code == 404
    rank_twice(AGREED, OTHER, "d2")
    client.post(f"{path}/hand-back", data={"version": version(client.get(path).text)})
    contested = open_next(client)  # what was handed back comes last
    assert client.post(f"{contested}/audit/fix", data={"version": "0"}).status_code == 404


def test_a_turn_is_kept_while_somebody_works_and_can_be_handed_back(browse: Browse, rank_twice: Any) -> None:
    rank_twice(AGREED, OTHER)
    client = browse("zhao")
    path = open_next(client)
    assert client.post(f"{path}/renew").status_code == 204
    answer = client.post(f"{path}/hand-back", data={"version": version(client.get(path).text)})
    assert answer.headers["location"] == "/review"
    assert client.get(path).status_code == 409
    assert client.post(f"{path}/renew").status_code == 409


def test_what_differs_between_the_two_in_question_is_marked(browse: Browse, rank_twice: Any) -> None:
    rank_twice(AGREED, OTHER)
    client = browse("zhao")
    page = client.get(open_next(client)).text
    assert sorted(re.findall("<mark>(.)</mark>", page)) == ["乙", "甲"]


def test_the_most_important_ability_is_not_named_while_only_the_outcome_is_asked(
    browse: Browse, rank_twice: Any
) -> None:
    rank_twice(AGREED, ranked("D > B > A > C", 1, 2, 3, none_acceptable=True))
    client = browse("zhao")
    assert "the most important ability in dispute" not in client.get(open_next(client)).text


def test_a_doubt_reaches_the_admin_and_the_reply_the_adjudicator(
    browse: Browse, database: Database, rank_twice: Any, campaign: Campaign
) -> None:
    rank_twice(AGREED, OTHER)
    client, admin = browse("zhao"), browse("sun")
    path = open_next(client)
    assert client.post(f"{path}/doubt", data={"ability": 2, "note": " "}).status_code == 422
    client.post(f"{path}/doubt", data={"ability": 2, "note": "界限不清"})
    where = f"/admin/campaigns/{campaign.id}/doubts"
    assert "界限不清" in admin.get(where).text
    with database.reading() as session:
        doubt = session.scalars(select(GuidelineDoubt)).one()
    assert admin.post(f"{where}/{doubt.id}/close", data={"reply": "见第二版"}).status_code == 303
    assert admin.post(f"{where}/{doubt.id}/close", data={"reply": "again"}).status_code == 409
    assert "见第二版" in client.get(path).text
    assert client.get(where).status_code == 404


def test_the_policy_form_shows_costs_before_it_is_saved(
    browse: Browse, database: Database, rank_twice: Any, campaign: Campaign
) -> None:
    rank_twice(ranked("A > B > C > D", 9, 9, 9), ranked("B > A > C > D", 9, 9, 9))
    admin = browse("sun")
    where = f"/admin/campaigns/{campaign.id}/review-policy"
    assert "100.0% of turns reviewed" in admin.get(where).text
    chosen = {"review_policy": "safety decides", "review_distance": "1", "audit_percent": "5"}
    shown = admin.get(f"{where}/cost", params=chosen).text
    assert "Of the turns that wait, 1 need no third expert" in shown
    answer = admin.post(where, data=chosen)
    assert answer.headers["location"] == f"{where}?settled=1"
    assert "1 waiting turns were settled." in admin.get(answer.headers["location"]).text
    with database.reading() as session:
        mine = session.get_one(Campaign, campaign.id)
        assert (mine.review_policy, mine.audit_share) == (ReviewPolicy.SAFETY_DECIDES, 0.05)
        assert session.scalars(select(Turn.state)).all() == [TurnState.SETTLED]
    assert admin.post(where, data={**chosen, "audit_percent": "101"}).status_code == 422
    assert admin.post(where, data={**chosen, "review_policy": "never"}).status_code == 422


def test_annotators_see_how_it_was_decided_once_that_is_final(
    browse: Browse, database: Database, rank_twice: Any
) -> None:
    rank_twice(AGREED, OTHER)
    li, zhao = browse("li"), browse("zhao")
    [where] = set(re.findall(r'href="(/assignments/\d+)"', li.get("/history").text))
    decision = where.replace("/assignments/", "/history/")
    path = open_next(zhao)
    asked = zhao.get(path).text
    left_is_a = re.findall(r'name="first" value="(\d)"', asked)[0] == "0"
    send(
        zhao,
        path,
        "pair",
        first=0 if left_is_a else 1,
        second=1 if left_is_a else 0,
        relation=">" if left_is_a else "<",
    )
    send(zhao, path, "decide")
    assert li.get(decision).status_code == 404  # it can still be taken back
    with database.writing() as session:
        review = session.scalars(select(Adjudication)).one()
        review.decided_at = review.created_at - timedelta(hours=2)
    page = li.get(decision).text
    assert "decided otherwise" in page
    assert "5 of 6" in page
    assert "1 pair otherwise" in li.get("/history").text
    wang = browse("wang")
    [theirs] = set(re.findall(r'href="(/history/\d+)"', wang.get("/history").text))
    assert "6 of 6" in wang.get(theirs).text
    assert wang.get(decision).status_code == 404


def test_an_agreed_turn_is_final_at_once_unless_an_audit_waits(browse: Browse, rank_twice: Any) -> None:
    rank_twice(AGREED, AGREED)
    li = browse("li")
    assert "as you ranked it" in li.get("/history").text
    rank_twice(AGREED, AGREED, "d2", audit=1.0)
    assert li.get("/history").text.count("as you ranked it") == 1
    assert li.get("/history", params={"show": "waiting"}).text.count("d2 ") == 1


def test_the_history_goes_back_page_by_page(browse: Browse, rank_twice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "PAGE", 2)
    for number in range(5):
        rank_twice(AGREED, AGREED, f"d{number}")
    li, seen, where = browse("li"), list[str](), "/history?show=all"
    while where:
        page = li.get(where).text
        seen += re.findall(r"<td>(d\d) ", page)
        following = re.findall(r'href="(/history\?show=all&amp;before=\d+)"', page)
        where = following[0].replace("&amp;", "&") if following else ""
    assert seen == ["d4", "d3", "d2", "d1", "d0"]


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("review_distance", "", "whole number from 0 to 10"),
        ("review_distance", "99", "whole number from 0 to 10"),
        ("review_distance", "-1", "whole number from 0 to 10"),
        ("audit_percent", "", "number from 0 to 100"),
        ("audit_percent", "nan", "number from 0 to 100"),
        ("audit_percent", "100.5", "number from 0 to 100"),
    ],
)
def test_what_is_wrong_with_a_policy_stands_where_its_cost_would(
    browse: Browse, campaign: Campaign, field: str, value: str, sentence: str
) -> None:
    where = f"/admin/campaigns/{campaign.id}/review-policy"
    form = {"review_policy": "beyond a distance", "review_distance": "2", "audit_percent": "5", field: value}
    shown = browse("sun").get(f"{where}/cost", params=form, headers={"hx-request": "true"})
    assert shown.status_code == 200  # an answer that is refused would leave the old figures standing
    assert sentence in shown.text
    assert 'id="review-cost"' in shown.text
    assert "<table" not in shown.text
    [whole] = re.findall(r"<form[^>]*review-policy[^>]*>", browse("sun").get(where).text)
    assert "hx-" not in whole  # a form that is not as it should be would not even ask
    refused = browse("sun").post(where, data=form)
    assert (refused.status_code, sentence in refused.text) == (422, True)
