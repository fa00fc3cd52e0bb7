"""Runs that an engine carries: each poll takes one up with a token of its own, looks, and lets it go.

The job lives without us, so that nothing is taken back when a poll dies: the next one takes the run up where it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from annotation.db import utcnow
from annotation.run_tables import HELD_ENGINES, LIVE_STATES, Run, RunState
from annotation.store import audit, runs
from annotation.store.runs import LEASE, MOST_ATTEMPTS

ON_ENGINE = Run.engine.not_in(HELD_ENGINES)
ENGINE_LOST = "The engine lost this run {attempts} times before it got any further: see the log, then start a new run."


def live(session: Session) -> Sequence[tuple[int, str]]:
    """The runs that engines carry or are to carry, each with its launcher's name, oldest first."""
    found = select(Run.id, Run.launcher).where(ON_ENGINE, Run.state.in_(LIVE_STATES)).order_by(Run.id)
    return [(run_id, launcher) for run_id, launcher in session.execute(found)]


def take_up(session: Session, run_id: int, poller: str, now: datetime | None = None) -> int | None:
    """Makes a run this poll's and returns its token; None where another poll has it or it is over.

    A run that waits is begun: with the next submission, which has a job of its own.
    """
    now = now or utcnow()
    mine = {"token": Run.token + 1, "worker": poller, "leased_until": now + LEASE}
    begun = (
        update(Run)
        .where(Run.id == run_id, Run.state == RunState.QUEUED, ON_ENGINE)
        .values(
            **mine,
            state=RunState.RUNNING,
            attempts=Run.attempts + 1,
            submission=Run.submission + 1,
            external_id=None,
            started_at=func.coalesce(Run.started_at, now),
            error=None,
        )
        .returning(Run.token)
    )
    free = Run.worker.is_(None) | Run.leased_until.is_(None) | (Run.leased_until < now)
    gone_on = (
        update(Run)
        .where(Run.id == run_id, Run.state == RunState.RUNNING, ON_ENGINE, free)
        .values(**mine)
        .returning(Run.token)
    )
    return session.scalar(begun) or session.scalar(gone_on)


def let_go(session: Session, run_id: int, token: int) -> None:
    """Leaves the run to the next poll; raises LostRunError where it is over or another's."""
    runs.renew(session, run_id, token, worker=None)


def submit_again(session: Session, run_id: int, token: int) -> None:
    """Has a run whose job was lost submitted anew, three times at most since it last got further; else it failed.

    Raises LostRunError.
    """
    run = runs.get(session, run_id)
    session.refresh(run)
    if run.attempts >= MOST_ATTEMPTS:
        error = ENGINE_LOST.format(attempts=run.attempts)
        runs.finish(session, run_id, token, RunState.FAILED, error=error)
        return
    runs.renew(session, run_id, token, state=RunState.QUEUED, worker=None)
    audit.record(session, None, "run taken back", f"run {run_id}", state=RunState.QUEUED)
