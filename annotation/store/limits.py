"""How much somebody may rank in a campaign: a day, which is the last 24 hours, and in all."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from annotation.db import utcnow
from annotation.refusals import Invalid, Missing
from annotation.store import audit
from annotation.tables import Assignment, AssignmentState, Campaign, Membership, Turn

DAY = timedelta(hours=24)


class Limit(enum.StrEnum):
    """Which limit somebody has reached."""

    DAY = "day"
    IN_ALL = "in all"


@dataclass(frozen=True)
class Allowance:
    """How many turns somebody may still be given; None where nothing limits it."""

    today: int | None = None
    in_all: int | None = None

    @property
    def left(self) -> int | None:
        """The smaller of the two."""
        return min((each for each in (self.today, self.in_all) if each is not None), default=None)

    @property
    def reached(self) -> Limit | None:
        """The limit that keeps them from another turn, the one in all first."""
        if self.in_all == 0:
            return Limit.IN_ALL
        return Limit.DAY if self.today == 0 else None


def allowance(session: Session, membership: Membership, now: datetime | None = None) -> Allowance:
    """What somebody may still rank; every turn that they submitted counts, for whatever purpose."""
    a_day, in_all = membership.most_a_day, membership.most_in_all
    done = (
        select(func.count(Assignment.id))
        .join(Turn)
        .where(Assignment.user_id == membership.user_id, Turn.campaign_id == membership.campaign_id)
        .where(Assignment.state == AssignmentState.SUBMITTED)
    )
    today = done.where(Assignment.finished_at > (now or utcnow()) - DAY)
    return Allowance(
        None if a_day is None else max(0, a_day - (session.scalar(today) or 0)),
        None if in_all is None else max(0, in_all - (session.scalar(done) or 0)),
    )


def set_limits(
    session: Session,
    campaign: Campaign,
    user_id: int,
    *,
    most_a_day: int | None,
    most_in_all: int | None,
    actor_id: int | None,
) -> None:
    """How much somebody may rank from now on; what they hold already they may finish."""
    membership = session.get(Membership, (campaign.id, user_id))
    if membership is None:
        raise Missing("This person does not rank in this campaign.")
    if any(most is not None and most < 0 for most in (most_a_day, most_in_all)):
        raise Invalid("A limit is a number of turns, or empty for none.")
    if (membership.most_a_day, membership.most_in_all) == (most_a_day, most_in_all):
        return
    membership.most_a_day, membership.most_in_all = most_a_day, most_in_all
    subject = f"campaign {campaign.id}"
    audit.record(session, actor_id, "limits changed", subject, user=user_id, a_day=most_a_day, in_all=most_in_all)
