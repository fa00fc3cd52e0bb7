"""An adjudicator's programs settle contested turns."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from starlette.testclient import TestClient

from annotation.db import Database, utcnow
from annotation.review_tables import Adjudication
from annotation.store import turns
from annotation.tables import Campaign, TurnState
from tests.api.conftest import Program, contest, rank
from tests.api.test_access import is_problem

CONTENT = {"first": "回答0", "second": "回答1"}


def opened(client: TestClient) -> dict[str, Any]:
    """The next review."""
    answer = client.post("/api/v1/review/next")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_only_the_contested_pair_is_asked_and_the_answer_settles_the_turn(
    program: Program, imported: Campaign, database: Database
) -> None:
    contest(program, imported)
    client = program("zhao")
    assert client.get("/api/v1/review/queue").json()["waiting"] == 1
    review = opened(client)
    text = {each["letter"]: each["text"] for each in review["turn"]["responses"]}
    question = review["question"]
    assert question["asks"] == "pair"
    assert {text[question["first"]], text[question["second"]]} == {"回答0", "回答1"}
    assert [sorted(pair) for pair in review["contested"]] == [sorted((question["first"], question["second"]))]
    assert len(review["agreed"]) == 5
    assert {claim["relation"] for claim in question["claims"]} == {">", "<"}
    path = f"/api/v1/reviews/{review['id']}"
    is_problem(client.post(f"{path}/decide", json={"version": review["version"]}), 422)
    better = ">" if text[question["first"]] == "回答1" else "<"
    said = {"kind": "pair", "version": review["version"], "first": question["first"], "second": question["second"]}
    review = client.post(f"{path}/answers", json={**said, "relation": better}).json()
    assert review["question"]["asks"] == "nothing"
    done = client.post(f"{path}/decide", json={"version": review["version"]})
    assert done.json()["state"] == "decided"
    with database.reading() as session:
        turn = turns.get(session, 1)
        assert turn.state is TurnState.SETTLED
        found = turns.review_of(session, 1)
        assert found is not None
        assert found.result is not None
        assert found.result["pairs"][0]["relation"] == "<"
    assert [each["id"] for each in client.get("/api/v1/review/decided").json()["items"]] == [review["id"]]


def test_neither_models_nor_names_are_told(program: Program, imported: Campaign) -> None:
    contest(program, imported)
    said = program("zhao").post("/api/v1/review/next").text
    for secret in ("model", "李敏", "王芳", "user_id", "annotator"):
        assert secret not in said, secret


def test_an_answer_to_an_older_version_is_refused_and_nothing_is_lost(program: Program, imported: Campaign) -> None:
    contest(program, imported)
    client = program("zhao")
    review = opened(client)
    path, question = f"/api/v1/reviews/{review['id']}", review["question"]
    said = {"kind": "pair", "first": question["first"], "second": question["second"], "relation": "="}
    assert client.post(f"{path}/answers", json={**said, "version": review["version"]}).status_code == 200
    is_problem(client.post(f"{path}/answers", json={**said, "version": review["version"]}), 409)
    assert len(client.get(path).json()["answers"]) == 1


def test_an_answer_and_then_the_decision_can_be_taken_back(program: Program, imported: Campaign) -> None:
    contest(program, imported)
    client = program("zhao")
    review = opened(client)
    path, question = f"/api/v1/reviews/{review['id']}", review["question"]
    said = {"kind": "pair", "first": question["first"], "second": question["second"], "relation": "="}
    review = client.post(f"{path}/answers", json={**said, "version": review["version"]}).json()
    review = client.post(f"{path}/back", json={"version": review["version"]}).json()
    assert review["answers"] == []
    review = client.post(f"{path}/answers", json={**said, "version": review["version"]}).json()
    review = client.post(f"{path}/decide", json={"version": review["version"]}).json()
    review = client.post(f"{path}/back", json={"version": review["version"]}).json()
    assert review["state"] == "open"


def test_a_locked_pair_is_answered_only_after_it_was_unlocked_for_a_reason(
    program: Program, imported: Campaign
) -> None:
    contest(program, imported)
    client = program("zhao")
    review = opened(client)
    path = f"/api/v1/reviews/{review['id']}"
    locked = review["agreed"][0]
    said = {"kind": "pair", "first": locked["first"], "second": locked["second"], "relation": "="}
    is_problem(client.post(f"{path}/answers", json={**said, "version": review["version"]}), 422)
    is_problem(client.post(f"{path}/answers", json={"kind": "unlock", "version": 0, "reason": ""}), 422)
    why = {"kind": "unlock", "version": review["version"], "reason": "两份都漏看了剂量。"}
    review = client.post(f"{path}/answers", json=why).json()
    assert review["agreed"] == []
    assert client.post(f"{path}/answers", json={**said, "version": review["version"]}).status_code == 200


def test_the_review_of_another_does_not_exist_and_a_ranker_is_no_judge(program: Program, imported: Campaign) -> None:
    contest(program, imported)
    review = opened(program("zhao"))
    for login in ("li", "sun", "chen"):
        client = program(login)
        is_problem(client.get(f"/api/v1/reviews/{review['id']}"), 404)
        is_problem(client.post(f"/api/v1/reviews/{review['id']}/decide", json={"version": 0}), 404)


def test_a_rewrite_is_asked_where_both_find_none_acceptable(program: Program, imported: Campaign) -> None:
    for login in ("li", "wang"):
        client = program(login)
        turn = client.post(f"/api/v1/ranking/campaigns/{imported.id}/next").json()
        given = {"groups": [], "none_acceptable": True, "key": f"none-acceptable-{login}"}
        assert client.put(f"/api/v1/assignments/{turn['id']}/ranking", json=given).status_code == 200
    client = program("zhao")
    review = opened(client)
    assert review["question"]["asks"] == "rewrite"
    path = f"/api/v1/reviews/{review['id']}"
    said = {"kind": "rewrite", "version": review["version"], "text": "很抱歉，我不知道。"}
    review = client.post(f"{path}/answers", json=said).json()
    assert client.post(f"{path}/decide", json={"version": review["version"]}).json()["rewrite"] == "很抱歉，我不知道。"


def test_an_empty_queue_is_said_without_a_body(program: Program, imported: Campaign) -> None:
    rank(program("li"), imported, "回答0", "回答1", "回答2", "回答3")
    answer = program("zhao").post("/api/v1/review/next")
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_doubt_reaches_the_admin_who_closes_it_and_a_webhook(program: Program, imported: Campaign) -> None:
    admin, client = program("sun"), program("zhao")
    given = {"url": "https://hook.example/x", "events": ["guideline.doubt"]}
    admin.post("/api/v1/webhooks", json=given)
    contest(program, imported)
    path = f"/api/v1/reviews/{opened(client)['id']}"
    is_problem(client.post(f"{path}/doubts", json={"ability": 10, "note": "x"}), 422)
    assert client.post(f"{path}/doubts", json={"ability": 9, "note": "语气何时算冷淡？"}).status_code == 204
    listed = f"/api/v1/campaigns/{imported.id}/doubts"
    [doubt] = admin.get(f"{listed}?closed=false").json()["items"]
    assert (doubt["ability"], doubt["note"], doubt["turn_id"]) == (9, "语气何时算冷淡？", 1)
    [told] = admin.get("/api/v1/webhooks/1/deliveries").json()["items"]
    assert told["data"] == {"campaign_id": imported.id, "turn_id": 1, "doubt_id": doubt["id"], "ability": 9}
    assert admin.post(f"{listed}/{doubt['id']}/close", json={"reply": "见第二版。"}).status_code == 204
    [mine] = client.get(path).json()["doubts"]
    assert (mine["ability"], mine["note"], mine["reply"]) == (9, "语气何时算冷淡？", "见第二版。")
    assert admin.get(f"{listed}?closed=false").json()["items"] == []
    assert admin.get(f"{listed}?closed=true").json()["items"][0]["reply"] == "见第二版。"
    is_problem(admin.post(f"{listed}/{doubt['id']}/close", json={}), 409)


def test_a_turn_that_is_handed_back_waits_again(program: Program, imported: Campaign) -> None:
    contest(program, imported)
    client = program("zhao")
    review = opened(client)
    path = f"/api/v1/reviews/{review['id']}"
    assert client.post(f"{path}/hand-back", json={"version": review["version"]}).status_code == 204
    assert client.get("/api/v1/review/queue").json()["waiting"] == 1


def test_a_review_is_kept_by_whoever_is_at_work_on_it(program: Program, imported: Campaign, database: Database) -> None:
    contest(program, imported)
    client = program("zhao")
    review = opened(client)
    path = f"/api/v1/reviews/{review['id']}"
    with database.writing() as session:
        session.get_one(Adjudication, review["id"]).leased_until = utcnow()
    assert client.post(f"{path}/renew").status_code == 204
    kept = client.get(path).json()
    assert datetime.fromisoformat(kept["leased_until"]) > utcnow() + timedelta(minutes=59)
    assert kept["version"] == review["version"]
    client.post(f"{path}/hand-back", json={"version": kept["version"]})
    is_problem(client.post(f"{path}/renew"), 409)


def test_a_policy_settles_what_needs_no_third_expert_under_it(program: Program, imported: Campaign) -> None:
    contest(program, imported)
    path = f"/api/v1/campaigns/{imported.id}"
    given = {"review_policy": "beyond a distance", "review_distance": 1, "audit_share": 0}
    assert program("sun").put(f"{path}/review-policy", json=given).json()["settled"] == 1
    assert program("sun").get(path).json()["review_policy"] == "beyond a distance"
    assert program("zhao").get("/api/v1/review/queue").json()["waiting"] == 0
