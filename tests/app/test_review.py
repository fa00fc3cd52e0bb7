"""The review screen: blind, one question at a time, one answer at a time."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from annotation import adjudication
from annotation.db import Database
from annotation.ranking import Ranking as Order
from annotation.review_tables import Rewrite
from annotation.store import imports, listing, people, places, rankings
from annotation.store.rankings import Submission
from annotation.tables import Campaign, SettledBy, Turn, TurnState
from tests.app.conftest import Browse
from tests.conftest import Cast
from tests.material import dialogue, ranked


@pytest.fixture
def contest(database: Database, cast: Cast, campaign: Campaign) -> Any:
    """Li and Wang rank a turn: ``contest(first, second)``."""

    def rank(first: Order, second: Order, name: str = "d1") -> None:
        with database.writing() as session:
            imports.add(session, campaign, [dialogue(name)], source="t", actor_id=None)
            for user, ranking in ((cast.li, first), (cast.wang, second)):
                held = places.reserve_next(session, user, campaign)
                assert held is not None
                submission = Submission(f"{user.login}-{name}", ranking, note="备注")
                rankings.submit(session, held, submission)

    return rank


def open_next(client: TestClient) -> str:
    answer = client.post("/review/next")
    assert answer.headers["location"].startswith("/reviews/"), answer.text
    return str(answer.headers["location"])


def version(page: str) -> str:
    return re.findall(r'name="version" value="(\d+)"', page)[0]


def asked_pair(page: str) -> dict[str, str]:
    return {name: re.findall(rf'name="{name}" value="(\d)"', page)[0] for name in ("first", "second")}


def turn_of(database: Database) -> Turn:
    with database.reading() as session:
        return session.scalars(select(Turn)).one()


FIRST, SECOND = ranked("D > B > A > C", 1, 2, 3), ranked("D > A > B > C", 1, 9, 3)


def test_a_contested_turn_is_decided_question_by_question(browse: Browse, database: Database, contest: Any) -> None:
    contest(FIRST, SECOND)
    client = browse("zhao")
    assert '<b class="numeric">1</b>' in client.get("/review").text
    path = open_next(client)
    page = client.get(path).text
    assert "The rule suggests" in page
    assert set(asked_pair(page).values()) == {"0", "1"}
    answer = client.post(f"{path}/pair", data={**asked_pair(page), "relation": "=", "version": version(page)})
    assert answer.headers["location"] == path
    page = client.get(path).text
    assert "Nothing is open any more" in page
    client.post(f"{path}/decide", data={"version": version(page)})
    turn = turn_of(database)
    assert (turn.state, turn.settled_by) == (TurnState.SETTLED, SettledBy.ADJUDICATED)
    page = client.get(path).text
    assert "Take the decision back" in page
    client.post(f"{path}/back", data={"version": version(page)})
    assert turn_of(database).state is TurnState.IN_REVIEW
    done = client.post(f"{path}/decide", data={"version": version(client.get(path).text), "on": "true"})
    assert done.headers["location"] == "/review"  # nothing is left
    assert turn_of(database).state is TurnState.SETTLED


def test_the_letters_of_the_page_mean_the_same_responses_as_the_answer(
    browse: Browse, database: Database, contest: Any
) -> None:
    contest(FIRST, SECOND)
    client = browse("zhao")
    path = open_next(client)
    page = client.get(path).text
    asked = asked_pair(page)
    unmarked = re.sub("</?mark>", "", page)
    texts = re.findall(r'<article class="card response">.*?<div class="said text">([^<]+)</div>', unmarked, re.DOTALL)
    names = ["甲乙丙丁"[int(asked[side])] for side in ("first", "second")]
    assert [text[-1] for text in texts[:2]] == names
    client.post(f"{path}/pair", data={**asked, "relation": ">", "version": version(page)})
    page = client.get(path).text
    client.post(f"{path}/decide", data={"version": version(page)})
    with database.reading() as session:
        from annotation.store import reviews

        [decided] = listing.decided(session, people.by_login(session, "zhao").id, None, 10)  # type: ignore[union-attr]
        [pair] = [p for p in map(reviews.pair_from_json, decided.result["pairs"]) if p.pair == (0, 1)]  # type: ignore[index]
    better = int(asked["first"])
    assert pair.relation == (">" if better == 0 else "<")


def test_an_adjudicator_sees_both_rankings_but_not_whose_they_are(browse: Browse, contest: Any) -> None:
    contest(FIRST, SECOND)
    client = browse("zhao")
    path = open_next(client)
    for body in (client.get("/review"), client.get(path)):
        everything = body.text + str(body.headers)
        assert [
            hidden for hidden in ("李敏", "王芳", "wang", "model-0", "model-3", "备注") if hidden in everything
        ] == []


def test_a_window_that_is_behind_is_told_so(browse: Browse, contest: Any) -> None:
    contest(FIRST, SECOND)
    client = browse("zhao")
    path = open_next(client)
    page = client.get(path).text
    form = {**asked_pair(page), "relation": "=", "version": version(page)}
    assert client.post(f"{path}/pair", data=form).status_code == 303
    again = client.post(f"{path}/pair", data=form)
    assert again.status_code == 409
    assert "went on in another window" in again.text


def test_where_outcomes_differ_that_is_asked_first(browse: Browse, contest: Any) -> None:
    contest(FIRST, ranked("", none_acceptable=True))
    client = browse("zhao")
    path = open_next(client)
    page = client.get(path).text
    assert "Is none of the responses acceptable?" in page
    client.post(f"{path}/outcome", data={"none_acceptable": "false", "version": version(page)})
    assert 'name="relation"' in client.get(path).text


def test_none_acceptable_is_rewritten_from_the_campaigns_template(
    browse: Browse, database: Database, contest: Any
) -> None:
    none = ranked("", none_acceptable=True)
    contest(none, none)
    client = browse("zhao")
    path = open_next(client)
    page = client.get(path).text
    assert "很抱歉，我不知道。</textarea>" in page
    empty = client.post(f"{path}/rewrite", data={"text": " ", "version": version(page)})
    assert empty.status_code == 422
    client.post(f"{path}/rewrite", data={"text": "很抱歉，请到医院面诊。", "version": version(page)})
    page = client.get(path).text
    client.post(f"{path}/decide", data={"version": version(page)})
    with database.reading() as session:
        assert session.scalars(select(Rewrite.text)).all() == ["很抱歉，请到医院面诊。"]
    assert turn_of(database).settled_by is SettledBy.REWRITTEN


def test_the_agreed_part_opens_for_a_reason(browse: Browse, contest: Any) -> None:
    contest(FIRST, SECOND)
    client = browse("zhao")
    path = open_next(client)
    page = client.get(path).text
    locked = client.post(f"{path}/pair", data={"first": 0, "second": 3, "relation": ">", "version": version(page)})
    assert locked.status_code == 422
    assert client.post(f"{path}/unlock", data={"reason": "", "version": version(page)}).status_code == 422
    client.post(f"{path}/unlock", data={"reason": "D 的剂量写错了", "version": version(page)})
    page = client.get(path).text
    assert "The agreed part is wrong" not in page
    opened = {"first": 0, "second": 3, "relation": ">", "ability": 1, "version": version(page)}
    assert client.post(f"{path}/pair", data=opened).status_code == 303


def test_where_nobody_named_what_decides_it_is_asked(browse: Browse, contest: Any) -> None:
    contest(ranked("A = B > C > D", 1, 2), ranked("B > A > C > D", 9, 1, 2))
    client = browse("zhao")
    path = open_next(client)
    page = client.get(path).text
    asked = asked_pair(page)
    a_first = asked["first"] == "0"
    client.post(f"{path}/pair", data={**asked, "relation": ">" if a_first else "<", "version": version(page)})
    page = client.get(path).text
    assert "What decides that" in page
    assert page.count('<article class="card response">') == 4  # the two in question stay in sight
    relation = re.findall(r'name="relation" value="([^"]+)"', page)[0].replace("&gt;", ">").replace("&lt;", "<")
    client.post(f"{path}/pair", data={**asked_pair(page), "relation": relation, "ability": 5, "version": version(page)})
    assert "Nothing is open any more" in client.get(path).text


@pytest.mark.parametrize(
    "nonsense", [{"relation": "better"}, {"first": 9}, {"first": 0, "second": 0}, {"ability": 12}, {"version": "x"}]
)
def test_answers_that_no_page_sends_are_refused(browse: Browse, contest: Any, nonsense: dict[str, Any]) -> None:
    contest(FIRST, SECOND)
    client = browse("zhao")
    path = open_next(client)
    form = {"first": 0, "second": 1, "relation": ">", "version": 0} | nonsense
    assert client.post(f"{path}/pair", data=form).status_code == 422


def test_nobody_gets_at_the_review_of_somebody_else(browse: Browse, database: Database, contest: Any) -> None:
    contest(FIRST, SECOND)
    path = open_next(browse("zhao"))
    assert browse("li").get(path).status_code == 404
    with database.writing() as session:
        chen = people.by_login(session, "chen")
        assert chen is not None
        chen.may_adjudicate = True
    assert browse("chen").get(path).status_code == 404


def test_an_empty_queue_says_so(browse: Browse, campaign: Campaign) -> None:
    client = browse("zhao")
    assert "Nothing is contested" in client.get("/review").text
    assert client.post("/review/next").headers["location"] == "/review"


def test_a_suggestion_that_is_kept_back_is_not_shown(
    browse: Browse, contest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adjudication, "hides_suggestion", lambda review, pair: True)
    contest(FIRST, SECOND)
    client = browse("zhao")
    assert "The rule suggests" not in client.get(open_next(client)).text
