"""Runs of the training: started once, claimed with a token, never held by the dead.

The row is the truth; a message only wakes a worker. Every write of a worker carries the token of its claim, so that
one who was thought dead and wakes up again changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Text, cast, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from annotation.db import utcnow
from annotation.outside_tables import Event
from annotation.refusals import Conflict, Missing
from annotation.run_tables import (
    HELD_ENGINES,
    LIVE_STATES,
    Checkpoint,
    CheckpointKind,
    Engine,
    Run,
    RunInput,
    RunKind,
    RunLog,
    RunRecord,
    RunState,
    Worker,
)
from annotation.store import audit, hooks

LEASE = timedelta(seconds=45)
HEARTBEAT_S = 5.0
CHECKPOINT = "checkpoint"
MOST_ATTEMPTS = 3
WAKE_AFTER = timedelta(seconds=20)
LOG_PIECES = 200
WORKER_DIED = "The worker died {attempts} times before this run got any further: see the log, then start a new run."
HEARD_OF_LATELY = timedelta(seconds=45)
HELD = Run.engine.in_(HELD_ENGINES)


class LostRunError(Exception):
    """The run is no longer this worker's: another has claimed it, or it is over."""


@dataclass(frozen=True)
class NewRun:
    """What to start."""

    kind: RunKind
    name: str  # without one it is called by its kind and number
    config: Mapping[str, Any]
    snapshot_id: int | None = None
    data_set_id: int | None = None
    inputs: Mapping[CheckpointKind, int] = field(default_factory=dict)
    launcher: str = "local"
    engine: Engine = Engine.LOCAL

    def key(self) -> str:
        """The same for the same run, so that a double click starts one, wherever it is to run."""
        what = [self.kind, self.snapshot_id, self.data_set_id, sorted(self.inputs.items()), dict(self.config)]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def start(session: Session, wanted: NewRun, *, actor_id: int | None) -> Run:
    """Queues a run; the same one that still waits or works is returned instead of a second."""
    key = wanted.key()
    live = select(Run).where(Run.live_key == key, Run.state.in_(LIVE_STATES))
    known = session.scalar(live)
    if known is not None:
        return known
    run = Run(
        kind=wanted.kind,
        name=wanted.name,
        snapshot_id=wanted.snapshot_id,
        data_set_id=wanted.data_set_id,
        config=dict(wanted.config),
        live_key=key,
        created_by_id=actor_id,
        inputs=[RunInput(role=role, checkpoint_id=each) for role, each in wanted.inputs.items()],
        launcher=wanted.launcher,
        engine=wanted.engine,
    )
    try:
        with session.begin_nested():
            session.add(run)
            session.flush()
            run.name = wanted.name or f"{run.kind}-{run.id}"  # as the model that it may leave
    except IntegrityError:  # somebody started it this moment
        return session.scalars(live).one()
    audit.record(session, actor_id, "run started", f"run {run.id}", kind=run.kind)
    return run


def get(session: Session, run_id: int) -> Run:
    """The run; raises Missing."""
    run = session.get(Run, run_id)
    if run is None:
        raise Missing("This run does not exist.")
    return run


def every(session: Session, limit: int = 200) -> Sequence[Run]:
    """Runs, newest first."""
    return session.scalars(select(Run).order_by(Run.id.desc()).limit(limit)).all()


def claim(session: Session, run_id: int, worker: str, now: datetime | None = None) -> int | None:
    """Makes a held run this worker's and returns its token; None where it is taken, over, on an engine or unknown."""
    now = now or utcnow()
    claimed = (
        update(Run)
        .where(Run.id == run_id, Run.state == RunState.QUEUED, HELD)
        .values(
            state=RunState.RUNNING,
            token=Run.token + 1,
            attempts=Run.attempts + 1,
            worker=worker,
            leased_until=now + LEASE,
            started_at=func.coalesce(Run.started_at, now),
            error=None,
        )
        .returning(Run.token)
    )
    return session.scalar(claimed)


def renew(session: Session, run_id: int, token: int, now: datetime | None = None, **values: Any) -> bool:
    """Extends the lease, with changes if given; returns whether a cancel was asked for. Raises LostRunError."""
    until = (now or utcnow()) + LEASE
    held = (
        update(Run)
        .where(Run.id == run_id, Run.token == token, Run.state == RunState.RUNNING)
        .values(leased_until=until, **values)
        .returning(Run.cancel_requested)
    )
    cancel = session.scalar(held)
    if cancel is None:
        raise LostRunError(f"run {run_id} is no longer held by token {token}")
    return cancel


