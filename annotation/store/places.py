"""The two places of a turn: who takes one, who gives one back, and what that means for the turn.

Every function that changes a place locks the turn first: a row lock on PostgreSQL, the write transaction on SQLite.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, case, exists, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from annotation.assignment import Choice, Join, choices
from annotation.db import utcnow
from annotation.refusals import Conflict, Missing
from annotation.store import audit, campaigns
from annotation.tables import (
    Assignment,
    AssignmentState,
    Campaign,
    Draft,
    PairCount,
    Purpose,
    Turn,
    TurnState,
    User,
)

RELEASES_BEFORE_REVIEW = 2
"""So often a place is freed because somebody could not judge; the next time the turn goes to the adjudicator."""

WAITING_FOR_RANKINGS = (TurnState.OPEN, TurnState.ONE_RANKING)
EXPIRED_AT_ONCE = 50


def lock_turn(session: Session, turn_id: int) -> Turn:
    """The turn, which nobody else changes until this transaction ends."""
    turn = session.scalar(
        select(Turn).where(Turn.id == turn_id).with_for_update(of=Turn).execution_options(populate_existing=True)
    )
    if turn is None:
        raise Missing("This turn does not exist.")
    return turn


def reserve_next(session: Session, user: User, campaign: Campaign, now: datetime | None = None) -> Assignment | None:
    """The turn that this annotator ranks next: the one they hold, else a place by the rule of even sharing.

    None only where nothing is left for them.
    """
    now = now or utcnow()
    held = held_by(session, user.id, campaign.id)
    if held is not None:
        renew(session, held, now)
        return held
    if not campaign.open or user.id not in campaigns.available(session, campaign.id):
        return None
    turn = _find(session, user, campaign)
    if turn is None and reclaim_expired(session, campaign.id, now):
        turn = _find(session, user, campaign)
    return None if turn is None else _take(session, turn, user, now)


def held_by(session: Session, user_id: int, campaign_id: int) -> Assignment | None:
    """The reserved assignment of somebody in a campaign, of a turn that can still use their ranking."""
    return session.scalar(
        select(Assignment)
        .join(Turn)
        .where(
            Assignment.user_id == user_id,
            Assignment.state == AssignmentState.RESERVED,
            Turn.campaign_id == campaign_id,
            Turn.state.in_((*WAITING_FOR_RANKINGS, TurnState.CONTESTED)),
        )
        .order_by(Assignment.id)
        .limit(1)
    )


def renew(session: Session, assignment: Assignment, now: datetime | None = None) -> bool:
    """Extends the lease of an assignment that is still reserved; says whether it was."""
    until = (now or utcnow()) + timedelta(minutes=assignment.turn.campaign.lease_minutes)
    won = session.scalar(
        update(Assignment)
        .where(Assignment.id == assignment.id, Assignment.state == AssignmentState.RESERVED)
        .values(leased_until=until)
        .returning(Assignment.id)
    )
    return won is not None


def reclaim_expired(session: Session, campaign_id: int, now: datetime) -> int:
    """Frees the places whose lease has run out and says how many; what was drafted there stays.

    A turn that somebody works on this moment is passed over, so this never waits for anyone.
    """
    run_out = (
        (Assignment.state == AssignmentState.RESERVED)
        & (Assignment.leased_until < now)
        & (Assignment.purpose == Purpose.LABEL)
    )
    turns = session.scalars(
        select(Turn)
        .where(Turn.campaign_id == campaign_id, exists().where(run_out, Assignment.turn_id == Turn.id))
        .order_by(Turn.id)
        .limit(EXPIRED_AT_ONCE)
        .with_for_update(of=Turn, skip_locked=True)
        .execution_options(populate_existing=True)
    ).all()
    freed = 0
    for turn in turns:
        on_turn = select(Assignment).where(run_out, Assignment.turn_id == turn.id)
        for assignment in session.scalars(on_turn.execution_options(populate_existing=True)).all():
            leave_place(session, turn, assignment, AssignmentState.EXPIRED)
            freed += 1
    return freed


def cannot_judge(session: Session, assignment: Assignment, reason: str, now: datetime | None = None) -> None:
    """Frees the place for someone else, or sends the turn to the adjudicator when that happened twice already."""
    turn = lock_turn(session, assignment.turn_id)
    session.refresh(assignment)
    if assignment.state is not AssignmentState.RESERVED:
        raise Conflict("This turn is no longer reserved for you, so there is nothing to hand back.")
    assignment.reason = reason
    assignment.finished_at = now or utcnow()
    leave_place(session, turn, assignment, AssignmentState.CANNOT_JUDGE)
    if turn.state in WAITING_FOR_RANKINGS:
        turn.times_unjudgeable += 1
        if turn.times_unjudgeable > RELEASES_BEFORE_REVIEW:
            turn.state = TurnState.CONTESTED
    audit.record(session, assignment.user_id, "could not judge", f"turn {turn.id}")


def leave_place(session: Session, turn: Turn, assignment: Assignment, state: AssignmentState) -> None:
    """Gives a place back; the turn is locked by the caller."""
    others = [other for other in holders(session, turn.id) if other.id != assignment.id]
    if others:
        _count_shared(session, turn.campaign_id, assignment.user_id, others[0].user_id, -1)
    assignment.place = None
    assignment.state = state
    turn.places_taken = len(others)
    turn.holder_id = others[0].user_id if others else None
    if state is AssignmentState.CANNOT_JUDGE:
        session.query(Draft).filter(Draft.assignment_id == assignment.id).delete()
    session.flush()


def take_place(session: Session, turn: Turn, assignment: Assignment) -> bool:
    """Gives the assignment a free place of the turn, which the caller has locked; says whether there was one."""
    others = holders(session, turn.id)
    free = {1, 2} - {other.place for other in others}
    if not free or turn.state not in WAITING_FOR_RANKINGS:
        return False
    assignment.state = AssignmentState.RESERVED
    assignment.place = min(free)
    turn.places_taken = len(others) + 1
    turn.holder_id = None if others else assignment.user_id
    if others:
        _count_shared(session, turn.campaign_id, assignment.user_id, others[0].user_id, +1)
    session.flush()
    return True


def holders(session: Session, turn_id: int) -> Sequence[Assignment]:
    """The one or two assignments that hold a place of the turn, the first place first."""
    held = select(Assignment).where(Assignment.turn_id == turn_id, Assignment.place.is_not(None))
    return session.scalars(held.order_by(Assignment.place)).all()


def left_for(session: Session, user: User, campaign: Campaign) -> int:
    """How many turns of the campaign this annotator could still be given, the one that they hold included."""
    free = select(func.count(Turn.id)).where(_free_for(user.id, campaign.id))
    return (session.scalar(free) or 0) + (held_by(session, user.id, campaign.id) is not None)


def _find(session: Session, user: User, campaign: Campaign) -> Turn | None:
    for choice in _choices(session, user, campaign):
        # A row that somebody holds for a moment is passed over first, and waited for before saying that none is left.
        for skip_locked in (True, False):
            turn = _pick(session, user, campaign, choice, skip_locked=skip_locked)
            if turn is not None:
                return turn
    return None


def _choices(session: Session, user: User, campaign: Campaign) -> list[Choice]:
    colleagues = [other for other in campaigns.at_work(session, campaign.id) if other != user.id]
    begun = select(Turn.holder_id).where(_free_for(user.id, campaign.id), Turn.places_taken == 1).distinct()
    fresh = select(exists().where(_free_for(user.id, campaign.id), Turn.places_taken == 0))
    return choices(
        colleagues,
        _shared_with(session, campaign.id, user.id),
        [holder for holder in session.scalars(begun) if holder is not None],
        fresh=bool(session.scalar(fresh)),
    )


def _free_for(user_id: int, campaign_id: int) -> ColumnElement[bool]:
    """Turns with a free place that this annotator has not ranked or handed back already."""
    had = exists().where(
        Assignment.turn_id == Turn.id,
        Assignment.user_id == user_id,
        Assignment.purpose == Purpose.LABEL,
        Assignment.state != AssignmentState.EXPIRED,
    )
    return (Turn.campaign_id == campaign_id) & Turn.state.in_(WAITING_FOR_RANKINGS) & (Turn.places_taken < 2) & ~had


def _pick(session: Session, user: User, campaign: Campaign, choice: Choice, *, skip_locked: bool) -> Turn | None:
    begun = Turn.holder_id == choice.colleague if isinstance(choice, Join) else Turn.places_taken == 0
    wanted = (
        select(Turn)
        .where(_free_for(user.id, campaign.id), begun)
        .order_by(Turn.priority.desc(), Turn.id)
        .limit(1)
        .with_for_update(of=Turn, skip_locked=skip_locked)
        .execution_options(populate_existing=True)
    )
    return session.scalar(wanted)


def _take(session: Session, turn: Turn, user: User, now: datetime) -> Assignment:
    until = now + timedelta(minutes=turn.campaign.lease_minutes)
    assignment = session.scalar(
        select(Assignment).where(
            Assignment.turn_id == turn.id, Assignment.user_id == user.id, Assignment.purpose == Purpose.LABEL
        )
    )
    if assignment is None:
        order = random.SystemRandom().sample(range(turn.campaign.k), turn.campaign.k)
        assignment = Assignment(turn=turn, user_id=user.id, purpose=Purpose.LABEL, response_order=order)
        session.add(assignment)
    assignment.leased_until = until
    if not take_place(session, turn, assignment):
        raise AssertionError(f"turn {turn.id} was picked for a free place that it does not have")
    return assignment


def _shared_with(session: Session, campaign_id: int, user_id: int) -> dict[int, int]:
    mine = select(PairCount).where(
        PairCount.campaign_id == campaign_id,
        (PairCount.low_user_id == user_id) | (PairCount.high_user_id == user_id),
    )
    return {
        row.high_user_id if row.low_user_id == user_id else row.low_user_id: row.turns for row in session.scalars(mine)
    }


def _count_shared(session: Session, campaign_id: int, one: int, other: int, change: int) -> None:
    low, high = sorted((one, other))
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    counted = insert(PairCount).values(
        campaign_id=campaign_id, low_user_id=low, high_user_id=high, turns=max(change, 0)
    )
    changed = PairCount.turns + change
    session.execute(
        counted.on_conflict_do_update(
            index_elements=["campaign_id", "low_user_id", "high_user_id"],
            set_={"turns": case((changed < 0, 0), else_=changed)},
        )
    )
