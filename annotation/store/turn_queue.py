"""Which of a campaign's turns comes next for somebody: found through an index, however many turns there are."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, and_, bindparam, distinct, exists, func, or_, select, text
from sqlalchemy.orm import Session, aliased, defer, lazyload

from annotation.assignment import Begin, Choice, Join, chance_of
from annotation.measure_tables import NamedPlace
from annotation.store import counted
from annotation.tables import (
    IN_QUEUE,
    Assignment,
    AssignmentState,
    Campaign,
    Dialogue,
    Purpose,
    Turn,
    TurnOrder,
    TurnState,
)

WAITING_FOR_RANKINGS = (TurnState.OPEN, TurnState.ONE_RANKING)
DRAWN_AT_ONCE = 128
LATELY_RANKED = 20
"""Among the dialogues of so many of their latest turns an annotator's next one is looked for."""

QUEUED = text(" AND ".join(f"turns.{rule}" for rule in IN_QUEUE.replace("+ ", "+ turns.").split(" AND ")))
WITHOUT_TEXTS = (defer(Turn.system), defer(Turn.history), defer(Turn.message), defer(Turn.reference_reply))
LIGHT = (lazyload("*"), *WITHOUT_TEXTS)
"""A place is taken without reading what the turn says."""

USER, CAMPAIGN = bindparam("user_id", type_=Integer), bindparam("campaign_id", type_=Integer)
SIBLING, RANKED = aliased(Turn), aliased(Turn)
PLACE, OWN = aliased(Assignment), aliased(Assignment)
"""Other turns of the dialogue and other places on them; made once, for making them costs more than a query."""


@dataclass(frozen=True)
class Seeker:
    """Who looks for a turn, in which campaign, by which order, and when; ``is_named``: whether places wait for them."""

    user_id: int
    campaign_id: int
    order: TurnOrder
    random_share: float
    lease: timedelta
    now: datetime
    is_named: bool = False

    @classmethod
    def of(cls, user_id: int, campaign: Campaign, now: datetime, *, is_named: bool = False) -> Seeker:
        """Somebody in a campaign as it is now."""
        lease = timedelta(minutes=campaign.lease_minutes)
        return cls(user_id, campaign.id, campaign.turn_order, campaign.random_share, lease, now, is_named)

    @property
    def values(self) -> dict[str, Any]:
        """What the statements below, which are put together once, leave open."""
        since = self.now - self.lease
        return {"user_id": self.user_id, "campaign_id": self.campaign_id, "now": self.now, "since": since}


@dataclass(frozen=True)
class Found:
    """A turn, locked, and how likely it was to be drawn; None where no chance was involved."""

    turn: Turn
    probability: float | None = None


def named_for(session: Session, seeker: Seeker) -> Found | None:
    """The first turn with a place that the admin keeps for them."""
    return _found(session, _named(), seeker)


def continued(session: Session, seeker: Seeker) -> Found | None:
    """The next turn of the dialogue that they ranked last, or else of one before it."""
    return _found(session, _continued(), seeker)


def chosen(session: Session, seeker: Seeker, choice: Choice) -> Found | None:
    """The first turn of a choice; one that somebody holds for a moment is passed over."""
    kind, by_score = type(choice), seeker.order is TurnOrder.INFORMATIVE
    if kind is Begin and by_score:
        return _begun_by_information(session, seeker)
    colleague = choice.colleague if isinstance(choice, Join) else None
    return _first(session, seeker, kind, by_score=by_score, colleague=colleague)


def anything(session: Session, seeker: Seeker) -> Found | None:
    """Whatever they may still be given, where no rule had a turn for them."""
    return _found(session, _anything(seeker.order), seeker)


def mark(session: Session) -> None:
    """From here on, what was locked can be let go of: whoever waits must not hold what others wait for."""
    session.flush()
    session.connection().exec_driver_sql("SAVEPOINT looking")


def wait_for_any(session: Session, seeker: Seeker) -> bool:
    """Lets go of what was locked since ``mark`` and waits for whoever is at a turn that may still be theirs.

    Says whether there is such a turn. Any will do, so they are not put in order, which would look at all of them.
    """
    session.connection().exec_driver_sql("ROLLBACK TO SAVEPOINT looking")
    turn_id = session.scalar(select(Turn.id).where(_free(seeker.order)).limit(1), seeker.values)
    if turn_id is not None:
        session.execute(select(Turn.id).where(Turn.id == turn_id).with_for_update()).all()
        session.connection().exec_driver_sql("ROLLBACK TO SAVEPOINT looking")
    return turn_id is not None


def still_free(session: Session, seeker: Seeker, turn: Turn) -> bool:
    """Whether a turn is theirs to take now that its dialogue is locked: others may have joined that a moment ago."""
    session.execute(select(Dialogue.id).where(Dialogue.id == turn.dialogue_id).with_for_update(key_share=True))
    free = select(Turn.id).where(Turn.id == turn.id, _free(seeker.order))
    return session.scalar(free, seeker.values) is not None


