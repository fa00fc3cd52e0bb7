"""A third expert's programs order agreed turns blind, and see only afterwards what two annotators agree on."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from annotation.adjudication import Provenance
from annotation.db import Database
from annotation.ranking import Relation
from annotation.review_tables import Adjudication
from annotation.store import audits, reviews, turns
from annotation.tables import Campaign, SettledBy
from tests.api.conftest import Program, contest, rank
from tests.api.test_access import is_problem

AGREED = ("回答0", "回答1", "回答2", "回答3")
Audit = dict[str, Any]


@pytest.fixture
def agreed(program: Program, imported: Campaign, database: Database) -> Campaign:
    """The campaign with a turn that Li and Wang agree on, drawn for an audit."""
    with database.writing() as session:
        session.execute(update(Campaign).values(audit_share=1.0))
    for login in ("li", "wang"):
        rank(program(login), imported, *AGREED)
    return imported


@pytest.fixture
def zhao(program: Program, agreed: Campaign) -> TestClient:
    """Zhao's program, for which the audit waits."""
    return program("zhao")


def opened(client: TestClient) -> Audit:
    answer = client.post("/api/v1/review/next?audits=true")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def send(client: TestClient, audit: Audit, **said: Any) -> Any:
    said = {"version": audit["version"], **said}
    return client.post(f"/api/v1/reviews/{audit['id']}/audit/answers", json=said)


def letters(audit: Audit, *texts: str) -> list[list[str]]:
    """A strict order of these responses, the best first."""
    letter = {each["text"]: each["letter"] for each in audit["turn"]["responses"]}
    return [[letter[text]] for text in texts]


def order(client: TestClient, audit: Audit, *texts: str) -> Audit:
    answer = send(client, audit, kind="order", groups=letters(audit, *texts))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_nothing_of_what_was_agreed_is_told_before_the_own_order_stands(zhao: TestClient) -> None:
    assert zhao.get("/api/v1/review/queue").json() == {"waiting": 0, "oldest": None, "audits": 1}
    audit = opened(zhao)
    assert audit.pop("turn")["message"] == "孩子发烧0天了。"
    assert {name: value for name, value in audit.items() if name not in ("id", "leased_until", "campaign_id")} == {
        "kind": "audit",
        "version": 0,
        "state": "open",
        "asks": "order",
        "order": None,
        "fixed": False,
        "boundary": None,
        "agreed": None,
        "differing": None,
        "overturns": None,
        "reason": "",
        "rewrite": None,
        "doubts": [],
    }


def test_an_order_that_was_placed_in_the_browser_and_does_not_stand_yet_reveals_nothing(
    zhao: TestClient, database: Database
) -> None:
    path = f"/api/v1/reviews/{opened(zhao)['id']}"
    with database.writing() as session:
        review = session.get_one(Adjudication, 1)
        for response in (1, 0, 2):
            audits.place(session, review, review.version, response, level=False)
    placed = zhao.get(path).json()
    assert (placed["asks"], placed["order"]["groups"]) == ("fix", letters(placed, "回答1", "回答0", "回答2", "回答3"))
    assert (placed["fixed"], placed["agreed"], placed["differing"]) == (False, None, None)
    again = order(zhao, placed, *AGREED)
    assert (again["order"]["groups"], again["state"]) == (letters(placed, *AGREED), "decided")


def test_the_same_order_confirms_and_the_audit_is_done(zhao: TestClient, database: Database) -> None:
    audit = opened(zhao)
    done = order(zhao, audit, *AGREED)
    assert (done["state"], done["asks"], done["differing"], done["overturns"]) == ("decided", "nothing", [], None)
    assert len(done["agreed"]) == 6
    is_problem(zhao.post(f"/api/v1/reviews/{audit['id']}/audit/back", json={"version": done["version"]}), 409)
    assert [each["kind"] for each in zhao.get("/api/v1/review/decided").json()["items"]] == ["audit"]
    with database.reading() as session:
        settled = turns.review_of(session, 1)
        assert settled is not None
        assert settled.result is not None
        assert {pair["provenance"] for pair in settled.result["pairs"]} == {Provenance.AUDITED}


def test_another_order_overturns_for_a_reason_and_with_what_decides(zhao: TestClient, database: Database) -> None:
    audit = order(zhao, opened(zhao), "回答0", "回答2", "回答1", "回答3")
    two = sorted(letter for [letter] in letters(audit, "回答1", "回答2"))
    assert (audit["asks"], audit["differing"]) == ("verdict", [two])
    is_problem(send(zhao, audit, kind="verdict", overturns=True, reason=" "), 422)
    audit = send(zhao, audit, kind="verdict", overturns=True, reason="回答1的剂量错").json()
    between = letters(audit, "回答0", "回答2", "回答1", "回答3")
    for (upper, lower), ability in zip(pairwise(between), (1, 4, 9), strict=True):
        assert (audit["asks"], audit["boundary"]) == ("ability", {"upper": upper, "lower": lower})
        audit = send(zhao, audit, kind="ability", ability=ability).json()
    assert (audit["state"], audit["overturns"], audit["boundary"]) == ("decided", True, None)
    assert [each["ability"] for each in audit["order"]["boundaries"]] == [1, 4, 9]
    with database.reading() as session:
        turn, review = turns.get(session, 1), turns.review_of(session, 1)
        assert turn.settled_by is SettledBy.AGREED
        assert review is not None
        assert review.result is not None
        pairs = {p.pair: (p.relation, p.ability) for p in map(reviews.pair_from_json, review.result["pairs"])}
        assert (pairs[1, 2], pairs[0, 1]) == ((Relation.WORSE, 4), (Relation.BETTER, 1))


