"""Turns in which a reward model contradicts what two doctors agreed on, handed to the queue of blind audits.

Chance did not choose these turns, so the figures of what audits find leave them out.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from annotation.agreement import agree
from annotation.refusals import Missing
from annotation.run_tables import Run, RunKind, Snapshot
from annotation.store import audit, rankings, scores
from annotation.tables import SettledBy, Turn, TurnState

KEY = "second_look"
"""Under which the result of a run keeps the ids of the turns that were handed over."""


def waiting(session: Session, run: Run) -> Sequence[int]:
    """The turns that a run names and that can be handed over: both doctors agree in all of it, and no audit was drawn.

    What a third expert has decided already is not asked again.
    """
    if run.snapshot is None or not run.result:
        return []
    named = {(each["dialogue"], each["number"]) for each in run.result.get("disagreements", [])}
    ids = scores.turn_ids(session, run.snapshot.campaign_id, named).values()
    settled = (Turn.state == TurnState.SETTLED) & (Turn.settled_by == SettledBy.AGREED) & Turn.audit_drawn.is_(False)
    known = session.scalars(select(Turn.id).where(Turn.id.in_(ids), settled).order_by(Turn.id))
    return [turn_id for turn_id in known.all() if agree(*map(rankings.read, rankings.counting(session, turn_id)))]


def hand_over(session: Session, run_id: int, *, actor_id: int) -> int:
    """Hands those turns to the blind audits and returns how many; again, it finds none. Raises Missing.

    Whoever audits one is not told that a model contradicts it, nor that it was agreed on.
    """
    run = session.get(Run, run_id, with_for_update={"of": Run}, populate_existing=True)
    if run is None:
        raise Missing("This run does not exist.")
    ids = waiting(session, run)
    locked = select(Turn.id).where(Turn.id.in_(ids)).order_by(Turn.id).with_for_update()
    done = list(session.scalars(locked.where(Turn.audit_drawn.is_(False))))
    if done:
        session.execute(update(Turn).where(Turn.id.in_(done)).values(audit_drawn=True))
        run.result = {**(run.result or {}), KEY: sorted({*(run.result or {}).get(KEY, []), *done})}
        audit.record(session, actor_id, "handed to blind audit", f"run {run_id}", turns=done)
    return len(done)


def handed_over(session: Session, campaign_id: int) -> set[int]:
    """The turns of a campaign that came to the blind audits because a reward model contradicts them."""
    told = select(Run.result[KEY]).join(Snapshot, Run.snapshot_id == Snapshot.id)
    measured = (Snapshot.campaign_id == campaign_id) & Run.kind.in_((RunKind.REWARD, RunKind.EVALUATE))
    return {turn_id for ids in session.scalars(told.where(measured)) for turn_id in ids or []}