def begun_by(session: Session, seeker: Seeker) -> list[int]:
    """Who holds the only place of a turn that waits for a second."""
    holders = session.scalars(_holders(), {"campaign_id": seeker.campaign_id})
    return [holder for holder in holders if holder != seeker.user_id]


@cache
def _holders() -> Select[int]:
    """One step in the index for each of them."""
    one_place = (Turn.campaign_id == bindparam("campaign_id")) & QUEUED & (Turn.places_taken == 1)
    first = select(func.min(Turn.holder_id).label("holder")).where(one_place)
    found = first.cte("holders", recursive=True)
    after = select(func.min(Turn.holder_id)).where(one_place, Turn.holder_id > found.c.holder).scalar_subquery()
    found = found.union_all(select(after).where(found.c.holder.is_not(None)))
    return select(found.c.holder).where(found.c.holder.is_not(None))


@cache
def _named() -> Select[Turn]:
    mine = (NamedPlace.user_id == USER) & NamedPlace.taken.is_(False)
    waiting = (Turn.campaign_id == CAMPAIGN) & Turn.state.in_(WAITING_FOR_RANKINGS)
    wanted = select(Turn).join(NamedPlace, NamedPlace.turn_id == Turn.id).where(mine, waiting, Turn.places_taken < 2)
    return wanted.order_by(Turn.priority.desc(), Turn.id)


@cache
def _continued() -> Select[Turn]:
    mine = (Assignment.user_id == USER) & (Assignment.purpose == Purpose.LABEL)
    done = select(Assignment.turn_id, Assignment.finished_at).where(
        mine, Assignment.place.is_not(None), Assignment.finished_at.is_not(None)
    )
    newest = done.order_by(Assignment.finished_at.desc(), Assignment.id.desc()).limit(LATELY_RANKED).subquery()
    return (
        select(Turn)
        .join(RANKED, RANKED.dialogue_id == Turn.dialogue_id)
        .join(newest, newest.c.turn_id == RANKED.id)
        .where(_free(TurnOrder.DIALOGUE))
        .order_by(newest.c.finished_at.desc(), Turn.number)
    )


@cache
def _anything(order: TurnOrder) -> Select[Turn]:
    return select(Turn).where(_free(order)).order_by(Turn.priority.desc(), Turn.id)


@cache
def _of_choice(kind: type, order: TurnOrder) -> ColumnElement[bool]:
    if kind is Join:
        return _free(order) & (Turn.places_taken == 1) & (Turn.holder_id == bindparam("colleague"))
    fresh = _free_and_not_had() & (Turn.places_taken == 0) & Turn.holder_id.is_(None)
    if order is not TurnOrder.DIALOGUE:
        return fresh
    return fresh & ~exists().where(SIBLING.dialogue_id == Turn.dialogue_id, SIBLING.places_taken > 0)


@cache
def _free(order: TurnOrder) -> ColumnElement[bool]:
    """Turns that an annotator may still be given."""
    free = _free_and_not_had()
    return free & _not_kept() if order is TurnOrder.DIALOGUE else free


@cache
def _free_and_not_had() -> ColumnElement[bool]:
    """Turns with a place that is kept for nobody and that this annotator has not ranked or handed back already."""
    return and_(Turn.campaign_id == CAMPAIGN, QUEUED, ~_had(USER))


def _had(user_id: Any, *around: Any) -> ColumnElement[bool]:
    """That somebody, in a query ``around`` this one or by their id, has ranked the turn, holds it or handed it back."""
    theirs = (OWN.turn_id == Turn.id, OWN.user_id == user_id, OWN.purpose == Purpose.LABEL)
    return exists().where(*theirs, OWN.state != AssignmentState.EXPIRED).correlate(Turn, *around)


def _not_kept() -> ColumnElement[bool]:
    """Where dialogues stay together: a place is left beside those that colleagues in this dialogue go on to.

    A dialogue is kept for whoever has a turn of it reserved, or ranked one within the time of a lease.
    """
    at_it = or_(
        and_(PLACE.state == AssignmentState.RESERVED, PLACE.leased_until > bindparam("now")),
        and_(PLACE.state == AssignmentState.SUBMITTED, PLACE.finished_at > bindparam("since")),
    )
    keepers = (
        select(func.count(distinct(PLACE.user_id)))
        .select_from(SIBLING)
        .join(PLACE, PLACE.turn_id == SIBLING.id)
        .where(SIBLING.dialogue_id == Turn.dialogue_id, PLACE.place.is_not(None), at_it)
        .where(PLACE.user_id != USER, ~_had(PLACE.user_id, PLACE))
        .correlate(Turn)
        .scalar_subquery()
    )
    return Turn.places_taken + keepers < 2


