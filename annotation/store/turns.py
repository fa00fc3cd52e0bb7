"""Looking at turns, for the admin."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from annotation.refusals import Missing
from annotation.tables import Adjudication, ReviewState, Rewrite, Turn, TurnState


def get(session: Session, turn_id: int) -> Turn:
    """The turn; raises Missing."""
    turn = session.get(Turn, turn_id)
    if turn is None:
        raise Missing("This turn does not exist.")
    return turn


def listed(session: Session, campaign_id: int, state: TurnState | None, *, after: int, limit: int) -> Sequence[Turn]:
    """Turns of a campaign in the order of their import, behind the one with id ``after``."""
    wanted = select(Turn).where(Turn.campaign_id == campaign_id, Turn.id > after)
    if state is not None:
        wanted = wanted.where(Turn.state == state)
    return session.scalars(wanted.order_by(Turn.id).limit(limit)).all()


def review_of(session: Session, turn_id: int) -> Adjudication | None:
    """The adjudication of a turn that is open or decided."""
    live = select(Adjudication).where(Adjudication.turn_id == turn_id, Adjudication.state != ReviewState.RELEASED)
    return session.scalar(live)


def rewrite_of(session: Session, turn_id: int) -> Rewrite | None:
    """What was written in place of unacceptable responses."""
    return session.scalar(select(Rewrite).where(Rewrite.turn_id == turn_id).order_by(Rewrite.id.desc()).limit(1))
