"""The admin's programs compare what a run changed, and read what a run needs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from annotation.db import Database, utcnow
from annotation.run_tables import CheckpointKind, RunKind, Worker
from annotation.store import runs
from app.settings import Settings
from rlhf.config import CONFIGS
from tests.api.conftest import Program
from tests.api.test_access import is_problem
from tests.api.test_ranking import pages
from tests.conftest import Cast
from workers.queue import TRAINING


@pytest.fixture
def admin(program: Program, cast: Cast) -> TestClient:
    return program("sun")


@pytest.fixture
def run_id(database: Database) -> int:
    """A run that has not begun."""
    with database.writing() as session:
        run = runs.start(session, runs.NewRun(RunKind.PPO, "p", {}), actor_id=None)
        session.flush()
        return run.id


def row(number: int, after: float) -> dict[str, Any]:
    side = {"text": "多喝水\u2028。", "score": 0.5, "tokens": 4, "ended": True, "kl": 0.0}
    history = [["孩子发烧", "多少度？"]]
    asked = {"dialogue": f"d{number}", "number": 2, "department": "儿科", "history": history, "message": "39 度"}
    return {**asked, "before": side, "after": {**side, "score": after, "kl": 1.5}}


def test_answers_before_and_after_come_page_by_page(admin: TestClient, settings: Settings, run_id: int) -> None:
    path = f"/api/v1/runs/{run_id}/comparison"
    is_problem(admin.get(path), 404)
    folder = settings.runs / str(run_id)
    folder.mkdir(parents=True)
    rows = [row(number, after) for number, after in enumerate((2.0, 1.0, 0.75))]
    text = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in rows)
    (folder / "samples.jsonl").write_text(text, encoding="utf-8")
    for limit in (1, 2, 3):
        found = pages(admin, path, limit)
        assert [(each["dialogue"], each["after"]["score"]) for each in found] == [
            ("d0", 2.0),
            ("d1", 1.0),
            ("d2", 0.75),
        ]
    assert found[0]["history"] == [{"patient": "孩子发烧", "doctor": "多少度？"}]
    assert found[0]["before"] == {"text": "多喝水\u2028。", "score": 0.5, "tokens": 4, "ended": True, "kl": 0.0}
    for forged in ("Wy0xXQ", "WzFlOTldIA", "Wzk5OTk5OTk5OTk5XQ"):  # [-1], [1e99], [99999999999]
        is_problem(admin.get(path, params={"cursor": forged}), 422)


def test_every_stage_says_what_it_needs_and_takes(admin: TestClient) -> None:
    told = {each["kind"]: each for each in admin.get("/api/v1/stages").json()}
    assert told.keys() == set(RunKind)
    reward, ppo = told["reward"], told["ppo"]
    assert (reward["snapshot"], reward["data_set"], reward["models"]) == ("required", None, ["base"])
    assert (ppo["data_set"], ppo["data_set_kind"], ppo["optional_models"]) == ("optional", "prompts", ["policy"])
    assert told["generate"]["campaign"] is True
    for kind in RunKind:
        assert told[kind]["settings"]["properties"].keys() == CONFIGS[kind].model_fields.keys()


def test_what_a_run_left_is_found_by_its_number(admin: TestClient, database: Database, run_id: int) -> None:
    with database.writing() as session:
        runs.add_checkpoint(session, "base", CheckpointKind.BASE, "/models/base", "0" * 64)
        runs.add_checkpoint(session, "left", CheckpointKind.POLICY, "/models/left", "1" * 64, run_id=run_id)
    assert [each["name"] for each in admin.get("/api/v1/models").json()["items"]] == ["left", "base"]
    found = admin.get("/api/v1/models", params={"run_id": run_id}).json()["items"]
    assert [each["name"] for each in found] == ["left"]


def test_the_workers_that_listen_are_told(admin: TestClient, database: Database) -> None:
    assert admin.get("/api/v1/workers").json() == []
    with database.writing() as session:
        session.add(Worker(name="a", queue=TRAINING, seen_at=utcnow()))
    assert [each["name"] for each in admin.get("/api/v1/workers").json()] == ["a"]
