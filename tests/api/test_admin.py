"""The admin's programs: campaigns, dialogues, turns, snapshots, runs, people, audit."""

from __future__ import annotations

import hashlib
import json

import pytest

from annotation.db import Database
from annotation.run_tables import CheckpointKind, DataSetKind
from annotation.store import campaigns, data_sets, people, runs
from annotation.tables import Campaign
from tests.api.conftest import Program, contest, rank
from tests.api.test_access import is_problem
from tests.api.test_ranking import pages
from tests.conftest import Cast
from tests.material import json_lines, own_row
from tests.store.test_foreign_rankings import ORDERS, as_the_tool_stores, input_file


def test_a_campaign_is_created_changed_and_read(program: Program, cast: Cast) -> None:
    client = program("sun")
    made = client.post("/api/v1/campaigns", json={"name": "心内科", "k": 3, "guideline": "先看安全。"})
    assert made.status_code == 201
    path = f"/api/v1/campaigns/{made.json()['id']}"
    is_problem(client.post("/api/v1/campaigns", json={"name": "心内科"}), 409)
    is_problem(client.post("/api/v1/campaigns", json={"name": "  "}), 422)
    is_problem(client.patch(path, json={}), 422)
    changed = client.patch(path, json={"lease_minutes": 30, "guideline": "先看准确。"}).json()
    assert (changed["lease_minutes"], changed["ties_allowed"], changed["k"]) == (30, True, 3)
    assert (changed["guideline"]["version"], changed["guideline"]["text"]) == (2, "先看准确。")
    assert client.patch(path, json={"open": False}).json()["open"] is False
    assert client.patch(path, json={"name": "心血管"}).json()["name"] == "心血管"
    is_problem(client.patch(path, json={"name": " "}), 422)
    assert client.patch(path, json={"name": "心内科", "ties_allowed": True}).json()["name"] == "心内科"
    after = client.get(path).json()
    assert (after["open"], after["lease_minutes"], after["guideline"]["version"]) == (False, 30, 2)
    assert [each["name"] for each in client.get("/api/v1/campaigns").json()["items"]] == ["心内科"]


def test_nobody_ranks_in_a_new_campaign_until_it_is_said_who(program: Program, cast: Cast) -> None:
    client = program("sun")
    for number, ids in enumerate(([], [cast.wang.id])):
        made = client.post("/api/v1/campaigns", json={"name": f"c{number}", "user_ids": ids}).json()
        members = client.get(f"/api/v1/campaigns/{made['id']}/members").json()
        assert [each["id"] for each in members] == ids
    is_problem(client.post("/api/v1/campaigns", json={"name": "c3", "user_ids": [cast.zhao.id]}), 422)


def test_only_annotators_become_members(program: Program, campaign: Campaign, cast: Cast) -> None:
    client, path = program("sun"), f"/api/v1/campaigns/{campaign.id}/members"
    assert {each["login"] for each in client.get(path).json()} == {"li", "wang", "chen"}
    answer = client.put(path, json={"user_ids": [cast.li.id]})
    assert [each["login"] for each in answer.json()] == ["li"]
    is_problem(client.put(path, json={"user_ids": [cast.li.id, cast.zhao.id, 99]}), 422)
    assert [each["login"] for each in client.get(path).json()] == ["li"]


def test_a_file_with_problems_is_reported_row_by_row_and_nothing_is_imported(
    program: Program, campaign: Campaign
) -> None:
    client, path = program("sun"), f"/api/v1/campaigns/{campaign.id}/dialogues"
    file = json_lines(own_row("d1"), {"id": "d2", "turns": []}, {"x": 1})
    found = is_problem(client.post(path, content=file), 422)
    assert [each["where"].split(",")[0] for each in found["errors"]] == ["line 2", "line 3"]
    assert client.get(f"/api/v1/campaigns/{campaign.id}/progress").json()["turns"] == 0
    report = client.post(f"{path}?skip=true&source=first.jsonl", content=file).json()
    assert (report["dialogues"], report["turns"], len(report["skipped"])) == (1, 1, 2)
    assert {name for each in report["skipped"] for name in each} == {"where", "message"}
    again = client.post(path, content=json_lines(own_row("d1"))).json()
    assert (again["dialogues"], again["known"]) == (0, 1)
    is_problem(client.post(path, content=json_lines(own_row("d1", "别的问题"))), 409)


