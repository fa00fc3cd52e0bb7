"""The admin starts several stages at once; each follows the one before it, and a failure ends the row."""

from __future__ import annotations

import json
from html import unescape
from pathlib import Path

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from annotation.db import Database
from annotation.run_tables import CheckpointKind, DataSetKind, Run, RunKind, RunState
from annotation.store import data_sets, runs
from app.settings import Settings
from rlhf.checkpoints import Lineage, writing
from workers import outcomes
from workers.spec import write_spec


@pytest.fixture
def form(database: Database, tmp_path: Path) -> dict[str, str]:
    """Pre-training on a corpus and fine-tuning on dialogues, with the small settings and one change."""
    with database.writing() as session:
        corpus, dialogues = (
            str(data_sets.add(session, kind, kind, str(tmp_path / kind), "0" * 64, 1, actor_id=None).id)
            for kind in (DataSetKind.CORPUS, DataSetKind.DIALOGUES)
        )
    return {"step-pretrain": "on", "step-sft": "on", "data-corpus": corpus, "data-dialogues": dialogues,
            "file": "small", "changes": "sft.epochs = 2\n"}  # fmt: skip


def the_runs(database: Database) -> list[Run]:
    with database.reading() as session:
        return list(session.scalars(select(Run).order_by(Run.id)))


def end(database: Database, settings: Settings, run: Run, status: int) -> None:
    """As a worker ends a run: with a whole model where it succeeded."""
    folder = settings.runs / str(run.id)
    folder.mkdir(parents=True)
    with database.writing() as session:
        token = runs.claim(session, run.id, "w")
        write_spec(session, runs.get(session, run.id), folder)
    assert token is not None
    if status == 0:
        with writing(folder / "model") as model:
            Lineage(run.kind, {}, {}).write(model)
    outcomes.conclude(database, folder, run.id, token, status, cancelled=False)


def test_a_pipeline_goes_on_by_itself(
    admin: TestClient, database: Database, settings: Settings, form: dict[str, str]
) -> None:
    answer = admin.post("/admin/pipelines/new", data=form)
    assert answer.status_code == 303
    [first] = the_runs(database)
    assert (first.kind, first.state, first.config["hidden_size"]) == (RunKind.PRETRAIN, RunState.QUEUED, 256)
    end(database, settings, first, 0)
    first, second = the_runs(database)
    assert first.state is RunState.SUCCEEDED
    assert (second.kind, second.state, second.config["epochs"]) == (RunKind.SFT, RunState.QUEUED, 2)
    assert [(each.role, each.checkpoint.name) for each in second.inputs] == [
        (CheckpointKind.BASE, f"pretrain-{first.id}")
    ]
    said = json.loads((settings.runs / str(first.id) / "spec.json").read_text(encoding="utf-8"))
    assert "pipeline" not in said["config"]
    assert f'href="/admin/runs/{second.id}"' in admin.get(f"/admin/runs/{first.id}").text
    assert f'href="/admin/runs/{first.id}"' in admin.get(f"/admin/runs/{second.id}").text


def test_a_failed_step_ends_the_pipeline_and_says_so(
    admin: TestClient, database: Database, settings: Settings, form: dict[str, str]
) -> None:
    admin.post("/admin/pipelines/new", data=form)
    [first] = the_runs(database)
    end(database, settings, first, 1)
    [first] = the_runs(database)
    assert first.state is RunState.FAILED
    assert "the steps after this one are not started" in admin.get(f"/admin/runs/{first.id}").text


NO_PIPELINE = [
    ({"step-sft": ""}, "Choose two steps or more"),
    ({"step-pretrain": "", "step-reward": "on"}, "Choose what the run starts from: base."),
    ({"data-dialogues": ""}, "Choose what the run starts from: data."),
    ({"changes": "sft.epochs = 0"}, "A number above 0 was expected."),
    ({"changes": "epochs 2"}, "Write a change as stage.setting = value, not as epochs 2."),
    ({"file": "../secret"}, "There is no settings file named ../secret."),
    ({"step-ppo": "on", "changes": "ppo.dry_run = true"}, "A dry run leaves no model for the steps after it"),
]


def test_what_cannot_be_comes_back_with_the_form(admin: TestClient, database: Database, form: dict[str, str]) -> None:
    for changes, said in NO_PIPELINE:
        answer = admin.post("/admin/pipelines/new", data=form | changes)
        assert answer.status_code == 422
        assert said in unescape(answer.text)
    assert not the_runs(database)


def test_the_form_offers_every_step(admin: TestClient) -> None:
    text = admin.get("/admin/pipelines/new").text
    for kind in ("pretrain", "sft", "generate", "reward", "ppo", "evaluate"):
        assert f'name="step-{kind}"' in text
    assert "paper" in text
