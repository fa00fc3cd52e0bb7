"""What a reward model's scores say about turns: kept with them, and those where all K score low."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, tuple_, update
from sqlalchemy.orm import Session, contains_eager, joinedload, selectinload

from annotation.run_tables import Run, RunKind, RunState
from annotation.store import audit, hooks, places
from annotation.tables import Dialogue, Turn, TurnState

UNSETTLED = (TurnState.OPEN, TurnState.ONE_RANKING, TurnState.CONTESTED, TurnState.IN_REVIEW)
WITHDRAWABLE = (TurnState.OPEN, TurnState.ONE_RANKING, TurnState.CONTESTED)
RUNS_LOOKED_AT = 50


@dataclass(frozen=True)
class Scored:
    """What a run says of a turn that it was given with these responses."""

    dialogue: str
    number: int
    responses: tuple[str, ...]
    best: float
    spread: float


@dataclass(frozen=True)
class Flagging:
    """A scoring run of a campaign and the best score below which it says that a turn is for a look."""

    run_id: int
    campaign_id: int
    threshold: float


def with_responses(campaign_id: int, *, settled_too: bool) -> Select[Turn]:
    """The turns of a campaign that can be scored, in the order of their import; withdrawn ones are left out."""
    states = (*UNSETTLED, TurnState.SETTLED) if settled_too else UNSETTLED
    wanted = select(Turn).where(Turn.campaign_id == campaign_id, Turn.state.in_(states))
    return wanted.order_by(Turn.id).options(joinedload(Turn.dialogue, innerjoin=True), selectinload(Turn.responses))


def take(session: Session, campaign_id: int, run_id: int, scored: Sequence[Scored]) -> int:
    """Keeps scores with their turns and returns with how many; one whose responses have changed since is skipped."""
    said = {(each.dialogue, each.number): each for each in scored}
    known = (
        select(Turn)
        .join(Turn.dialogue)
        .where(Turn.campaign_id == campaign_id, Dialogue.external_id.in_({name for name, _ in said}))
        .options(contains_eager(Turn.dialogue), selectinload(Turn.responses))
    )
    changes = [
        {"id": turn.id, "score_spread": found.spread, "best_score": found.best, "scored_by_run": run_id}
        for turn in session.scalars(known)
        if (found := said.get((turn.dialogue.external_id, turn.number))) is not None
        and tuple(response.text for response in turn.responses) == found.responses
    ]
    if changes:
        session.execute(update(Turn), changes)
    return len(changes)


def flagging(session: Session, campaign_id: int, run_id: int | None = None) -> Flagging | None:
    """The scoring run that was asked for, else the newest of the campaign; None where none is done."""
    done = select(Run).where(Run.kind == RunKind.SCORE, Run.state == RunState.SUCCEEDED)
    if run_id is not None:
        done = done.where(Run.id == run_id)
    for run in session.scalars(done.order_by(Run.id.desc()).limit(RUNS_LOOKED_AT)):
        if run.config.get("campaign_id") == campaign_id and run.result is not None:
            return Flagging(run.id, campaign_id, float(run.result["threshold"]))
    return None


def flagged(session: Session, given: Flagging, *, after: tuple[float, int] | None, limit: int) -> Sequence[Turn]:
    """The turns that a run flags, the lowest first, behind the one with this best score and id."""
    wanted = select(Turn).where(*_flagged(given))
    if after is not None:
        wanted = wanted.where(tuple_(Turn.best_score, Turn.id) > after)
    wanted = wanted.order_by(Turn.best_score, Turn.id).limit(limit)
    return session.scalars(wanted.options(joinedload(Turn.dialogue, innerjoin=True))).all()


def count_flagged(session: Session, given: Flagging) -> int:
    """How many turns a run still flags: those that a later run has scored are that one's."""
    return session.scalar(select(func.count(Turn.id)).where(*_flagged(given))) or 0


def raise_priority(session: Session, campaign_id: int, turn_ids: Collection[int], *, actor_id: int) -> int:
    """Has turns that wait for rankings given out before all others; returns how many."""
    highest = session.scalar(select(func.max(Turn.priority)).where(Turn.campaign_id == campaign_id)) or 0
    done = _change(session, campaign_id, turn_ids, places.WAITING_FOR_RANKINGS, priority=highest + 1)
    if done:
        audit.record(session, actor_id, "priority raised", f"campaign {campaign_id}", turns=done, priority=highest + 1)
    return len(done)


def withdraw(session: Session, campaign_id: int, turn_ids: Collection[int], *, actor_id: int) -> int:
    """Takes turns out of the work that are neither settled nor in review; returns how many.

    Somebody who is at one of them may still submit: that ranking is kept as late.
    """
    done = _change(session, campaign_id, turn_ids, WITHDRAWABLE, state=TurnState.WITHDRAWN)
    if done:
        hooks.withdrawn(session, campaign_id)
        audit.record(session, actor_id, "turns withdrawn", f"campaign {campaign_id}", turns=done)
    return len(done)


def _change(
    session: Session, campaign_id: int, turn_ids: Collection[int], states: Collection[TurnState], **values: Any
) -> list[int]:
    """Changes those of the turns that are in one of these states, locked in their order; returns which."""
    wanted = select(Turn.id).where(Turn.campaign_id == campaign_id, Turn.id.in_(turn_ids), Turn.state.in_(states))
    done = list(session.scalars(wanted.order_by(Turn.id).with_for_update()))
    session.execute(update(Turn).where(Turn.id.in_(done)).values(**values))
    return done


def turn_ids(session: Session, campaign_id: int, named: Collection[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """The ids of turns by the name of their dialogue and their number in it."""
    known = (
        select(Dialogue.external_id, Turn.number, Turn.id)
        .join(Turn, Turn.dialogue_id == Dialogue.id)
        .where(Dialogue.campaign_id == campaign_id, Dialogue.external_id.in_({name for name, _ in named}))
    )
    return {(name, number): turn_id for name, number, turn_id in session.execute(known) if (name, number) in named}


def _flagged(given: Flagging) -> tuple[ColumnElement[bool], ...]:
    return (
        Turn.campaign_id == given.campaign_id,
        Turn.scored_by_run == given.run_id,
        Turn.best_score < given.threshold,
        Turn.state != TurnState.WITHDRAWN,
    )