def append(session: Session, run_id: int, records: Sequence[Mapping[str, Any]], log: str) -> None:
    """Keeps metrics, events and a piece of log; to be called in the transaction in which ``renew`` succeeded.

    A checkpoint beyond all earlier ones gives back the attempts that were spent: they count from the last progress.
    """
    if _got_further(session, run_id, records):
        session.execute(update(Run).where(Run.id == run_id).values(attempts=1))
    number = session.scalar(select(func.max(RunRecord.number)).where(RunRecord.run_id == run_id)) or 0
    for i, record in enumerate(records, start=number + 1):
        session.add(
            RunRecord(run_id=run_id, number=i, step=record["step"], event=record.get("event"), values=record["values"])
        )
    if log:
        last = session.scalar(select(func.max(RunLog.number)).where(RunLog.run_id == run_id)) or 0
        session.add(RunLog(run_id=run_id, number=last + 1, text=log))


def _got_further(session: Session, run_id: int, records: Sequence[Mapping[str, Any]]) -> bool:
    """Whether there is a checkpoint among new records that lies beyond those that are kept."""
    reached = max((record["step"] for record in records if record.get("event") == CHECKPOINT), default=None)
    if reached is None:
        return False
    before = select(func.max(RunRecord.step)).where(RunRecord.run_id == run_id, RunRecord.event == CHECKPOINT)
    furthest = session.scalar(before)
    return furthest is None or reached > furthest


def finish(
    session: Session,
    run_id: int,
    token: int,
    state: RunState,
    *,
    result: Mapping[str, Any] | None = None,
    error: str | None = None,
) -> None:
    """Ends the run; raises LostRunError where it is no longer held."""
    renew(session, run_id, token, state=state, result=result, error=error, finished_at=utcnow(), worker=None)
    hooks.tell(session, Event.RUN_FINISHED, run_id=run_id, state=state)
    audit.record(session, None, f"run {state}", f"run {run_id}")


def cancel(session: Session, run_id: int, *, actor_id: int) -> Run:
    """Asks for the end of a run; one that nobody works on yet ends at once. Raises Conflict where it is over."""
    now = utcnow()
    queued = (
        update(Run)
        .where(Run.id == run_id, Run.state == RunState.QUEUED)
        .values(state=RunState.CANCELLED, finished_at=now)
        .returning(Run.id)
    )
    running = (
        update(Run)
        .where(Run.id == run_id, Run.state == RunState.RUNNING)
        .values(cancel_requested=True)
        .returning(Run.id)
    )
    if session.scalar(queued) is not None:
        hooks.tell(session, Event.RUN_FINISHED, run_id=run_id, state=RunState.CANCELLED)
    elif session.scalar(running) is None:
        raise Conflict("This run is over already.")
    audit.record(session, actor_id, "run cancelled", f"run {run_id}")
    run = get(session, run_id)
    session.refresh(run)
    return run


def sweep(session: Session, now: datetime | None = None) -> list[int]:
    """Takes runs back from workers that died, and names those that wait without anybody having taken them.

    A run that died is tried again up to three times since it last got further. To be called again and again.
    Runs on an engine do not die with a worker: the polls see to them.
    """
    now = now or utcnow()
    died = (Run.state == RunState.RUNNING) & ((Run.leased_until < now) | Run.leased_until.is_(None))
    for run in session.scalars(select(Run).where(died, HELD).with_for_update(of=Run, skip_locked=True)).all():
        run.token += 1
        run.worker = None
        if run.cancel_requested:
            run.state, run.finished_at = RunState.CANCELLED, now
        elif run.attempts >= MOST_ATTEMPTS:
            run.state, run.finished_at = RunState.FAILED, now
            run.error = WORKER_DIED.format(attempts=run.attempts)
        else:
            run.state = RunState.QUEUED
        if not run.live:
            hooks.tell(session, Event.RUN_FINISHED, run_id=run.id, state=run.state)
        audit.record(session, None, "run taken back", f"run {run.id}", state=run.state)
    session.flush()
    waits = (Run.state == RunState.QUEUED) & (Run.created_at < now - WAKE_AFTER)
    return list(session.scalars(select(Run.id).where(waits, HELD).order_by(Run.id)))


