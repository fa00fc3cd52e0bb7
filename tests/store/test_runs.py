"""Runs are started once, claimed once, never held by the dead."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from annotation.db import Database, utcnow
from annotation.refusals import Conflict
from annotation.run_tables import CheckpointKind, Run, RunKind, RunRecord, RunState
from annotation.store import runs
from annotation.store.runs import LostRunError, NewRun
from tests.conftest import Cast

WANTED = NewRun(RunKind.REWARD, "r", {"epochs": 1})


def queued(session: Session) -> Run:
    run = runs.start(session, WANTED, actor_id=None)
    session.flush()
    return run


def claimed(session: Session, run: Run) -> int:
    token = runs.claim(session, run.id, "w")
    assert token is not None
    session.refresh(run)
    return token


def test_the_same_run_is_started_once_while_it_lives(session: Session) -> None:
    run = queued(session)
    assert runs.start(session, WANTED, actor_id=None) is run
    other = runs.start(session, replace(WANTED, config={"epochs": 2}), actor_id=None)
    assert other.id != run.id
    runs.finish(session, run.id, claimed(session, run), RunState.SUCCEEDED)
    assert runs.start(session, WANTED, actor_id=None).id not in (run.id, other.id)


def test_a_run_without_a_name_is_called_as_the_model_that_it_may_leave(session: Session) -> None:
    run = runs.start(session, replace(WANTED, name=""), actor_id=None)
    assert run.name == f"{run.kind.value}-{run.id}"
    other = runs.start(session, replace(WANTED, name="夜里", config={"epochs": 2}), actor_id=None)
    assert other.name == "夜里"


def test_of_twenty_clicks_at_the_same_moment_one_starts_a_run(database: Database) -> None:
    together = Barrier(20)

    def click(_number: int) -> int:
        together.wait()
        with database.writing() as session:
            return queued(session).id

    with ThreadPoolExecutor(20) as threads:
        started = set(threads.map(click, range(20)))
    with database.reading() as session:
        assert session.scalar(select(func.count(Run.id))) == len(started) == 1


def test_of_many_workers_one_claims_a_run(database: Database) -> None:
    with database.writing() as session:
        run_id = queued(session).id
    together = Barrier(8)

    def take(number: int) -> int | None:
        together.wait()
        with database.writing() as session:
            return runs.claim(session, run_id, f"worker {number}")

    with ThreadPoolExecutor(8) as threads:
        tokens = [token for token in threads.map(take, range(8)) if token is not None]
    assert tokens == [1]


def test_an_older_token_writes_nothing(session: Session) -> None:
    run = queued(session)
    old = claimed(session, run)
    runs.sweep(session, utcnow() + timedelta(minutes=5))
    session.refresh(run)
    assert run.state is RunState.QUEUED
    new = claimed(session, run)
    assert new > old
    for late in (lambda: runs.renew(session, run.id, old), lambda: runs.finish(session, run.id, old, RunState.FAILED)):
        with pytest.raises(LostRunError):
            late()
    session.refresh(run)
    assert run.state is RunState.RUNNING
    assert not runs.renew(session, run.id, new, step=3, steps=9)
    session.refresh(run)
    assert (run.step, run.steps) == (3, 9)


def test_a_run_whose_worker_keeps_dying_is_given_up_after_three_attempts(session: Session) -> None:
    run = queued(session)
    now = utcnow()
    for attempt in (1, 2, 3):
        claimed(session, run)
        now += timedelta(minutes=5)
        runs.sweep(session, now)
        session.refresh(run)
        assert (run.attempts, run.state) == (attempt, RunState.QUEUED if attempt < 3 else RunState.FAILED)
    assert "3 times" in (run.error or "")


def test_a_run_that_gets_further_between_deaths_is_not_given_up(session: Session) -> None:
    run = queued(session)
    now = utcnow()
    for day in range(6):
        claimed(session, run)
        runs.append(session, run.id, [{"step": 50 * (day + 1), "event": "checkpoint", "values": {}}], "")
        now += timedelta(days=1)
        runs.sweep(session, now)
        session.refresh(run)
        assert (run.attempts, run.state) == (1, RunState.QUEUED)


def test_the_same_checkpoint_again_gives_no_attempt_back(session: Session) -> None:
    run = queued(session)
    now = utcnow()
    for attempt in (1, 2, 3):
        claimed(session, run)
        runs.append(session, run.id, [{"step": 50, "event": "checkpoint", "values": {}}], "")
        runs.append(session, run.id, [{"step": 60, "values": {"loss": 1.0}}], "")
        now += timedelta(minutes=5)
        runs.sweep(session, now)
        session.refresh(run)
        assert (run.attempts, run.state) == (attempt, RunState.QUEUED if attempt < 3 else RunState.FAILED)


def test_a_long_curve_is_thinned_evenly_and_a_rare_metric_is_kept_whole(session: Session) -> None:
    run = queued(session)
    rows: list[dict[str, Any]] = []
    for step in range(1, 102):
        rows.append({"step": step, "values": {"loss": step / 3, "mean_loss": 0, "rollout/kl": step}})
        if step % 50 == 0:
            rows.append({"step": step, "values": {"eval_loss": None if step == 50 else 0.5}})
            rows.append({"step": step, "event": "checkpoint", "values": {"loss": "none"}})
    runs.append(session, run.id, rows, "")
    session.flush()
    thinned = runs.curve(session, run.id, "loss", most=10)
    assert thinned == [(step, step / 3) for step in (1, 12, 23, 34, 45, 56, 67, 78, 89, 100, 101)]
    assert runs.curve(session, run.id, "rollout/kl", most=2) == [(1, 1), (52, 52), (101, 101)]
    assert runs.curve(session, run.id, "eval_loss", most=10) == [(50, None), (100, 0.5)]
    assert runs.curve(session, run.id, "accuracy") == []


def test_the_newest_events_are_told_in_order_and_checkpoints_are_not(session: Session) -> None:
    run = queued(session)
    named = ["resumed", "checkpoint", "gradient spike", "step skipped"]
    rows = [{"step": step, "event": name, "values": {}} for step, name in enumerate(named)]
    runs.append(session, run.id, [*rows, {"step": 9, "values": {"loss": 1.0}}], "")
    session.flush()
    assert [event.event for event in runs.events_of(session, run.id)] == ["resumed", "gradient spike", "step skipped"]
    assert [event.step for event in runs.events_of(session, run.id, limit=2)] == [2, 3]


def test_of_a_long_log_the_end_is_read(session: Session) -> None:
    run = queued(session)
    for number in range(100):
        runs.append(session, run.id, [], f"{number:02}" * 5)
        session.flush()
    assert runs.log_tail(session, run.id, 25) == "79797" + "98" * 5 + "99" * 5
    assert runs.log_tail(session, run.id, 5000) == "".join(f"{number:02}" * 5 for number in range(100))


def test_a_run_that_never_had_a_heartbeat_is_taken_back_too(session: Session) -> None:
    run = queued(session)
    claimed(session, run)
    run.leased_until = None
    session.flush()
    runs.sweep(session)
    assert run.state is RunState.QUEUED


def test_a_lease_that_is_renewed_is_left_alone(session: Session) -> None:
    run = queued(session)
    token = claimed(session, run)
    later = utcnow() + timedelta(minutes=5)
    runs.renew(session, run.id, token, later)
    runs.sweep(session, later + timedelta(seconds=10))
    session.refresh(run)
    assert run.state is RunState.RUNNING


def test_the_sweeper_names_what_waits_without_anybody_having_taken_it(session: Session) -> None:
    run = queued(session)
    assert runs.sweep(session) == []
    assert runs.sweep(session, utcnow() + timedelta(minutes=1)) == [run.id]


def test_cancelling_ends_what_waits_and_asks_what_works(session: Session, cast: Cast) -> None:
    waiting = queued(session)
    assert runs.cancel(session, waiting.id, actor_id=cast.sun.id).state is RunState.CANCELLED
    working = queued(session)
    token = claimed(session, working)
    assert runs.cancel(session, working.id, actor_id=cast.sun.id).state is RunState.RUNNING
    assert runs.renew(session, working.id, token) is True
    runs.finish(session, working.id, token, RunState.CANCELLED)
    with pytest.raises(Conflict):
        runs.cancel(session, working.id, actor_id=cast.sun.id)


def test_a_cancelled_run_whose_worker_died_is_cancelled_not_tried_again(session: Session, cast: Cast) -> None:
    run = queued(session)
    claimed(session, run)
    runs.cancel(session, run.id, actor_id=cast.sun.id)
    runs.sweep(session, utcnow() + timedelta(minutes=5))
    session.refresh(run)
    assert run.state is RunState.CANCELLED


def test_metrics_and_log_are_kept_in_order(session: Session) -> None:
    run = queued(session)
    for step in (1, 2):
        runs.append(session, run.id, [{"step": step, "values": {"loss": step / 10}}], f"line {step}\n")
        session.flush()
    runs.append(session, run.id, [{"step": 2, "event": "gradient spike", "values": {"norm": 9.0}}], "")
    session.flush()
    kept = session.execute(select(RunRecord.step, RunRecord.event).order_by(RunRecord.number)).all()
    assert [tuple(record) for record in kept] == [(1, None), (2, None), (2, "gradient spike")]
    assert runs.log_tail(session, run.id) == "line 1\nline 2\n"


def test_a_worker_is_listening_if_it_was_heard_of_lately(session: Session) -> None:
    runs.heard_of(session, "w1", "training")
    session.flush()
    assert [w.name for w in runs.listening(session, "training")] == ["w1"]
    assert runs.listening(session, "control") == []
    assert runs.listening(session, "training", utcnow() + timedelta(minutes=2)) == []


def test_two_models_cannot_have_one_name(session: Session) -> None:
    runs.add_checkpoint(session, "base", CheckpointKind.BASE, "/models/base", "0" * 64)
    with pytest.raises(Conflict):
        runs.add_checkpoint(session, "base", CheckpointKind.BASE, "/models/other", "1" * 64)
