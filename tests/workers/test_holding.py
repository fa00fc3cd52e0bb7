"""A run stays its worker's while the worker is busy, and is let go where another has it."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from annotation.db import Database, utcnow
from annotation.run_tables import Run, RunKind, RunState
from annotation.store import runs
from annotation.store.runs import LostRunError, NewRun
from rlhf import checkpoints
from tests.conftest import wait_for
from workers import outcomes
from workers.holding import holding


def claimed(database: Database) -> tuple[int, int]:
    """A run that is claimed, and whose lease is about to expire."""
    with database.writing() as session:
        run = runs.start(session, NewRun(RunKind.EVALUATE, "r", {}), actor_id=None)
        session.flush()
        token = runs.claim(session, run.id, "w")
        run.leased_until = utcnow() - timedelta(seconds=1)
        assert token is not None
        return run.id, token


def held(database: Database, run_id: int) -> bool:
    with database.reading() as session:
        lease = session.get_one(Run, run_id).leased_until
    return lease is not None and lease > utcnow()


def test_a_lease_is_renewed_while_the_worker_is_busy(database: Database) -> None:
    run_id, token = claimed(database)
    with holding(database, run_id, token, 0.02):
        wait_for(lambda: held(database, run_id))


def test_a_run_that_was_taken_over_meanwhile_is_lost(database: Database) -> None:
    run_id, token = claimed(database)
    with pytest.raises(LostRunError), holding(database, run_id, token, 0.02):
        with database.writing() as session:
            session.get_one(Run, run_id).token += 1  # as the sweeper does
        thread_is_over(run_id)


def thread_is_over(run_id: int) -> None:
    """Waits until nothing holds the run any more."""
    wait_for(lambda: not any(thread.name == f"holding run {run_id}" for thread in threading.enumerate()))


def test_a_database_that_is_away_for_a_moment_ends_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id, token = claimed(database)
    renew, away = runs.renew, iter([True, True])

    def failing_at_first(*arguments: object) -> bool:
        if next(away, False):
            raise OperationalError("UPDATE", {}, Exception("the server closed the connection"))
        return renew(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(runs, "renew", failing_at_first)
    with holding(database, run_id, token, 0.02):
        wait_for(lambda: held(database, run_id))


def test_a_run_is_held_while_a_large_model_is_hashed(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, token = claimed(database)
    with checkpoints.writing(tmp_path / checkpoints.MODEL):
        pass

    def hash_slowly(_folder: Path) -> str:
        wait_for(lambda: held(database, run_id))
        return "0" * 64

    monkeypatch.setattr(outcomes, "hash_folder", hash_slowly)
    monkeypatch.setattr(outcomes, "HEARTBEAT_S", 0.02)
    outcomes.conclude(database, tmp_path, run_id, token, 0, cancelled=False)
    with database.reading() as session:
        assert runs.get(session, run_id).state is RunState.SUCCEEDED


def test_a_dry_run_succeeds_with_its_figures_and_without_a_model(database: Database, tmp_path: Path) -> None:
    run_id, token = claimed(database)
    (tmp_path / "result.json").write_text('{"dry_run": true, "seconds_updating": 1.5}')
    outcomes.conclude(database, tmp_path, run_id, token, 0, cancelled=False)
    with database.reading() as session:
        run = runs.get(session, run_id)
        assert (run.state, run.result) == (RunState.SUCCEEDED, {"dry_run": True, "seconds_updating": 1.5})
        assert runs.checkpoint_of(session, run_id) is None