def events_of(session: Session, run_id: int, limit: int = 100) -> Sequence[RunRecord]:
    """The newest events of a run but its checkpoints, in order."""
    told = RunRecord.event.is_not(None) & (RunRecord.event != CHECKPOINT)
    newest = select(RunRecord).where(RunRecord.run_id == run_id, told).order_by(RunRecord.number.desc()).limit(limit)
    return session.scalars(newest).all()[::-1]


def curve(session: Session, run_id: int, name: str, most: int = 500) -> list[tuple[int, Any]]:
    """A metric of a run as (step, value) pairs: evenly thinned to about ``most``, the first and the last among them."""
    named = cast(RunRecord.values, Text).contains(f'"{name}"', autoescape=True)
    numbered = (
        select(
            RunRecord.step,
            RunRecord.values,
            func.row_number().over(order_by=RunRecord.number).label("place"),
            func.count().over().label("total"),
        )
        .where(RunRecord.run_id == run_id, RunRecord.event.is_(None), named)
        .subquery()
    )
    stride = (numbered.c.total + most - 1) // most
    kept = ((numbered.c.place - 1) % stride == 0) | (numbered.c.place == numbered.c.total)
    rows = select(numbered.c.step, numbered.c["values"]).where(kept).order_by(numbered.c.place)
    return [(step, values[name]) for step, values in session.execute(rows)]


def log_tail(session: Session, run_id: int, characters: int = 12_000) -> str:
    """The end of what a run has printed; no more pieces are read than it takes."""
    sizes = select(RunLog.number, func.length(RunLog.text)).where(RunLog.run_id == run_id)
    first, left = 0, characters
    for number, size in session.execute(sizes.order_by(RunLog.number.desc()).limit(LOG_PIECES)):
        first, left = number, left - size
        if left <= 0:
            break
    tail = select(RunLog.text).where(RunLog.run_id == run_id, RunLog.number >= first).order_by(RunLog.number)
    return "".join(session.scalars(tail))[-characters:]


def log_size(session: Session, run_id: int) -> int:
    """How many characters of log are kept."""
    return session.scalar(select(func.sum(func.length(RunLog.text))).where(RunLog.run_id == run_id)) or 0


def heard_of(session: Session, name: str, queue: str) -> None:
    """Notes that a worker listens."""
    worker = session.get(Worker, name)
    if worker is None:
        session.add(Worker(name=name, queue=queue, seen_at=utcnow()))
    else:
        worker.seen_at = utcnow()


def listening(session: Session, queue: str, now: datetime | None = None) -> Sequence[Worker]:
    """The workers of a queue that were heard of lately."""
    lately = (now or utcnow()) - HEARD_OF_LATELY
    return session.scalars(select(Worker).where(Worker.queue == queue, Worker.seen_at > lately)).all()


def add_checkpoint(
    session: Session,
    name: str,
    kind: CheckpointKind,
    path: str,
    sha256: str,
    *,
    run_id: int | None = None,
    step: int = 0,
    lineage: Mapping[str, Any] | None = None,
    actor_id: int | None = None,
) -> Checkpoint:
    """Registers a folder of weights; raises Conflict where the name is taken."""
    if session.scalar(select(Checkpoint).where(Checkpoint.name == name)) is not None:
        raise Conflict("There is a model named {name} already: choose another name.", name=name)
    checkpoint = Checkpoint(
        run_id=run_id, name=name, kind=kind, path=path, sha256=sha256, step=step, lineage=dict(lineage or {})
    )
    session.add(checkpoint)
    session.flush()
    audit.record(session, actor_id, "model registered", f"checkpoint {checkpoint.id}", sha256=sha256)
    return checkpoint


def checkpoints(session: Session, kind: CheckpointKind | None = None) -> Sequence[Checkpoint]:
    """Registered models, newest first."""
    wanted = select(Checkpoint).order_by(Checkpoint.id.desc())
    return session.scalars(wanted if kind is None else wanted.where(Checkpoint.kind == kind)).all()


def checkpoint(session: Session, checkpoint_id: int) -> Checkpoint:
    """The model; raises Missing."""
    found = session.get(Checkpoint, checkpoint_id)
    if found is None:
        raise Missing("This model does not exist.")
    return found


def checkpoint_of(session: Session, run_id: int) -> Checkpoint | None:
    """The model that a run left behind."""
    return session.scalar(select(Checkpoint).where(Checkpoint.run_id == run_id).order_by(Checkpoint.id.desc()).limit(1))
