"""An annotator's programs rank as the annotator does."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from annotation.db import Database
from annotation.store import campaigns, rankings
from annotation.tables import Campaign, PriorityRule
from tests.api.conftest import ORDER, Program, rank, reserve
from tests.api.test_access import is_problem
from tests.conftest import Cast

KEY = "a-key-of-my-own-1"


def test_a_turn_shows_letters_and_no_models(program: Program, imported: Campaign) -> None:
    answer = program("li").post(f"/api/v1/ranking/campaigns/{imported.id}/next")
    turn = answer.json()["turn"]
    assert [each["letter"] for each in turn["responses"]] == ["A", "B", "C", "D"]
    assert {each["text"] for each in turn["responses"]} == {"回答0", "回答1", "回答2", "回答3"}
    assert "model" not in answer.text
    assert "sampling" not in answer.text
    for telling in ("purpose", "leased"):  # by either one would know a turn that only measures
        assert telling not in answer.text


def test_the_letters_mean_the_responses_in_the_order_of_their_annotator(
    program: Program, imported: Campaign, database: Database
) -> None:
    turn = rank(program("li"), imported, "回答2", "回答0", "回答3", "回答1")
    with database.reading() as session:
        stored = rankings.latest(session, turn["id"])
        assert stored is not None
        assert rankings.read(stored).groups == ((2,), (0,), (3,), (1,))
        assert [b.ability for b in rankings.read(stored).boundaries] == [1, 4, 9]


def test_the_same_ranking_under_the_same_key_is_kept_once(program: Program, imported: Campaign) -> None:
    client = program("li")
    path = f"/api/v1/assignments/{reserve(client, imported)['id']}/ranking"
    first = client.put(path, json={**ORDER, "key": KEY})
    again = client.put(path, json={**ORDER, "key": KEY})
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    other = {**ORDER, "groups": [["B"], ["A"], ["C"], ["D"]], "key": KEY}
    is_problem(client.put(path, json=other), 409)
    assert client.put(path, json={**other, "key": KEY + "x"}).json()["version"] == 2


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"boundaries": [{"ability": 1}, {}, {"ability": 9}]}, "boundaries.1"),
        ({"faults": {"A": [1]}}, "faults"),
    ],
)
def test_what_the_screen_would_send_back_is_listed(
    program: Program, imported: Campaign, change: dict[str, Any], where: str
) -> None:
    client = program("li")
    path = f"/api/v1/assignments/{reserve(client, imported)['id']}/ranking"
    found = is_problem(client.put(path, json={**ORDER, **change, "key": KEY, "confirmed": True}), 422)
    assert [each["where"] for each in found["errors"]] == [where]
    assert client.get(path.removesuffix("/ranking")).json()["ranking"] is None
    chinese = client.put(path, json={**ORDER, **change, "key": KEY}, headers={"Accept-Language": "zh-CN"}).json()
    assert "能力" in chinese["errors"][0]["message"]


def test_a_campaign_that_warns_keeps_what_is_confirmed(
    program: Program, imported: Campaign, database: Database
) -> None:
    with database.writing() as session:
        campaigns.get(session, imported.id).priority_rule = PriorityRule.WARN
    client = program("li")
    path = f"/api/v1/assignments/{reserve(client, imported)['id']}/ranking"
    marked = {**ORDER, "faults": {"A": [1]}, "key": KEY}
    is_problem(client.put(path, json=marked), 422)
    assert client.put(path, json={**marked, "confirmed": True}).status_code == 200


@pytest.mark.parametrize(
    "groups",
    [[["A"], ["B"], ["C"]], [["A"], ["B"], ["C"], ["C"]], [["A", "B"]], [["A"], ["B"], ["C"], ["E"]], [], [[], ["A"]]],
)
def test_an_order_that_is_none_is_refused(program: Program, imported: Campaign, groups: list[list[str]]) -> None:
    client = program("li")
    path = f"/api/v1/assignments/{reserve(client, imported)['id']}/ranking"
    is_problem(client.put(path, json={"groups": groups, "key": KEY}), 422)


def test_none_acceptable_may_come_without_an_order(program: Program, imported: Campaign) -> None:
    client = program("li")
    path = f"/api/v1/assignments/{reserve(client, imported)['id']}/ranking"
    assert client.put(path, json={"groups": [], "none_acceptable": True, "key": KEY}).status_code == 200


def test_a_draft_is_the_one_of_the_browser_and_a_stale_one_is_refused(program: Program, imported: Campaign) -> None:
    client = program("li")
    path = f"/api/v1/assignments/{reserve(client, imported)['id']}/draft"
    assert client.get(path).json() == {"revision": 0, "fields": {}, "updated_at": None}
    fields = {"place-a": "1", "fault-b": ["1", "3"]}
    assert client.put(path, json={"revision": 0, "fields": fields}).json()["revision"] == 1
    assert client.get(path).json()["fields"] == fields
    is_problem(client.put(path, json={"revision": 0, "fields": {}}), 409)


def test_the_turn_of_another_does_not_exist(program: Program, imported: Campaign) -> None:
    mine = f"/api/v1/assignments/{reserve(program('li'), imported)['id']}"
    other = program("wang")
    is_problem(other.get(mine), 404)
    is_problem(other.get(f"{mine}/draft"), 404)
    is_problem(other.put(f"{mine}/draft", json={"revision": 0, "fields": {}}), 404)
    is_problem(other.put(f"{mine}/ranking", json={**ORDER, "key": KEY}), 404)
    is_problem(other.post(f"{mine}/cannot-judge", json={"reason": "x"}), 404)


def test_a_campaign_in_which_one_does_not_rank_does_not_exist(program: Program, imported: Campaign) -> None:
    client = program("chen")
    assert client.get("/api/v1/ranking/campaigns").json() == []
    is_problem(client.post(f"/api/v1/ranking/campaigns/{imported.id}/next"), 404)
    is_problem(client.get(f"/api/v1/ranking/campaigns/{imported.id}/guideline"), 404)


def test_a_turn_handed_back_frees_its_place_and_nothing_left_is_said_without_a_body(
    program: Program, imported: Campaign
) -> None:
    client = program("li")
    assert client.get("/api/v1/ranking/campaigns").json()[0]["left"] == 3
    for _ in range(3):
        path = f"/api/v1/assignments/{reserve(client, imported)['id']}/cannot-judge"
        is_problem(client.post(path, json={"reason": " "}), 422)
        assert client.post(path, json={"reason": "文字不全"}).status_code == 204
        is_problem(client.post(path, json={"reason": "文字不全"}), 409)
    answer = client.post(f"/api/v1/ranking/campaigns/{imported.id}/next")
    assert (answer.status_code, answer.content) == (204, b"")


def test_the_guideline_is_told(program: Program, imported: Campaign) -> None:
    said = program("li").get(f"/api/v1/ranking/campaigns/{imported.id}/guideline").json()
    assert (said["version"], said["text"]) == (1, "先看安全。")


def pages(client: TestClient, path: str, limit: int) -> list[dict[str, Any]]:
    """Every item of a list, page by page."""
    items, cursor = [], None
    while True:
        query = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
        page = client.get(path, params=query).json()
        assert len(page["items"]) <= limit
        items += page["items"]
        cursor = page["next"]
        if cursor is None:
            return items


def test_the_history_is_one_s_own_newest_first_page_by_page(program: Program, imported: Campaign, cast: Cast) -> None:
    client = program("li")
    done = [rank(client, imported, "回答0", "回答1", "回答2", "回答3")["id"] for _ in range(3)]
    for limit in (1, 2, 3):
        assert [each["assignment_id"] for each in pages(client, "/api/v1/history", limit)] == done[::-1]
    assert client.get("/api/v1/history").json()["items"][0]["correctable"] is True
    assert program("wang").get("/api/v1/history").json() == {"items": [], "next": None}


def test_a_new_version_of_the_guideline_is_got_before_the_next_turn(
    program: Program, imported: Campaign, database: Database, cast: Cast
) -> None:
    client, path = program("li"), f"/api/v1/ranking/campaigns/{imported.id}"
    reserve(client, imported)
    with database.writing() as session:
        campaigns.revise_guideline(session, campaigns.get(session, imported.id), "先看准确。", actor_id=cast.sun.id)
    is_problem(client.post(f"{path}/next"), 409)
    shown = client.get(f"{path}/guideline").json()
    assert (shown["version"], shown["before"]["version"], shown["before"]["text"]) == (2, 1, "先看安全。")
    is_problem(client.post(f"{path}/next"), 409)  # to look at it is not yet to have read it
    is_problem(client.post(f"{path}/guideline/read", json={"version": 3}), 404)
    assert client.post(f"{path}/guideline/read", json={"version": 2}).status_code == 204
    assert client.get(f"{path}/guideline").json()["before"] is None
    held = reserve(client, imported)
    client.put(f"/api/v1/assignments/{held['id']}/ranking", json={**ORDER, "key": KEY})
    with database.reading() as session:
        stored = rankings.latest(session, held["id"])
        assert stored is not None
        assert stored.guideline.version == 2