def _by_import(wanted: Select[Any], which: ColumnElement[bool]) -> Select[Any]:
    """In the order of the index: of one holder or none, by priority, as imported."""
    return wanted.where(which).order_by(Turn.holder_id, Turn.priority.desc(), Turn.id)


def _by_score(wanted: Select[Any], which: ColumnElement[bool]) -> Select[Any]:
    """Those of the highest priority that have scores, the most informative first."""
    top = _by_import(select(Turn.priority), which).limit(1).scalar_subquery()
    scored = wanted.where(which, Turn.score_spread.is_not(None), Turn.priority == top)
    return scored.order_by(Turn.holder_id, Turn.score_spread.desc(), Turn.id)


@cache
def _best(kind: type, order: TurnOrder, *, by_score: bool) -> Select[Turn]:
    arranged = _by_score if by_score else _by_import
    return arranged(select(Turn), _of_choice(kind, order))


def _first(
    session: Session, seeker: Seeker, kind: type, *, by_score: bool, colleague: int | None = None
) -> Found | None:
    for scored in (True, False) if by_score else (False,):
        found = _found(session, _best(kind, seeker.order, by_score=scored), seeker, colleague=colleague)
        if found is not None:
            return found
    return None


def _begun_by_information(session: Session, seeker: Seeker) -> Found | None:
    """The most informative fresh turn of the highest priority or, for a share of the draws, any of that priority."""
    which = _of_choice(Begin, seeker.order)
    leader = session.scalar(_by_score(select(Turn.id), which).limit(1), seeker.values)
    if leader is None:
        leader = session.scalar(_by_import(select(Turn.id), which).limit(1), seeker.values)
    drawn = random.SystemRandom().random() < seeker.random_share
    found = _drawn(session, seeker, which) if drawn else None
    found = found or _first(session, seeker, Begin, by_score=True)
    if found is None:
        return None
    eligible = _eligible(session, seeker, found.turn.priority)
    return Found(found.turn, chance_of(found.turn.id == leader, eligible, seeker.random_share))


def _eligible(session: Session, seeker: Seeker, priority: int) -> int:
    """How many fresh turns of a priority they might be given: all, counted once for everybody, but what they had."""
    values = {**seeker.values, "priority": priority}
    fresh = counted.of(session, ("fresh", seeker.campaign_id, priority), _fresh().params(values))
    return max(fresh - (session.scalar(_had_of_fresh(), values) or 0), 1)


@cache
def _fresh() -> Select[int]:
    """How many turns nobody has begun."""
    fresh = (Turn.campaign_id == CAMPAIGN) & QUEUED & (Turn.places_taken == 0) & Turn.holder_id.is_(None)
    return select(func.count(Turn.id)).where(fresh, Turn.priority == bindparam("priority", type_=Integer))


@cache
def _had_of_fresh() -> Select[int]:
    """How many of those somebody has handed back: found by who it is, who holds no place of a fresh turn."""
    mine = (OWN.user_id == USER) & (OWN.purpose == Purpose.LABEL) & OWN.place.is_(None)
    return _fresh().join(OWN, OWN.turn_id == Turn.id).where(mine, OWN.state != AssignmentState.EXPIRED)


def _drawn(session: Session, seeker: Seeker, which: ColumnElement[bool]) -> Found | None:
    """One of the highest priority, each as likely: by throwing ids, or by listing where few of the ids fit."""
    top = _by_import(select(Turn.priority), which).limit(1).scalar_subquery()
    rivals = select(Turn.id).where(which, Turn.priority == top)
    in_campaign = (Turn.campaign_id == seeker.campaign_id) & (Turn.state == TurnState.OPEN)
    low, high = session.execute(select(func.min(Turn.id), func.max(Turn.id)).where(in_campaign)).one()
    if low is None:
        return None
    chance = random.SystemRandom()
    thrown = [chance.randint(low, high) for _ in range(DRAWN_AT_ONCE)]
    fitting = set(session.scalars(rivals.where(Turn.id.in_(set(thrown))), seeker.values))
    ids: Sequence[int] = [turn_id for turn_id in thrown if turn_id in fitting]
    if not ids:
        ids = session.scalars(rivals, seeker.values).all()
        ids = chance.sample(ids, min(len(ids), DRAWN_AT_ONCE))
    for turn_id in dict.fromkeys(ids):
        found = _found(session, select(Turn).where(which, Turn.id == turn_id), seeker)
        if found is not None:
            return found
    return None


def _found(session: Session, wanted: Select[Turn], seeker: Seeker, **values: object) -> Found | None:
    turn = session.scalar(_locked(wanted), {**seeker.values, **values})
    return None if turn is None else Found(turn)


@lru_cache(maxsize=64)
def _locked(wanted: Select[Turn]) -> Select[Turn]:
    """The first of them that nobody else is at."""
    locked = wanted.limit(1).with_for_update(of=Turn, skip_locked=True).options(*LIGHT)
    return locked.execution_options(populate_existing=True)