def test_a_tie_is_ordered_at_once_and_the_agreed_order_may_stand(zhao: TestClient, database: Database) -> None:
    audit = opened(zhao)
    groups = letters(audit, "回答0", "回答1")
    groups.append([letter for [letter] in letters(audit, "回答2", "回答3")])
    audit = send(zhao, audit, kind="order", groups=groups).json()
    assert audit["order"]["groups"] == [*groups[:2], sorted(groups[2])]
    audit = send(zhao, audit, kind="verdict", overturns=False).json()
    assert (audit["state"], audit["overturns"]) == ("decided", False)
    audit = zhao.post(f"/api/v1/reviews/{audit['id']}/audit/back", json={"version": audit["version"]}).json()
    assert (audit["state"], audit["asks"], audit["fixed"]) == ("open", "verdict", True)
    with database.reading() as session:
        found = audits.figures(session, 1)
        assert (found.drawn, found.done) == (1, 0)


def test_none_acceptable_ends_in_a_rewrite(zhao: TestClient) -> None:
    audit = send(zhao, opened(zhao), kind="order", none_acceptable=True).json()
    audit = send(zhao, audit, kind="verdict", overturns=True, reason="都给错了剂量").json()
    assert audit["asks"] == "rewrite"
    audit = send(zhao, audit, kind="rewrite", text="很抱歉，我不知道。").json()
    assert (audit["state"], audit["rewrite"]) == ("decided", "很抱歉，我不知道。")


def test_what_was_said_blind_stays(zhao: TestClient) -> None:
    audit = order(zhao, opened(zhao), "回答1", "回答0", "回答2", "回答3")
    found = is_problem(send(zhao, audit, kind="order", groups=letters(audit, *AGREED)), 422)
    assert "stands already" in found["detail"]
    back = zhao.post(f"/api/v1/reviews/{audit['id']}/audit/back", json={"version": audit["version"]}).json()
    assert (back["order"], back["asks"]) == (audit["order"], "verdict")


def test_a_tie_is_refused_where_the_campaign_has_none(zhao: TestClient, database: Database) -> None:
    with database.writing() as session:
        session.execute(update(Campaign).values(ties_allowed=False))
    is_problem(send(zhao, opened(zhao), kind="order", groups=[["A", "B"], ["C"], ["D"]]), 422)


@pytest.mark.parametrize("groups", [[], [["A"], ["B"], ["C"]], [["A"], ["A"], ["B"], ["C"], ["D"]], [["E"]]])
def test_an_order_that_is_none_is_refused(zhao: TestClient, groups: list[list[str]]) -> None:
    audit = opened(zhao)
    is_problem(send(zhao, audit, kind="order", groups=groups), 422)
    assert zhao.get(f"/api/v1/reviews/{audit['id']}").json()["fixed"] is False


def test_an_answer_to_an_older_version_is_refused(zhao: TestClient) -> None:
    audit = opened(zhao)
    order(zhao, audit, "回答1", "回答0", "回答2", "回答3")
    is_problem(send(zhao, audit, kind="verdict", overturns=False), 409)


def test_the_answers_of_one_kind_do_not_reach_the_other(
    program: Program, zhao: TestClient, agreed: Campaign, database: Database
) -> None:
    audit = opened(zhao)
    path = f"/api/v1/reviews/{audit['id']}"
    for action, body in (
        ("answers", {"kind": "outcome", "none_acceptable": True}),
        ("answers", {"kind": "unlock", "reason": "x"}),
        ("back", {}),
        ("decide", {}),
    ):
        is_problem(zhao.post(f"{path}/{action}", json={"version": audit["version"], **body}), 404)
    is_problem(zhao.post("/api/v1/review/next"), 409)
    contest(program, agreed)
    assert zhao.post(f"{path}/hand-back", json={"version": audit["version"]}).status_code == 204
    is_problem(zhao.get(path), 409)
    contested = zhao.post("/api/v1/review/next").json()
    assert contested["kind"] == "contested"
    is_problem(send(zhao, contested, kind="order", groups=[["A"], ["B"], ["C"], ["D"]]), 404)


def test_the_audit_of_another_does_not_exist(program: Program, zhao: TestClient) -> None:
    audit = opened(zhao)
    for login in ("li", "sun"):
        is_problem(send(program(login), audit, kind="order", groups=[["A"], ["B"], ["C"], ["D"]]), 404)
        is_problem(program(login).get(f"/api/v1/reviews/{audit['id']}"), 404)
