"""What of a campaign wants the admin's attention: counts that are cheap to ask for, however many turns there are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, literal_column, select
from sqlalchemy.orm import Session

from annotation.db import utcnow
from annotation.measure_tables import GuidelineDoubt
from annotation.store import campaigns, review_queue
from annotation.store.turns import HANDED_BACK_OFTEN
from annotation.tables import Ranking, Turn, TurnState

LATELY = timedelta(days=7)
"""Late rankings of so long are still news."""

_LATE: ColumnElement[bool] = literal_column("rankings.late")
"""In the words of the index that holds such rankings."""


@dataclass(frozen=True)
class Open:
    """``oldest`` is when the contested turn that waits longest had its second ranking."""

    oldest: datetime | None
    doubts: int
    handed_back: int
    late: int


def waiting(session: Session, campaign_id: int, now: datetime | None = None) -> Open:
    """What waits for somebody in a campaign."""
    return waiting_in(session, [campaign_id], now)[campaign_id]


def waiting_in(session: Session, campaign_ids: Collection[int], now: datetime | None = None) -> dict[int, Open]:
    """What waits for somebody in each of several campaigns: every count is one statement for all of them."""
    doubted, here = GuidelineDoubt.campaign_id, Turn.campaign_id
    doubts = select(doubted, func.count()).where(doubted.in_(campaign_ids), GuidelineDoubt.closed_at.is_(None))
    left = Turn.state.not_in((TurnState.SETTLED, TurnState.WITHDRAWN))
    handed_back = select(here, func.count()).where(here.in_(campaign_ids), HANDED_BACK_OFTEN, left)
    found = [
        {row[0]: row[1] for row in session.execute(query)}
        for query in (doubts.group_by(doubted), handed_back.group_by(here))
    ]
    found.append(campaigns.few_rankings(session, _LATE, Ranking.created_at > (now or utcnow()) - LATELY))
    return {
        each: Open(review_queue.waits_since(session, here == each), *(numbers.get(each, 0) for numbers in found))
        for each in campaign_ids
    }
