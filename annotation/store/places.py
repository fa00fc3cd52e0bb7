"""The two places of a turn: who takes one, who gives one back, and what that means for the turn.

Every function that changes a place locks the turn first: a row lock on PostgreSQL, the write transaction on SQLite.
Whoever asks for a turn locks their membership before it.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy import Select, bindparam, exists, func, select, text, update
from sqlalchemy.orm import Session, lazyload
from sqlalchemy.orm.attributes import set_committed_value

from annotation.assignment import choices
from annotation.db import utcnow
from annotation.measure_tables import NamedPlace
from annotation.people_tables import User, UserState
from annotation.refusals import Conflict, Missing
from annotation.store import audit, campaigns, counted, handouts, hooks, limits, naming, sharing, turn_queue
from annotation.store.limits import Limit
from annotation.store.turn_queue import CAMPAIGN, USER, Found, Seeker
from annotation.tables import (
    Assignment,
    AssignmentState,
    Campaign,
    Draft,
    Membership,
    Purpose,
    Turn,
    TurnOrder,
    TurnState,
)

PLACES = 2
WAITING_FOR_RANKINGS = turn_queue.WAITING_FOR_RANKINGS
RELEASES_BEFORE_REVIEW = 2
"""So often a place is freed because somebody could not judge; the next time the turn goes to the adjudicator."""

EXPIRED_AT_ONCE = 50
ATTEMPTS = 100
"""Each is lost only to somebody who took a place in that moment."""


_LOCKED = (
    select(Turn)
    .where(Turn.id == bindparam("turn_id"))
    .with_for_update(of=Turn)
    .options(*turn_queue.LIGHT)
    .execution_options(populate_existing=True)
)
_HELD = (
    select(Assignment)
    .join(Turn)
    .where(Assignment.user_id == USER, Assignment.state == AssignmentState.RESERVED, Turn.campaign_id == CAMPAIGN)
    .where(Turn.state.in_((*WAITING_FOR_RANKINGS, TurnState.CONTESTED)) | (Assignment.purpose != Purpose.LABEL))
    .order_by(Assignment.id)
    .limit(1)
)
_HOLDERS = (
    select(Assignment)
    .where(Assignment.turn_id == bindparam("turn_id"), Assignment.place.is_not(None))
    .order_by(Assignment.place)
    .execution_options(populate_existing=True)
)
_KNOWN = (
    select(Assignment)
    .where(Assignment.turn_id == bindparam("turn_id"), Assignment.purpose == Purpose.LABEL)
    .order_by(Assignment.place)
    .execution_options(populate_existing=True)
)
_EXTENDED = (
    update(Assignment)
    .where(Assignment.id == bindparam("held"), Assignment.state == AssignmentState.RESERVED)
    .values(leased_until=bindparam("until"))
    .returning(Assignment.id)
    .execution_options(synchronize_session=False)
)
"""What is asked with every turn is put together once: that costs more than to ask."""


def lock_turn(session: Session, turn_id: int) -> Turn:
    """The turn, which nobody else changes until this transaction ends; its texts are read when they are asked for."""
    turn = session.scalar(_LOCKED, {"turn_id": turn_id})
    if turn is None:
        raise Missing("This turn does not exist.")
    return turn


def reserve_next(session: Session, user: User, campaign: Campaign, now: datetime | None = None) -> Assignment | None:
    """The turn that this annotator ranks next: the one they hold, else a place by the rule of even sharing.

    Calibration comes before other work, and a share of the hand-outs measures people instead of settling a turn. None
    only where nothing is left for them, which ``why_nothing`` explains. Of several requests of one annotator at once
    each waits for the one before, so all of them come to hold the same turn.
    """
    now = now or utcnow()
    here = {"user_id": user.id, "campaign_id": campaign.id}
    seat = session.execute(_seat(), here).one_or_none()
    held = held_by(session, user.id, campaign.id)
    if held is not None and _extend(session, held, campaign, now):
        return held
    if seat is None or not campaign.open or seat.state is not UserState.ACTIVE:
        return None
    if limits.allowance(session, seat.Membership, now).reached is not None:
        return None
    measuring = handouts.to_calibrate(session, user.id, campaign.id, now) if seat.calibrates else None
    measuring = measuring or handouts.to_measure(session, user.id, campaign, now)
    if measuring is not None:
        return measuring
    seeker = Seeker.of(user.id, campaign, now, is_named=seat.is_named)
    found = _find(session, seeker)
    if found is None and reclaim_expired(session, campaign.id, now):
        found = _by_rule(session, seeker) or turn_queue.anything(session, seeker)
    return None if found is None else _take(session, found, user, campaign, now)


def held_by(session: Session, user_id: int, campaign_id: int) -> Assignment | None:
    """The reserved assignment of somebody in a campaign, of a turn that can still use their ranking."""
    return session.scalar(_HELD, {"user_id": user_id, "campaign_id": campaign_id})


def renew(session: Session, assignment: Assignment, now: datetime | None = None) -> bool:
    """Extends the lease of an assignment that is still reserved; says whether it was."""
    return _extend(session, assignment, assignment.turn.campaign, now or utcnow())


def reclaim_expired(session: Session, campaign_id: int, now: datetime) -> int:
    """Frees the places whose lease has run out and says how many; what was drafted there stays.

    A turn that somebody works on this moment is passed over, so this never waits for anyone; a lease that was renewed
    meanwhile stands.
    """
    run_out = (
        select(Assignment.turn_id)
        .join(Turn)
        .where(text("assignments.state = 'reserved'"), Assignment.leased_until < now)
        .where(Assignment.purpose == Purpose.LABEL, Turn.campaign_id == campaign_id)
        .order_by(Assignment.leased_until)
        .limit(EXPIRED_AT_ONCE)
    )
    ids = session.scalars(run_out).all()
    turns = (
        select(Turn)
        .where(Turn.id.in_(ids))
        .order_by(Turn.id)
        .with_for_update(of=Turn, skip_locked=True)
        .options(*turn_queue.LIGHT)
        .execution_options(populate_existing=True)
    )
    held = [(turn, holders(session, turn.id)) for turn in session.scalars(turns).all()]
    held.sort(key=lambda each: sorted(holder.user_id for holder in each[1]))  # the order in which pairs are counted
    return sum(
        leave_place(session, turn, assignment, AssignmentState.EXPIRED, run_out_by=now)
        for turn, both in held
        for assignment in both
    )


def cannot_judge(session: Session, assignment: Assignment, reason: str, now: datetime | None = None) -> None:
    """Frees the place for someone else, or sends the turn to the adjudicator when that happened twice already.

    A turn that was to measure somebody is not moved by it.
    """
    turn = lock_turn(session, assignment.turn_id)
    if not leave_place(session, turn, assignment, AssignmentState.CANNOT_JUDGE):
        raise Conflict("This turn is no longer reserved for you, so there is nothing to hand back.")
    assignment.reason = reason
    assignment.finished_at = now or utcnow()
    if assignment.purpose is Purpose.LABEL and turn.state in WAITING_FOR_RANKINGS:
        turn.times_unjudgeable += 1
        if turn.times_unjudgeable > RELEASES_BEFORE_REVIEW:
            turn.state = TurnState.CONTESTED
            hooks.moved(session, turn, TurnState.OPEN)
    audit.record(session, assignment.user_id, "could not judge", f"turn {turn.id}")


def leave_place(
    session: Session, turn: Turn, assignment: Assignment, state: AssignmentState, *, run_out_by: datetime | None = None
) -> bool:
    """Gives a place back, if it is still reserved and, where asked, its lease had run out by then; says whether so.

    The turn is locked by the caller.
    """
    still = (Assignment.id == assignment.id) & (Assignment.state == AssignmentState.RESERVED)
    if run_out_by is not None:
        still &= Assignment.leased_until < run_out_by
    left = update(Assignment).where(still).values(place=None, state=state).returning(Assignment.id)
    if session.scalar(left) is None:
        return False
    session.refresh(assignment, ["place", "state"])
    if state is AssignmentState.CANNOT_JUDGE:
        session.query(Draft).filter(Draft.assignment_id == assignment.id).delete()
    if assignment.purpose is Purpose.LABEL:
        _settle_books_after_leaving(session, turn, assignment.user_id, for_good=state is AssignmentState.CANNOT_JUDGE)
    return True


def _settle_books_after_leaving(session: Session, turn: Turn, user_id: int, *, for_good: bool) -> None:
    others = [other for other in holders(session, turn.id) if other.user_id != user_id]
    if others and turn.pair_counted:
        sharing.count(session, turn, user_id, others[0].user_id, -1)
    turn.pair_counted = False
    turn.places_taken = len(others)
    turn.holder_id = others[0].user_id if len(others) == 1 else None
    naming.left(session, turn, user_id, for_good=for_good)
    session.flush()


def take_place(session: Session, turn: Turn, assignment: Assignment) -> bool:
    """Gives the assignment a free place of the turn, which the caller has locked; says whether there was one for it."""
    return _take_place(session, turn, assignment, holders(session, turn.id))


def _take_place(session: Session, turn: Turn, assignment: Assignment, others: Sequence[Assignment]) -> bool:
    free = {1, 2} - {other.place for other in others}
    if turn.state not in WAITING_FOR_RANKINGS or len(free) <= naming.kept_for_others(session, turn, assignment.user_id):
        return False
    assignment.state = AssignmentState.RESERVED
    assignment.place = min(free)
    turn.places_taken = len(others) + 1
    turn.holder_id = None if others else assignment.user_id
    naming.taken(session, turn, assignment.user_id)
    session.flush()
    if others:
        sharing.count(session, turn, assignment.user_id, others[0].user_id, +1)
        turn.pair_counted = True
    return True


def holders(session: Session, turn_id: int) -> Sequence[Assignment]:
    """The one or two assignments that hold a place of the turn, the first place first."""
    return session.scalars(_HOLDERS, {"turn_id": turn_id}).all()


def left_for(session: Session, user: User, campaign: Campaign, now: datetime | None = None) -> int:
    """How many turns of the campaign this annotator could still be given, the one that they hold included.

    Beyond 2,000 turns the count of the queue is up to half a minute old. Turns that are kept at this moment for
    colleagues who are in the middle of a dialogue count, as they may become free; limits are kept to.
    """
    queue = (Turn.campaign_id == campaign.id) & turn_queue.QUEUED
    free = counted.of(session, ("queue", campaign.id), select(func.count(Turn.id)).where(queue))
    own = session.execute(_own_part(), {"user_id": user.id, "campaign_id": campaign.id}).one()
    left: int = max(0, free - own.begun - own.handed_back) + own.named + own.held
    most = None if own.Membership is None else limits.allowance(session, own.Membership, now).left
    return left if most is None else min(left, max(most, int(own.held)))


class Nothing(enum.StrEnum):
    """Why somebody is given no turn."""

    CLOSED = "closed"
    PAUSED = "paused"
    LIMIT_OF_A_DAY = "limit of a day"
    LIMIT_IN_ALL = "limit in all"
    KEPT = "kept"
    DONE = "done"


def why_nothing(session: Session, user: User, campaign: Campaign, now: datetime | None = None) -> Nothing:
    """Why there is no turn for somebody who asked for one."""
    membership = session.get(Membership, (campaign.id, user.id))
    if not campaign.open or membership is None:
        return Nothing.CLOSED
    if membership.user.state is not UserState.ACTIVE:
        return Nothing.PAUSED
    reached = limits.allowance(session, membership, now).reached
    if reached is not None:
        return Nothing.LIMIT_OF_A_DAY if reached is Limit.DAY else Nothing.LIMIT_IN_ALL
    return Nothing.KEPT if left_for(session, user, campaign, now) else Nothing.DONE


@cache
def _own_part() -> Select[int, int, int, bool, Membership]:
    """Of the queue: what they have begun themselves, and what they handed back; beside it, what is theirs alone."""
    queue = select(func.count(Turn.id)).where(Turn.campaign_id == CAMPAIGN, turn_queue.QUEUED)
    begun = queue.where(Turn.places_taken == 1, Turn.holder_id == USER)
    own = (Assignment.user_id == USER) & (Assignment.purpose == Purpose.LABEL)
    handed_back = queue.join(Assignment, Assignment.turn_id == Turn.id).where(
        own, Assignment.state == AssignmentState.CANNOT_JUDGE
    )
    kept = (NamedPlace.user_id == USER) & NamedPlace.taken.is_(False) & Turn.state.in_(WAITING_FOR_RANKINGS)
    only_theirs = Turn.places_taken + Turn.places_named >= PLACES
    named = select(func.count(Turn.id)).join(NamedPlace, NamedPlace.turn_id == Turn.id)
    named = named.where(Turn.campaign_id == CAMPAIGN, kept, only_theirs)
    numbers = (("begun", begun), ("handed_back", handed_back), ("named", named))
    member = (Membership.user_id == User.id) & (Membership.campaign_id == CAMPAIGN)
    return (
        select(*(query.scalar_subquery().label(name) for name, query in numbers), _HELD.exists().label("held"))
        .add_columns(Membership)
        .select_from(User)
        .outerjoin(Membership, member)
        .where(User.id == USER)
        .options(lazyload(Membership.user))
    )


@cache
def _seat() -> Select[Membership, UserState, bool, bool]:
    """Somebody's membership, locked, with whether anything waits for them that is not the ordinary next turn."""
    is_named = exists().where(NamedPlace.user_id == USER, NamedPlace.taken.is_(False))
    calibrates = handouts.blind_round(CAMPAIGN)
    return (
        select(Membership, User.state, is_named.label("is_named"), calibrates.label("calibrates"))
        .join(User, User.id == Membership.user_id)
        .where(Membership.campaign_id == CAMPAIGN, Membership.user_id == USER)
        .with_for_update(of=Membership)
        .options(lazyload(Membership.user))
        .execution_options(populate_existing=True)
    )