def test_turns_come_in_the_order_of_import_and_what_is_added_meanwhile_shifts_nothing(
    program: Program, campaign: Campaign
) -> None:
    client, path = program("sun"), f"/api/v1/campaigns/{campaign.id}"
    for i in range(5):
        client.post(f"{path}/dialogues", content=json_lines(own_row(f"d{i}", f"问题{i}")))
    assert [each["dialogue"] for each in pages(client, f"{path}/turns", 2)] == ["d0", "d1", "d2", "d3", "d4"]
    first = client.get(f"{path}/turns?limit=2").json()
    client.post(f"{path}/dialogues", content=json_lines(own_row("late", "迟到的问题")))
    second = client.get(f"{path}/turns", params={"limit": "2", "cursor": first["next"]}).json()
    assert [each["dialogue"] for each in second["items"]] == ["d2", "d3"]
    assert client.get(f"{path}/turns?state=settled").json()["items"] == []
    assert [each["dialogue"] for each in client.get(f"{path}/turns?dialogue=d3").json()["items"]] == ["d3"]
    assert client.get(f"{path}/turns?department=外科").json()["items"] == []
    is_problem(client.get(f"{path}/turns?state=lost"), 422)


def test_newest_first_lists_do_not_repeat_when_something_is_added(program: Program, cast: Cast) -> None:
    client = program("sun")
    for i in range(4):
        client.post("/api/v1/campaigns", json={"name": f"c{i}"})
    first = client.get("/api/v1/campaigns?limit=2").json()
    client.post("/api/v1/campaigns", json={"name": "c4"})
    second = client.get("/api/v1/campaigns", params={"limit": "2", "cursor": first["next"]}).json()
    assert [each["name"] for each in first["items"] + second["items"]] == ["c3", "c2", "c1", "c0"]
    assert second["next"] is None


def test_a_cursor_that_is_not_ours_is_refused(program: Program, cast: Cast) -> None:
    for cursor in ("x", "W10", "!!", "InggIg", "e30", "WzEuNV0"):
        is_problem(program("sun").get("/api/v1/campaigns", params={"cursor": cursor}), 422)
        is_problem(program("li").get("/api/v1/history", params={"cursor": cursor}), 422)
    for limit in ("0", "201", "x"):
        is_problem(program("sun").get("/api/v1/campaigns", params={"limit": limit}), 422)


def test_a_turn_shows_the_admin_everything_that_was_said(program: Program, imported: Campaign, cast: Cast) -> None:
    contest(program, imported)
    turn = program("sun").get(f"/api/v1/campaigns/{imported.id}/turns/1").json()
    assert turn["state"] == "contested"
    assert [each["model"] for each in turn["responses"]] == ["m"] * 4
    orders = {each["user_id"]: each["order"]["groups"] for each in turn["rankings"]}
    assert orders == {cast.li.id: [["A"], ["B"], ["C"], ["D"]], cast.wang.id: [["B"], ["A"], ["C"], ["D"]]}
    assert turn["settled_pairs"] == []
    for login in ("li", "wang"):
        rank(program(login), imported, "回答3", "回答0", "回答1", "回答2")
    agreed = program("sun").get(f"/api/v1/campaigns/{imported.id}/turns/2").json()["settled_pairs"]
    assert agreed[2] == {"first": "A", "second": "D", "relation": "<", "ability": 1, "provenance": "agreed"}
    assert len(agreed) == 6
    is_problem(program("sun").get(f"/api/v1/campaigns/{imported.id}/turns/99"), 404)


def test_what_is_settled_is_frozen_and_its_files_are_those_that_the_manifest_seals(
    program: Program, imported: Campaign
) -> None:
    client = program("sun")
    is_problem(client.post(f"/api/v1/campaigns/{imported.id}/snapshots"), 409)
    for login in ("li", "wang"):
        rank(program(login), imported, "回答0", "回答1", "回答2", "回答3")
    frozen = client.post(f"/api/v1/campaigns/{imported.id}/snapshots")
    assert frozen.status_code == 201
    path = f"/api/v1/snapshots/{frozen.json()['id']}"
    manifest = client.get(f"{path}/files/manifest.json").content
    assert hashlib.sha256(manifest).hexdigest() == client.get(path).json()["sha256"]
    rows = client.get(f"{path}/files/turns.jsonl").content
    assert hashlib.sha256(rows).hexdigest() == json.loads(manifest)["files"]["turns.jsonl"]["sha256"]
    is_problem(client.get(f"{path}/files/passwd"), 404)
    assert len(client.get("/api/v1/snapshots", params={"campaign_id": imported.id}).json()["items"]) == 1
    assert client.get("/api/v1/snapshots?campaign_id=99").json()["items"] == []
    formats = client.get(path).json()["formats"]
    archives = {name: client.get(f"{path}/formats/{name}").content for name in formats}
    assert len(archives) > 1
    assert all(archive.startswith(b"PK") for archive in archives.values())
    is_problem(client.get(f"{path}/formats/nothing"), 404)
    is_problem(client.post("/api/v1/snapshots/restore", content=b"no archive"), 422)


