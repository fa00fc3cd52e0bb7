"""What waits for a third expert: contested turns, the most important ability first, and audits mixed in by chance."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from annotation.tables import (
    Adjudication,
    Assignment,
    Purpose,
    ReviewKind,
    ReviewState,
    SettledBy,
    Turn,
    TurnState,
    User,
)


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
    newest_ranking = select(func.max(Assignment.finished_at)).where(Assignment.turn_id == Turn.id).scalar_subquery()
    row = session.execute(select(func.count(Turn.id), func.min(newest_ranking)).where(_contested_for(user))).one()
    return Queue(row[0], session.scalar(select(func.count(Turn.id)).where(_audits_for(user))) or 0, row[1])


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
    waiting = queue(session, user)
    audit_first = random.SystemRandom().random() * max(waiting.waiting, 1) < waiting.audits
    both = (ReviewKind.AUDIT, ReviewKind.CONTESTED)
    return both if audit_first else both[::-1]


def _pick(session: Session, user: User, kind: ReviewKind, *, again: bool, skip_locked: bool) -> Turn | None:
    wanted = _contested_for(user) if kind is ReviewKind.CONTESTED else _audits_for(user)
    turn = session.scalar(
        select(Turn)
        .where(wanted, _handed_back_by(user) if again else ~_handed_back_by(user))
        .order_by(Turn.contested_ability.is_(None), Turn.contested_ability, Turn.id)
        .limit(1)
        .with_for_update(of=Turn, skip_locked=skip_locked)
        .execution_options(populate_existing=True)
    )
    # Opening an audit leaves the row of its turn as it is, so who waited for that row looks whether it is taken by now.
    return None if turn is not None and session.scalar(select(_live(turn.id))) else turn


def _contested_for(user: User) -> ColumnElement[bool]:
    return (Turn.state == TurnState.CONTESTED) & ~_ranked_by(user)


def _audits_for(user: User) -> ColumnElement[bool]:
    agreed = (Turn.state == TurnState.SETTLED) & (Turn.settled_by == SettledBy.AGREED)
    return Turn.audit_drawn & agreed & ~_live(Turn.id) & ~_ranked_by(user)


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