def _extend(session: Session, assignment: Assignment, campaign: Campaign, now: datetime) -> bool:
    until = now + timedelta(minutes=campaign.lease_minutes)
    if session.scalar(_EXTENDED, {"held": assignment.id, "until": until}) is None:
        return False
    set_committed_value(assignment, "leased_until", until)
    return True


def _find(session: Session, seeker: Seeker) -> Found | None:
    """A turn by the rules. What was lost to somebody faster is looked for again, so None means that nothing is left."""
    turn_queue.mark(session)
    for _ in range(ATTEMPTS):
        found = _by_rule(session, seeker) or turn_queue.anything(session, seeker)
        alone = seeker.order is not TurnOrder.DIALOGUE
        if found is not None and (alone or turn_queue.still_free(session, seeker, found.turn)):
            return found
        if not turn_queue.wait_for_any(session, seeker):
            return None
    raise Conflict("Many people ask for turns at this moment: try again.")


def _by_rule(session: Session, seeker: Seeker) -> Found | None:
    found = turn_queue.named_for(session, seeker) if seeker.is_named else None
    if found is None and seeker.order is TurnOrder.DIALOGUE:
        found = turn_queue.continued(session, seeker)
    if found is not None:
        return found
    team = campaigns.at_work(session, seeker.campaign_id, seeker.now)
    colleagues = [other for other in team if other != seeker.user_id]
    shared, least = sharing.shared(session, seeker.campaign_id, seeker.user_id, [seeker.user_id, *colleagues])
    waiting = turn_queue.begun_by(session, seeker)
    for choice in choices(colleagues, shared, waiting, least=least):
        found = turn_queue.chosen(session, seeker, choice)
        if found is not None:
            return found
    return None


def _take(session: Session, found: Found, user: User, campaign: Campaign, now: datetime) -> Assignment:
    turn = found.turn
    known = session.scalars(_KNOWN, {"turn_id": turn.id}).all()
    assignment = next((each for each in known if each.user_id == user.id), None)
    if assignment is None:
        order = random.SystemRandom().sample(range(campaign.k), campaign.k)
        assignment = Assignment(turn=turn, user_id=user.id, purpose=Purpose.LABEL, response_order=order)
        session.add(assignment)
    assignment.leased_until = now + timedelta(minutes=campaign.lease_minutes)
    assignment.selection_probability = found.probability
    if not _take_place(session, turn, assignment, [each for each in known if each.place is not None]):
        raise AssertionError(f"turn {turn.id} was picked for a free place that it does not have")
    return assignment
