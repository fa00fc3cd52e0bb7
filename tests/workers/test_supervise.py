"""What a watched training prints and writes, and what its end means."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from annotation.db import Database
from annotation.run_tables import CheckpointKind, DataSetKind, RunKind, RunState
from annotation.store import data_sets, runs
from annotation.store.runs import NewRun
from workers import carrying, outcomes, supervise
from workers.carrying import Tail, clean
from workers.settings import Settings


@pytest.fixture
def settings(database: Database, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, DATABASE_URL=database.url.render_as_string(hide_password=False))


def start(database: Database, tmp_path: Path, config: dict[str, object], rows: str = '{"text": "多喝水。"}\n') -> int:
    """A pre-training run on a file of rows."""
    file = tmp_path / "corpus.jsonl"
    file.write_text(rows, encoding="utf-8")
    with database.writing() as session:
        data = data_sets.add(session, "c", DataSetKind.CORPUS, str(file), "0" * 64, 1, actor_id=None)
        run = runs.start(session, NewRun(RunKind.PRETRAIN, "r", config, data_set_id=data.id), actor_id=None)
        session.flush()
        return run.id


TINY = {"hidden_size": 16, "layers": 1, "heads": 2, "vocabulary": 300, "block_length": 16, "epochs": 1.0, "threads": 1}


def test_a_run_that_succeeds_leaves_a_model_metrics_and_a_log(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    run_id = start(database, tmp_path, TINY, '{"text": "多喝水，注意休息。"}\n' * 20)
    assert supervise.work(database, settings, run_id, "w")
    with database.reading() as session:
        run, made = runs.get(session, run_id), runs.checkpoint_of(session, run_id)
        log = runs.log_tail(session, run_id)
        losses = [loss for _, loss in runs.curve(session, run_id, "loss")]
    assert (run.state, run.error) == (RunState.SUCCEEDED, None), log
    assert run.step == run.steps == len(losses) > 0
    assert "train_loss" in log
    assert made is not None
    assert (made.kind, made.name) == (CheckpointKind.BASE, f"pretrain-{run_id}")
    assert made.lineage["stage"] == "pretrain"
    assert made.sha256 in json.dumps(run.result) or run.result is not None


def test_a_run_that_is_refused_says_why(database: Database, settings: Settings, tmp_path: Path) -> None:
    run_id = start(database, tmp_path, TINY)
    supervise.work(database, settings, run_id, "w")
    with database.reading() as session:
        run = runs.get(session, run_id)
    assert run.state is RunState.FAILED
    assert "fewer than 16 tokens" in (run.error or "")


def test_a_run_that_somebody_else_has_is_left_alone(database: Database, settings: Settings, tmp_path: Path) -> None:
    run_id = start(database, tmp_path, TINY)
    with database.writing() as session:
        assert runs.claim(session, run_id, "other") == 1
    assert not supervise.work(database, settings, run_id, "w")


def test_a_training_does_not_see_the_workers_secrets(
    database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:secret@db/x")
    monkeypatch.setenv("REDIS_URL", "redis://:secret@redis/0")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    spy = tmp_path / "python"
    spy.write_text(f"#!/bin/sh\nenv > {tmp_path}/environment\n")
    spy.chmod(0o755)
    supervise.work(database, settings, start(database, tmp_path, TINY), "w")
    environment = (tmp_path / "environment").read_text()
    assert "HF_HUB_OFFLINE=1" in environment
    assert "secret" not in environment


@pytest.mark.parametrize(
    ("status", "printed", "said"),
    [
        (137, "", "ran out of memory"),
        (1, "Traceback\ntorch.OutOfMemoryError: CUDA out of memory\n", "GPU ran out of memory"),
        (1, "Traceback\nValueError: odd\n", "ValueError: odd"),
        (5, "", "status 5"),
    ],
)
def test_why_a_run_failed_is_said(tmp_path: Path, status: int, printed: str, said: str) -> None:
    (tmp_path / "log.txt").write_text(printed)
    assert said in outcomes.explain(tmp_path, status)


def test_a_refusal_is_said_though_torchrun_gives_its_own_status(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("torch.distributed.elastic: FAILED\n")
    assert "FAILED" in outcomes.explain(tmp_path, 1)
    row = {"at": 1.0, "event": "refused", "step": 0, "values": {"why": "The corpus is empty."}}
    (tmp_path / "records.jsonl").write_text(json.dumps(row) + "\n")
    assert outcomes.explain(tmp_path, 1) == outcomes.explain(tmp_path, 2) == "The corpus is empty."


def test_a_refusal_is_said_though_a_kill_cut_an_earlier_line_short(tmp_path: Path) -> None:
    row = {"at": 1.0, "event": "refused", "step": 0, "values": {"why": "The corpus is empty."}}
    torn = b'{"at": 0.5, "step": 1, "val' + "多".encode()[:2]
    (tmp_path / "records.jsonl").write_bytes(torn + (json.dumps(row) + "\n").encode() + torn)
    assert outcomes.explain(tmp_path, 2) == "The corpus is empty."


def test_a_file_of_launchers_that_is_broken_ends_no_run_on_this_machine(
    database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.launchers.write_text('[cluster]\nengine = "lsf"\n')
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 5\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    run_id = start(database, tmp_path, TINY)
    supervise.work(database, settings, run_id, "w")
    with database.reading() as session:
        assert runs.get(session, run_id).error == "The training ended with status 5."


def test_a_line_that_a_kill_cut_short_takes_nothing_with_it() -> None:
    whole = '{"at": 1.0, "step": 1, "values": {}}'
    assert carrying.row_of('{"at": 1.0, "st' + whole) == carrying.row_of(whole) == json.loads(whole)
    assert carrying.row_of('{"at": 1.0, "st') == carrying.row_of("7") == {}


def test_a_log_is_text_without_colours_and_overwritten_lines() -> None:
    printed = "\x1b[31mred\x1b[0m <script>alert(1)</script>\n10%\r50%\r100%\r\nbell\x07\n"
    assert clean(printed) == "red <script>alert(1)</script>\n100%\nbell\n"


def test_only_whole_lines_are_read_and_each_once(tmp_path: Path) -> None:
    file = tmp_path / "f"
    tail = Tail(file)
    assert tail.read(100) == ""
    file.write_text("one\ntw", encoding="utf-8")
    assert tail.read(100) == "one\n"
    with file.open("a", encoding="utf-8") as more:
        more.write("o 多喝水\n")
    assert tail.read(100) == "two 多喝水\n"
    assert tail.read(100) == ""


def test_a_line_longer_than_a_look_is_read_in_pieces(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("x" * 25 + "\n")
    tail = Tail(file)
    assert "".join(tail.read(10) for _ in range(5)) == "x" * 25 + "\n"


def test_a_database_that_is_away_for_a_moment_loses_nothing_and_ends_nothing(
    database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = start(database, tmp_path, TINY, '{"text": "多喝水，注意休息。"}\n' * 20)
    away = iter([True, True])
    append = runs.append

    def failing_at_first(*arguments: Any) -> None:
        if next(away, False):
            raise OperationalError("INSERT", {}, Exception("the server closed the connection"))
        append(*arguments)

    monkeypatch.setattr(runs, "append", failing_at_first)
    monkeypatch.setattr(supervise, "POLL_S", 0.2)
    assert supervise.work(database, settings, run_id, "w")
    with database.reading() as session:
        run = runs.get(session, run_id)
        losses = [loss for _, loss in runs.curve(session, run_id, "loss")]
    assert (run.state, run.attempts) == (RunState.SUCCEEDED, 1)
    assert len(losses) == run.steps
