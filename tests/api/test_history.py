"""An annotator's programs see how their turns were decided, and what came of calibration, as the annotator does."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

from annotation.db import Database
from annotation.store import calibration, campaigns, turns
from annotation.tables import Campaign
from tests.api.conftest import ORDER, Program, contest, rank, reserve
from tests.api.test_access import is_problem
from tests.api.test_review import opened
from tests.conftest import Cast
from tests.store.test_scores import finished


def decide(client: TestClient, better: str) -> None:
    """Zhao says which of the two stands above the other, and goes on, so that it is final."""
    review = opened(client)
    text, asked = {r["letter"]: r["text"] for r in review["turn"]["responses"]}, review["question"]
    said = {"kind": "pair", "version": review["version"], "first": asked["first"], "second": asked["second"]}
    path = f"/api/v1/reviews/{review['id']}"
    relation = ">" if text[asked["first"]] == better else "<"
    review = client.post(f"{path}/answers", json={**said, "relation": relation}).json()
    assert client.post(f"{path}/decide", json={"version": review["version"]}).status_code == 200


def by_text(decision: dict[str, Any]) -> dict[tuple[str, str], tuple[Any, Any]]:
    """The pairs by their texts: as they were settled, and as the annotator had them."""
    text = {each["letter"]: each["text"] for each in decision["turn"]["responses"]}
    return {(text[p["first"]], text[p["second"]]): (p["relation"], p["own"]) for p in decision["pairs"]}


def test_how_a_turn_was_decided_is_told_once_it_is_final(program: Program, imported: Campaign) -> None:
    contest(program, imported)
    li, wang, zhao = program("li"), program("wang"), program("zhao")
    decide(zhao, better="回答1")
    [done] = li.get("/api/v1/history").json()["items"]
    path = f"/api/v1/history/{done['assignment_id']}"
    assert done["decided"] is False
    is_problem(li.get(path), 404)
    contest(program, imported)
    opened(zhao)
    decided = li.get("/api/v1/history", params={"show": "decided"}).json()["items"]
    assert [(each["assignment_id"], each["decided"]) for each in decided] == [(done["assignment_id"], True)]
    waiting = li.get("/api/v1/history", params={"show": "waiting"}).json()["items"]
    assert [each["decided"] for each in waiting] == [False]
    decision = li.get(path).json()
    told = {frozenset(pair): relations for pair, relations in by_text(decision).items()}
    settled, own = told[frozenset(("回答0", "回答1"))]
    assert {settled, own} == {"<", ">"}
    assert all(settled == own for pair, (settled, own) in told.items() if pair != frozenset(("回答0", "回答1")))
    assert (decision["none_acceptable"], decision["rewrite"], len(told)) == (False, None, 6)
    assert decision["ranking"]["groups"] == done["ranking"]["groups"]
    is_problem(wang.get(path), 404)


def test_a_revealed_round_tells_who_agreed_with_whom_by_no_name(
    program: Program, imported: Campaign, database: Database, cast: Cast
) -> None:
    li, wang = program("li"), program("wang")
    with database.writing() as session:
        found = calibration.begin(session, campaigns.get(session, imported.id), "第一轮", 1, actor_id=cast.sun.id)
    for client, texts in ((li, ("回答0", "回答1", "回答2", "回答3")), (wang, ("回答1", "回答0", "回答2", "回答3"))):
        rank(client, imported, *texts)
    path = f"/api/v1/calibration/{found.id}"
    is_problem(li.get(path), 404)
    assert li.get("/api/v1/calibration").json() == []
    program("sun").post(f"/api/v1/campaigns/{imported.id}/calibration/{found.id}/reveal")
    assert [each["name"] for each in li.get("/api/v1/calibration").json()] == ["第一轮"]
    result = li.get(path).json()
    [turn] = result["turns"]
    assert sorted(each["person"] for each in turn["opinions"]) == [0, 1]
    assert {result["you"], wang.get(path).json()["you"]} == {0, 1}
    text = {each["letter"]: each["text"] for each in turn["turn"]["responses"]}
    mine = next(each for each in turn["opinions"] if each["person"] == result["you"])
    assert [text[letter] for [letter] in mine["before"]["groups"]] == ["回答0", "回答1", "回答2", "回答3"]
    assert next(each for each in result["before"] if each["name"] == "pair_agreement")["value"] == 5 / 6
    again = {**ORDER, "groups": [[x] for x in sorted(text, key=lambda x: ["1", "0", "2", "3"].index(text[x][-1]))]}
    place = f"/api/v1/assignments/{turn['assignment_id']}"
    again["key"] = "again-and-again-1"
    is_problem(li.put(f"{place}/ranking", json=again), 409)  # in letters from before the round was revealed
    is_problem(li.put(f"{place}/draft", json={"revision": 0, "fields": {"place-a": "1"}}), 409)
    assert li.get(place).json()["round"] == found.id
    answer = li.put(f"{place}/ranking", json={**again, "round": found.id})
    assert answer.status_code == 200, answer.text
    result = li.get(path).json()
    assert next(each for each in result["before"] if each["name"] == "pair_agreement")["value"] == 5 / 6
    assert next(each for each in result["after"] if each["name"] == "pair_agreement")["value"] == 1.0
    for secret in ("李敏", "王芳", "user_id", "model"):
        assert secret not in wang.get(path).text
    is_problem(program("chen").get(path), 404)
    is_problem(program("zhao").get("/api/v1/calibration"), 404)


def test_turns_that_score_low_are_listed_raised_and_withdrawn(
    program: Program, imported: Campaign, database: Database
) -> None:
    client, path = program("sun"), f"/api/v1/campaigns/{imported.id}/low-scores"
    none = client.get(path).json()
    assert (none["items"], none["run_id"], none["threshold"]) == ([], None, None)
    with database.writing() as session:
        run = finished(session, campaigns.get(session, imported.id), -1.0)
        for number, best in ((1, -2.5), (2, 0.5), (3, -1.5)):
            turn = turns.get(session, number)
            turn.best_score, turn.score_spread, turn.scored_by_run = best, 0.25, run.id
    first = client.get(f"{path}?limit=1").json()
    assert (first["run_id"], first["threshold"], first["count"]) == (run.id, -1.0, 2)
    second = client.get(path, params={"limit": "1", "cursor": first["next"]}).json()
    assert [(each["id"], each["best_score"]) for each in first["items"] + second["items"]] == [(1, -2.5), (3, -1.5)]
    assert second["next"] is None
    is_problem(client.get(path, params={"cursor": "WzFd"}), 422)
    assert client.post(f"{path}/raise", json={"turn_ids": [3, 99]}).json() == {"turns": 1}
    held = reserve(program("li"), imported)
    assert held["turn"]["message"] == "孩子发烧2天了。"  # of the third turn
    assert client.post(f"{path}/withdraw", json={"turn_ids": [1]}).json() == {"turns": 1}
    assert [each["id"] for each in client.get(path).json()["items"]] == [3]
    is_problem(client.post(f"{path}/raise", json={"turn_ids": []}), 422)
    is_problem(program("li").get(path), 404)