def test_a_data_set_is_registered_by_its_file(program: Program, cast: Cast) -> None:
    client, rows = program("sun"), json_lines({"text": "头痛三天了。"})
    made = client.post("/api/v1/data-sets?name=c&kind=corpus", content=rows)
    assert (made.status_code, made.json()["rows"]) == (201, 1)
    assert made.json()["sha256"] == hashlib.sha256(rows).hexdigest()
    is_problem(client.post("/api/v1/data-sets?name=c&kind=prompts", content=rows), 422)


def test_a_run_is_started_once_watched_and_cancelled(program: Program, database: Database, cast: Cast) -> None:
    client = program("sun")
    with database.writing() as session:
        corpus = data_sets.add(session, "c", DataSetKind.CORPUS, "/none", "0" * 64, 1, actor_id=None)
    given = {"kind": "pretrain", "name": "p", "data_set_id": corpus.id, "settings": {"epochs": 2}}
    started = client.post("/api/v1/runs", json=given)
    assert started.status_code == 201
    assert started.json()["config"]["epochs"] == 2
    assert client.post("/api/v1/runs", json=given).json()["id"] == started.json()["id"]
    path = f"/api/v1/runs/{started.json()['id']}"
    with database.writing() as session:
        token = runs.claim(session, started.json()["id"], "w")
        assert token is not None
        runs.renew(session, started.json()["id"], token)
        rows = [{"step": i, "values": {"loss": 1 / (i + 1)}} for i in range(5)]
        runs.append(session, started.json()["id"], rows, "hello\n")
    assert [each["step"] for each in pages(client, f"{path}/records", 2)] == [0, 1, 2, 3, 4]
    assert client.get(f"{path}/log").json()["text"] == "hello\n"
    assert client.post(f"{path}/cancel").json()["cancel_requested"] is True
    assert [each["id"] for each in client.get("/api/v1/runs?kind=pretrain&state=running").json()["items"]] == [1]
    assert client.get("/api/v1/runs?kind=ppo").json()["items"] == []


def test_a_run_that_cannot_be_says_what_to_mend(program: Program, cast: Cast) -> None:
    client = program("sun")
    found = is_problem(client.post("/api/v1/runs", json={"kind": "pretrain", "settings": {"epochs": -1}}), 422)
    assert [each["where"] for each in found["errors"]] == ["body.settings.epochs"]
    found = is_problem(client.post("/api/v1/runs", json={"kind": "reward"}), 422)
    assert "base" in found["detail"]
    is_problem(client.post("/api/v1/runs", json={"kind": "pretrain", "data_set_id": 9}), 404)


def test_models_and_data_sets_are_listed(program: Program, database: Database, cast: Cast) -> None:
    with database.writing() as session:
        runs.add_checkpoint(session, "base-1", CheckpointKind.BASE, "/secret/place", "0" * 64)
        data_sets.add(session, "c", DataSetKind.CORPUS, "/secret/place", "0" * 64, 1, actor_id=None)
    for path, name in (("models", "base-1"), ("data-sets", "c")):
        answer = program("sun").get(f"/api/v1/{path}")
        assert [each["name"] for each in answer.json()["items"]] == [name]
        assert "/secret" not in answer.text


def test_people_are_invited_paused_and_reset(program: Program, database: Database, cast: Cast) -> None:
    client = program("sun")
    made = client.post("/api/v1/people", json={"login": "zhou", "name": "周静", "role": "annotator"})
    assert made.status_code == 201
    code = made.json()["link"].rpartition("/")[2]
    with database.writing() as session:
        assert people.accept_invitation(session, code, "hash").login == "zhou"
    path = f"/api/v1/people/{made.json()['person']['id']}"
    assert client.patch(path, json={"state": "paused", "may_adjudicate": True}).json()["state"] == "paused"
    assert client.get(path).json()["may_adjudicate"] is True
    assert "/invitation/" in client.post(f"{path}/invitation").json()["link"]
    for wrong in ({}, {"state": "invited"}, {"state": "gone"}):
        is_problem(client.patch(path, json=wrong), 422)
    is_problem(client.patch(f"/api/v1/people/{cast.sun.id}", json={"state": "paused"}), 409)
    is_problem(client.post("/api/v1/people", json={"login": "zhou", "name": "x", "role": "admin"}), 409)
    is_problem(client.post("/api/v1/people", json={"login": "a b", "name": "x", "role": "admin"}), 422)


