"""Runs on engines are taken up by one poll at a time, and by no worker, and no sweep takes them back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy.orm import Session

from annotation.db import Database, utcnow
from annotation.run_tables import Engine, Run, RunKind, RunState
from annotation.store import engine_runs, runs
from annotation.store.runs import LostRunError, NewRun

WANTED = NewRun(RunKind.REWARD, "r", {}, launcher="cluster", engine=Engine.SLURM)


def queued(session: Session) -> Run:
    run = runs.start(session, WANTED, actor_id=None)
    session.flush()
    return run


def taken_up(session: Session, run: Run) -> int:
    token = engine_runs.take_up(session, run.id, "p")
    assert token is not None
    session.refresh(run)
    return token


def test_no_worker_claims_a_run_on_an_engine_and_no_poll_takes_up_a_held_one(session: Session) -> None:
    run = queued(session)
    held = runs.start(session, NewRun(RunKind.REWARD, "r", {"epochs": 2}), actor_id=None)
    assert engine_runs.live(session) == [(run.id, "cluster")]
    assert runs.claim(session, run.id, "w") is None
    assert engine_runs.take_up(session, held.id, "p") is None


def test_of_many_polls_one_takes_a_run_up(database: Database) -> None:
    with database.writing() as session:
        run_id = queued(session).id
    together = Barrier(8)

    def take(number: int) -> int | None:
        together.wait()
        with database.writing() as session:
            return engine_runs.take_up(session, run_id, f"poll {number}")

    with ThreadPoolExecutor(8) as threads:
        assert [token for token in threads.map(take, range(8)) if token is not None] == [1]


def test_a_run_is_begun_once_and_then_gone_on_with(session: Session) -> None:
    run = queued(session)
    first = taken_up(session, run)
    assert (run.submission, run.attempts, run.state) == (1, 1, RunState.RUNNING)
    assert engine_runs.take_up(session, run.id, "q") is None
    engine_runs.let_go(session, run.id, first)
    second = taken_up(session, run)
    assert second > first
    assert (run.submission, run.attempts) == (1, 1)
    with pytest.raises(LostRunError):
        engine_runs.let_go(session, run.id, first)


def test_a_poll_that_died_loses_the_run_when_its_lease_is_over_and_no_sweep_takes_it_back(session: Session) -> None:
    run = queued(session)
    died = taken_up(session, run)
    later = utcnow() + timedelta(minutes=5)
    assert runs.sweep(session, later) == []
    session.refresh(run)
    assert run.state is RunState.RUNNING
    token = engine_runs.take_up(session, run.id, "q", later)
    assert token is not None
    with pytest.raises(LostRunError):
        runs.renew(session, run.id, died)


def test_the_sweeper_wakes_nobody_for_a_run_that_waits_for_an_engine(session: Session) -> None:
    queued(session)
    assert runs.sweep(session, utcnow() + timedelta(minutes=5)) == []


def test_a_lost_job_is_submitted_anew_three_times_since_the_last_checkpoint(session: Session) -> None:
    run = queued(session)
    token = taken_up(session, run)
    runs.append(session, run.id, [{"step": 50, "event": "checkpoint", "values": {}}], "")
    for submission in (2, 3):
        engine_runs.submit_again(session, run.id, token)
        session.refresh(run)
        assert (run.state, run.worker) == (RunState.QUEUED, None)
        token = taken_up(session, run)
        assert (run.submission, run.external_id) == (submission, None)
    engine_runs.submit_again(session, run.id, token)
    session.refresh(run)
    assert run.state is RunState.FAILED
    assert "lost this run 3 times" in (run.error or "")
