"""What of a campaign wants the admin's attention: counts that are cheap to ask for, however many turns there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import exists, func, select, text
from sqlalchemy.orm import Session

from annotation.db import utcnow
from annotation.measure_tables import GuidelineDoubt
from annotation.store import review_queue
from annotation.tables import OFTEN_HANDED_BACK, Assignment, Ranking, Turn, TurnState

LATELY = timedelta(days=7)
"""Late rankings of so long are still news."""

OFTEN = 2  # as OFTEN_HANDED_BACK says it
"""Who looks at a turn that was handed back so often sees why; the next time it goes to the adjudicator."""


@dataclass(frozen=True)
class Open:
    """``oldest`` is when the contested turn that waits longest had its second ranking."""

    oldest: datetime | None
    doubts: int
    handed_back: int
    late: int


def waiting(session: Session, campaign_id: int, now: datetime | None = None) -> Open:
    """What waits for somebody in a campaign."""
    in_campaign = Turn.campaign_id == campaign_id
    doubts = select(func.count()).where(GuidelineDoubt.campaign_id == campaign_id, GuidelineDoubt.closed_at.is_(None))
    left = Turn.state.not_in((TurnState.SETTLED, TurnState.WITHDRAWN))
    handed_back = select(func.count()).where(in_campaign, text(f"turns.{OFTEN_HANDED_BACK}"), left)
    own = exists().where(Assignment.id == Ranking.assignment_id, Turn.id == Assignment.turn_id, in_campaign)
    late = select(func.count(Ranking.id)).where(
        Ranking.created_at > (now or utcnow()) - LATELY, Ranking.late.is_(True), own
    )
    return Open(
        oldest=review_queue.waits_since(session, in_campaign),
        doubts=session.scalar(doubts) or 0,
        handed_back=session.scalar(handed_back) or 0,
        late=session.scalar(late) or 0,
    )
