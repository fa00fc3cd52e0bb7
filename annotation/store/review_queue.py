"""What waits for a third expert: contested turns, the most important ability first, and audits mixed in by chance."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product

from sqlalchemy import ColumnElement, exists, func, literal_column, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from annotation.people_tables import User
from annotation.review_tables import Adjudication, ReviewKind, ReviewState
from annotation.tables import Assignment, Purpose, SettledBy, Turn, TurnState

DRAWN: ColumnElement[bool] = literal_column("turns.audit_drawn")
"""In the words of the index that holds such turns: SQLite would not see that "= 1" is the same."""


@dataclass(frozen=True)
class Queue:
    """What waits for this adjudicator: contested turns, audits, and since when the oldest contested one."""

    contested: int
    audits: int
    oldest: datetime | None

    @property
    def waiting(self) -> int:
        """All of it."""
        return self.contested + self.audits


def queue(session: Session, user: User) -> Queue:
    """What this adjudicator may decide, turns they ranked left out."""
    contested, audits = _waiting(session, user)
    return Queue(contested, audits, waits_since(session, _contested_for(user)))


def waits_since(session: Session, wanted: ColumnElement[bool]) -> datetime | None:
    """When the last ranking came of the turn that has waited longest, among contested ones of which this is so."""
    those = select(Turn.id).where(Turn.state == TurnState.CONTESTED, wanted)
    came = select(func.max(Assignment.finished_at).label("at")).where(Assignment.turn_id.in_(those))
    found: datetime | None = session.scalar(select(func.min(came.group_by(Assignment.turn_id).subquery().c.at)))
    return found


def _waiting(session: Session, user: User) -> tuple[int, int]:
    """How many contested turns and how many audits wait for this adjudicator."""
    contested = select(func.count(Turn.id)).where(Turn.state == TurnState.CONTESTED)
    own = (Assignment.user_id == user.id) & (Assignment.purpose == Purpose.LABEL)
    ranked = contested.join(Assignment, Assignment.turn_id == Turn.id).where(own)
    audits = select(func.count(Turn.id)).where(_audits_for(user))
    every, theirs, drawn = (session.scalar(each) or 0 for each in (contested, ranked, audits))
    return every - theirs, drawn


def find(session: Session, user: User, *, audits: bool) -> tuple[Turn, ReviewKind] | None:
    """The turn that comes next and why, locked; None where nothing is left.

    An audit comes with the share that audits have in the queue, so neither kind waits for the other to run out. What
    somebody handed back comes to them again only when there is nothing else. A row that somebody holds for a moment is
    passed over first, and waited for before saying that none is left.
    """
    for again, kind, skip_locked in product((False, True), _kinds(session, user, audits=audits), (True, False)):
        turn = _pick(session, user, kind, again=again, skip_locked=skip_locked)
        if turn is not None:
            return turn, kind
    return None


def _kinds(session: Session, user: User, *, audits: bool) -> Sequence[ReviewKind]:
    if not audits:
        return (ReviewKind.CONTESTED,)
    contested, waiting = _waiting(session, user)
    audit_first = random.SystemRandom().random() * max(contested + waiting, 1) < waiting
    both = (ReviewKind.AUDIT, ReviewKind.CONTESTED)
    return both if audit_first else both[::-1]


def _pick(session: Session, user: User, kind: ReviewKind, *, again: bool, skip_locked: bool) -> Turn | None:
    contested = kind is ReviewKind.CONTESTED
    wanted = _contested_for(user) if contested else _audits_for(user)
    order = (Turn.contested_ability.asc().nulls_last(), Turn.id) if contested else (Turn.id,)  # those of their indexes
    turn = session.scalar(
        select(Turn)
        .where(wanted, _handed_back_by(user) if again else ~_handed_back_by(user))
        .order_by(*order)
        .limit(1)
        .with_for_update(of=Turn, skip_locked=skip_locked)
        .execution_options(populate_existing=True)
    )
    # Opening an audit leaves the row of its turn as it is, so who waited for that row looks whether it is taken by now.
    return None if turn is not None and session.scalar(select(_live(turn.id))) else turn


def _contested_for(user: User) -> ColumnElement[bool]:
    return (Turn.state == TurnState.CONTESTED) & ~_ranked_by(user)


def _audits_for(user: User) -> ColumnElement[bool]:
    """Nothing is said of their state: they are settled, and SQLite would take the index of all that are."""
    return DRAWN & (Turn.settled_by == SettledBy.AGREED) & ~_live(Turn.id) & ~_ranked_by(user)


def _live(turn_id: InstrumentedAttribute[int] | int) -> ColumnElement[bool]:
    review = aliased(Adjudication)
    return exists().where(review.turn_id == turn_id, review.state != ReviewState.RELEASED)


def _ranked_by(user: User) -> ColumnElement[bool]:
    """That this user had a place for labelling on the turn at any time."""
    return exists().where(
        Assignment.turn_id == Turn.id, Assignment.user_id == user.id, Assignment.purpose == Purpose.LABEL
    )


def _handed_back_by(user: User) -> ColumnElement[bool]:
    """That this user gave the turn back; a review whose lease ran out has no such date."""
    mine = (Adjudication.turn_id == Turn.id) & (Adjudication.adjudicator_id == user.id)
    return exists().where(mine, Adjudication.state == ReviewState.RELEASED, Adjudication.decided_at.is_not(None))