def test_what_programs_do_is_audited_in_the_name_of_their_owner(
    program: Program, imported: Campaign, cast: Cast
) -> None:
    events = pages(program("sun"), "/api/v1/audit", 3)
    assert {"imported", "members changed", "token created"} <= {each["action"] for each in events}
    assert [each["actor_id"] for each in events if each["action"] == "imported"] == [cast.sun.id]
    assert [each["id"] for each in events] == sorted((each["id"] for each in events), reverse=True)


def test_progress_counts_turns_by_state(program: Program, imported: Campaign, database: Database) -> None:
    said = program("sun").get(f"/api/v1/campaigns/{imported.id}/progress").json()
    assert (said["turns"], said["by_state"], said["rankings"]) == (3, {"open": 3}, 0)
    with database.reading() as session:
        assert campaigns.progress(session, imported.id).turns == 3


def test_the_statistics_are_those_of_the_page(program: Program, imported: Campaign, cast: Cast) -> None:
    contest(program, imported)
    client, path = program("sun"), f"/api/v1/campaigns/{imported.id}/statistics"
    assert "agreement" in client.get(path).json()
    tables = {(each["name"], each["by"]): each["rows"] for each in client.get(f"{path}/agreement").json()}
    [over_all] = tables["agreement", "all"]
    assert over_all["group"] == []
    figures = {each["name"]: (each["value"], each["n"]) for each in over_all["figures"]}
    assert any(value == pytest.approx(5 / 6) for value, _ in figures.values())
    pairs = [row["group"] for (_, by), rows in tables.items() if by == "annotators" for row in rows]
    assert [cast.li.id, cast.wang.id] in pairs
    for part in client.get(path).json():
        assert client.get(f"{path}/{part}").status_code == 200
    is_problem(client.get(f"{path}/nothing"), 404)


def test_places_are_kept_for_people_and_limits_hold(program: Program, imported: Campaign, cast: Cast) -> None:
    client, path = program("sun"), f"/api/v1/campaigns/{imported.id}"
    kept = client.post(f"{path}/turns/3/named-places", json={"user_ids": [cast.li.id]})
    assert kept.json() == [{"user_id": cast.li.id, "taken": False}]
    assert client.get(f"{path}/turns/3/named-places").json() == kept.json()
    assert client.delete(f"{path}/turns/3/named-places/{cast.li.id}").status_code == 204
    assert client.get(f"{path}/turns/3/named-places").json() == []
    is_problem(client.delete(f"{path}/turns/3/named-places/{cast.li.id}"), 409)
    is_problem(client.post(f"{path}/turns/3/named-places", json={"user_ids": [cast.chen.id]}), 422)
    is_problem(client.post(f"{path}/turns/99/named-places", json={"user_ids": [cast.li.id]}), 404)
    given = {"user_ids": [cast.li.id, cast.wang.id], "dialogues": ["d0", "d1"]}
    assert client.post(f"{path}/named-places", json=given).json() == {"turns": 2}
    limits = f"{path}/members/{cast.li.id}/limits"
    assert client.put(limits, json={"most_a_day": 0}).json() == {"most_a_day": 0, "most_in_all": None}
    assert program("li").post(f"/api/v1/ranking/campaigns/{imported.id}/next").status_code == 204
    is_problem(client.put(f"{path}/members/{cast.chen.id}/limits", json={"most_a_day": 1}), 404)
    is_problem(client.put(limits, json={"most_a_day": -1}), 422)


def test_what_is_handed_out_is_changed_and_refused_whole(program: Program, imported: Campaign) -> None:
    client, path = program("sun"), f"/api/v1/campaigns/{imported.id}"
    changed = client.patch(path, json={"turn_order": "by dialogue", "repeat_share": 0.1}).json()
    assert (changed["turn_order"], changed["repeat_share"], changed["random_share"]) == ("by dialogue", 0.1, 0.2)
    is_problem(client.patch(path, json={"repeat_share": 0.6, "gold_share": 0.6}), 422)
    assert client.get(path).json()["repeat_share"] == 0.1


