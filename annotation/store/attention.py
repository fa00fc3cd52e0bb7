"""What of a campaign wants the admin's attention: counts that are cheap to ask for, however many turns there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from annotation.db import utcnow
from annotation.measure_tables import GuidelineDoubt
from annotation.store import review_queue
from annotation.tables import Assignment, Ranking, Turn, TurnState

LATELY = timedelta(days=7)
"""Late rankings of so long are still news."""

OFTEN = 2
"""Who looks at a turn that was handed back so often sees why; the next time it goes to the adjudicator."""

LEFT = [state for state in TurnState if state not in (TurnState.SETTLED, TurnState.WITHDRAWN)]
"""States named one by one, so that an index finds their turns among all that are settled."""


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
    handed_back = select(func.count()).where(in_campaign, Turn.times_unjudgeable >= OFTEN, Turn.state.in_(LEFT))
    late = (
        select(func.count())
        .select_from(Ranking)
        .join(Assignment, Ranking.assignment_id == Assignment.id)
        .join(Turn, Assignment.turn_id == Turn.id)
        .where(in_campaign, Ranking.late.is_(True), Ranking.created_at > (now or utcnow()) - LATELY)
    )
    return Open(
        oldest=review_queue.waits_since(session, in_campaign),
        doubts=session.scalar(doubts) or 0,
        handed_back=session.scalar(handed_back) or 0,
        late=session.scalar(late) or 0,
    )
