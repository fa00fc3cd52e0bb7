"""What adjudicators found unclear in a guideline, and what the admin replied."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from annotation.abilities import Ability
from annotation.db import utcnow
from annotation.measure_tables import GuidelineDoubt
from annotation.outside_tables import Event
from annotation.refusals import Conflict, Invalid, Missing
from annotation.review_tables import Adjudication
from annotation.store import audit, campaigns, hooks


def raise_doubt(session: Session, review: Adjudication, ability: Ability, note: str) -> GuidelineDoubt:
    """Tells the admin what is unclear about an ability, at the turn that showed it."""
    if not note.strip():
        raise Invalid("Say in a sentence what is unclear about this ability.")
    campaign_id = review.turn.campaign_id
    doubt = GuidelineDoubt(
        campaign_id=campaign_id,
        guideline_id=campaigns.guideline(session, campaign_id).id,
        turn_id=review.turn_id,
        author_id=review.adjudicator_id,
        ability=ability,
        note=note.strip(),
    )
    session.add(doubt)
    session.flush()
    about = {"campaign_id": campaign_id, "turn_id": review.turn_id, "doubt_id": doubt.id, "ability": int(ability)}
    hooks.tell(session, Event.GUIDELINE_DOUBT, **about)
    audit.record(session, review.adjudicator_id, "guideline doubted", f"turn {review.turn_id}", ability=ability.key)
    return doubt


def open_doubts(session: Session, campaign_id: int) -> Sequence[GuidelineDoubt]:
    """What waits for an answer, oldest first."""
    waiting = select(GuidelineDoubt).where(
        GuidelineDoubt.campaign_id == campaign_id, GuidelineDoubt.closed_at.is_(None)
    )
    return session.scalars(waiting.order_by(GuidelineDoubt.id)).all()


def closed_doubts(session: Session, campaign_id: int, limit: int = 100) -> Sequence[GuidelineDoubt]:
    """What was answered, the latest first."""
    done = select(GuidelineDoubt).where(
        GuidelineDoubt.campaign_id == campaign_id, GuidelineDoubt.closed_at.is_not(None)
    )
    return session.scalars(done.order_by(GuidelineDoubt.closed_at.desc(), GuidelineDoubt.id.desc()).limit(limit)).all()


def raised_by(session: Session, review: Adjudication) -> Sequence[GuidelineDoubt]:
    """What this adjudicator found unclear at this turn, with the reply."""
    mine = select(GuidelineDoubt).where(
        GuidelineDoubt.turn_id == review.turn_id, GuidelineDoubt.author_id == review.adjudicator_id
    )
    return session.scalars(mine.order_by(GuidelineDoubt.id)).all()


def close(
    session: Session, campaign_id: int, doubt_id: int, reply: str, *, actor_id: int, now: datetime | None = None
) -> None:
    """Answers and closes a doubt; raises Missing, and Conflict where it is closed already."""
    doubt = session.get(GuidelineDoubt, doubt_id, with_for_update=True)
    if doubt is None or doubt.campaign_id != campaign_id:
        raise Missing("There is no such doubt.")
    if doubt.closed_at is not None:
        raise Conflict("This doubt was answered already: here is how it stands.")
    doubt.reply, doubt.closed_at = reply.strip(), now or utcnow()
    audit.record(session, actor_id, "guideline doubt closed", f"campaign {campaign_id}", doubt=doubt.id)