def test_only_a_settled_turn_can_be_gold(program: Program, imported: Campaign) -> None:
    client, path = program("sun"), f"/api/v1/campaigns/{imported.id}/turns/1"
    is_problem(client.put(f"{path}/gold", json={"gold": True}), 409)
    for login in ("li", "wang"):
        rank(program(login), imported, "回答0", "回答1", "回答2", "回答3")
    assert client.put(f"{path}/gold", json={"gold": True}).json() == {"gold": True}
    assert client.get(path).json()["gold"] is True


def test_a_calibration_round_is_begun_revealed_and_closed(program: Program, imported: Campaign, cast: Cast) -> None:
    client, path = program("sun"), f"/api/v1/campaigns/{imported.id}/calibration"
    begun = client.post(path, json={"name": "第一轮", "turns": 1})
    assert begun.status_code == 201
    one = f"{path}/{begun.json()['id']}"
    is_problem(client.post(f"{one}/close"), 409)
    for login in ("li", "wang"):
        turn = rank(program(login), imported, "回答0", "回答1", "回答2", "回答3")
        assert "calibration" not in str(turn)
    found = client.get(one).json()
    assert (found["turns"], found["done"]) == (1, {str(cast.li.id): 1, str(cast.wang.id): 1})
    assert client.post(f"{one}/reveal").json()["revealed_at"] is not None
    assert client.post(f"{one}/close").json()["closed_at"] is not None
    assert [each["name"] for each in client.get(path).json()] == ["第一轮"]
    is_problem(client.get(f"{path}/99"), 404)


def test_what_each_policy_would_cost_is_told_before_one_is_chosen(program: Program, imported: Campaign) -> None:
    contest(program, imported)
    for login in ("li", "wang"):
        rank(program(login), imported, "回答0", "回答1", "回答2", "回答3")
    client, path = program("sun"), f"/api/v1/campaigns/{imported.id}/review-policy"
    found = client.get(f"{path}/cost", params={"review_distance": "1", "audit_share": "0.5"}).json()
    assert (found["seen"], found["coming"], found["waiting"], found["seconds_a_turn"]) == (2, 1, 1, None)
    costs = {each["review_policy"]: each for each in found["costs"]}
    assert costs["any difference"]["turns"] == 1.5  # the one that waits, and every other of the one to come
    assert (costs["beyond a distance"]["turns"], costs["beyond a distance"]["settles"]) == (0, 1)
    assert costs["beyond a distance"]["audits"] == 0.25  # half of what is agreed, as every other is so far
    assert client.get(f"{path}/cost").json()["costs"][0]["audits"] == 0
    is_problem(client.get(f"{path}/cost?review_distance=11"), 422)


def test_what_a_snapshot_would_hold_is_told_before_it_is_frozen(program: Program, imported: Campaign) -> None:
    for login in ("li", "wang"):
        rank(program(login), imported, "回答0", "回答1", "回答2", "回答3")
    client, path = program("sun"), f"/api/v1/campaigns/{imported.id}/snapshots"
    assert client.get(f"{path}/preview").json() == {"turns": 1, "settled": {"agreed": 1}, "left_out": 2}
    assert client.get("/api/v1/snapshots").json()["items"] == []


def test_a_table_of_the_label_tool_comes_in_mended_where_its_input_file_came_first(
    program: Program, campaign: Campaign
) -> None:
    client, path = program("sun"), f"/api/v1/campaigns/{campaign.id}"
    told = {"annotator": "甲", "mend": "true"}
    table = as_the_tool_stores(ORDERS)
    found = is_problem(client.post(f"{path}/rankings", params=told, content=table), 422)
    assert found["errors"][0]["where"].startswith("line 2, ")
    assert client.get(f"{path}/progress").json()["turns"] == 0
    client.post(f"{path}/dialogues", content=json.dumps(input_file()).encode())
    done = client.post(f"{path}/rankings", params=told, content=table)
    assert done.json() == {"rankings": 24, "numbered": 24, "differing": 14, "mended": True}
    is_problem(client.post(f"{path}/rankings", params=told, content=table), 422)
    is_problem(client.post(f"{path}/rankings", params=told, content=b"id\tquery\n"), 422)
    is_problem(client.post(f"{path}/rankings", content=table), 422)
