"""Campaigns, their guidelines, their members, and how far they are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Integer, bindparam, delete, exists, func, select, update
from sqlalchemy.orm import Session

from annotation.db import utcnow
from annotation.outside_tables import AccessToken
from annotation.people_tables import LoginSession, Role, User, UserState
from annotation.refusals import Conflict, Invalid, Missing
from annotation.store import audit, counted, naming
from annotation.tables import (
    Assignment,
    Campaign,
    Guideline,
    Membership,
    PairCount,
    PriorityRule,
    Ranking,
    Turn,
    TurnOrder,
    TurnState,
)

AT_WORK = timedelta(hours=12)
"""Who was seen within so long counts as at work."""

_IN_CAMPAIGN = bindparam("campaign_id", type_=Integer)
_RANKED_IN = (
    select(Campaign).join(Membership).where(Membership.user_id == bindparam("user_id"), Campaign.id == _IN_CAMPAIGN)
)
_IN_FORCE = select(Guideline).where(Guideline.campaign_id == _IN_CAMPAIGN).order_by(Guideline.version.desc()).limit(1)
_BROWSING = exists().where(LoginSession.user_id == User.id, LoginSession.seen_at > bindparam("lately"))
_CALLING = exists().where(AccessToken.user_id == User.id, AccessToken.used_at > bindparam("lately"))
_MEMBERS_SEEN = (
    select(User.id, _BROWSING | _CALLING)
    .join(Membership, Membership.user_id == User.id)
    .where(Membership.campaign_id == _IN_CAMPAIGN, User.state == UserState.ACTIVE)
)
_RANKED_SINCE = (
    select(func.count(Ranking.id))
    .join(Ranking.assignment)
    .where(Assignment.user_id == bindparam("user_id"), Assignment.finished_at > bindparam("since"))
    .where(Ranking.version == 1, Ranking.created_at > bindparam("since"))
)
"""What is asked with every turn is put together once: that costs more than to ask."""

_WHERE_RANKED = (
    select(Turn.campaign_id).join(Assignment).where(Assignment.id == Ranking.assignment_id).scalar_subquery()
)


def every(session: Session) -> Sequence[Campaign]:
    """All campaigns, newest first."""
    return session.scalars(select(Campaign).order_by(Campaign.id.desc())).all()


def get(session: Session, campaign_id: int) -> Campaign:
    """The campaign; raises Missing."""
    campaign = session.get(Campaign, campaign_id)
    if campaign is None:
        raise Missing("This campaign does not exist.")
    return campaign


def by_name(session: Session, name: str) -> Campaign | None:
    """The campaign with this name."""
    return session.scalar(select(Campaign).where(Campaign.name == name))


def create(
    session: Session,
    name: str,
    *,
    k: int = 4,
    ties_allowed: bool = True,
    priority_rule: PriorityRule = PriorityRule.ENFORCE,
    guideline: str = "",
    rewrite_template: str = "",
    members: Collection[int] | None = None,
    actor_id: int | None = None,
) -> Campaign:
    """A campaign with the first version of its guideline and its members.

    Those are the annotators who are given, or every one who is not deactivated.
    """
    _require_free(session, name)
    campaign = Campaign(
        name=name, k=k, ties_allowed=ties_allowed, priority_rule=priority_rule, rewrite_template=rewrite_template
    )
    session.add(campaign)
    session.flush()
    session.add(Guideline(campaign_id=campaign.id, version=1, text=guideline))
    chosen = select(User.id).where(User.role == Role.ANNOTATOR).order_by(User.id)
    chosen = chosen.where(User.state != UserState.DEACTIVATED if members is None else User.id.in_(members))
    session.add_all(Membership(campaign_id=campaign.id, user_id=user_id) for user_id in session.scalars(chosen).all())
    session.flush()
    audit.record(session, actor_id, "campaign created", f"campaign {campaign.id}", name=name, k=k)
    return campaign


def change_rules(
    session: Session,
    campaign: Campaign,
    *,
    name: str,
    ties_allowed: bool,
    is_open: bool,
    priority_rule: PriorityRule,
    rewrite_template: str,
    lease_minutes: int,
    actor_id: int | None,
) -> None:
    """Changes what holds from now on; what was ranked before stays as it is."""
    _rename(session, campaign, name, actor_id=actor_id)
    campaign.ties_allowed = ties_allowed
    campaign.open = is_open
    campaign.priority_rule = priority_rule
    campaign.rewrite_template = rewrite_template
    campaign.lease_minutes = lease_minutes
    subject = f"campaign {campaign.id}"
    audit.record(session, actor_id, "rules changed", subject, ties=ties_allowed, open=is_open, rule=priority_rule)


def _rename(session: Session, campaign: Campaign, name: str, *, actor_id: int | None) -> None:
    if name == campaign.name:
        return
    _require_free(session, name)
    before, campaign.name = campaign.name, name
    audit.record(session, actor_id, "campaign renamed", f"campaign {campaign.id}", before=before, name=name)


def _require_free(session: Session, name: str) -> None:
    """Raises Invalid for no name, and Conflict for one that is taken."""
    if not name:
        raise Invalid("The campaign needs a name.")
    if by_name(session, name) is not None:
        raise Conflict("There is a campaign named {name} already: choose another name.", name=name)


def change_handing_out(
    session: Session,
    campaign: Campaign,
    *,
    turn_order: TurnOrder,
    random_share: float,
    repeat_share: float,
    repeat_after_days: int,
    gold_share: float,
    actor_id: int | None,
) -> None:
    """Changes what is handed out next, and which share of it measures people.

    With dialogues kept together something else is shared evenly than without: then evenness is counted anew.
    """
    if repeat_share + gold_share > 1:
        raise Invalid("Repeats and gold turns together cannot be more than all turns: lower one of the shares.")
    if TurnOrder.DIALOGUE in (turn_order, campaign.turn_order) and turn_order is not campaign.turn_order:
        count_pairs_anew(session, campaign.id)
    campaign.turn_order = turn_order
    campaign.random_share = random_share
    campaign.repeat_share, campaign.repeat_after_days = repeat_share, repeat_after_days
    campaign.gold_share = gold_share
    shares = {"random": random_share, "repeat": repeat_share, "gold": gold_share}
    audit.record(session, actor_id, "rules changed", f"campaign {campaign.id}", order=turn_order, **shares)


def memberships(session: Session, campaign_id: int) -> Sequence[Membership]:
    """Who ranks in a campaign, by name, with their limits."""
    wanted = select(Membership).join(User).where(Membership.campaign_id == campaign_id)
    return session.scalars(wanted.order_by(User.name)).all()


def guideline(session: Session, campaign_id: int) -> Guideline:
    """The guideline in force."""
    return session.scalars(_IN_FORCE, {"campaign_id": campaign_id}).one()


def revise_guideline(session: Session, campaign: Campaign, text: str, *, actor_id: int | None) -> Guideline:
    """A new version, unless nothing changed; rankings keep the version they were made under."""
    current = guideline(session, campaign.id)
    if current.text == text:
        return current
    revised = Guideline(campaign_id=campaign.id, version=current.version + 1, text=text)
    session.add(revised)
    audit.record(session, actor_id, "guideline revised", f"campaign {campaign.id}", version=revised.version)
    return revised


def members(session: Session, campaign_id: int) -> Sequence[User]:
    """The annotators of a campaign, by name."""
    wanted = select(User).join(Membership).where(Membership.campaign_id == campaign_id).order_by(User.name)
    return session.scalars(wanted).all()


def at_work(session: Session, campaign_id: int, now: datetime | None = None) -> Sequence[int]:
    """The members who are active and were seen lately; all who are active where nobody was.

    Who is away without having been paused must not hold up the others: evenness waits for whoever is behind.
    """
    values = {"campaign_id": campaign_id, "lately": (now or utcnow()) - AT_WORK}
    rows = session.execute(_MEMBERS_SEEN, values).all()
    return [user_id for user_id, here in rows if here] or [user_id for user_id, _ in rows]


def set_members(session: Session, campaign: Campaign, user_ids: set[int], *, actor_id: int | None) -> None:
    """Who ranks in the campaign from now on; evenness over pairs is counted anew where that changes."""
    before = {user.id for user in members(session, campaign.id)}
    if before == user_ids:
        return
    leaving = delete(Membership).where(Membership.campaign_id == campaign.id, Membership.user_id.in_(before - user_ids))
    session.execute(leaving)
    naming.withdraw_all(session, before - user_ids, campaign.id)
    session.add_all(Membership(campaign_id=campaign.id, user_id=user_id) for user_id in user_ids - before)
    count_pairs_anew(session, campaign.id)
    audit.record(session, actor_id, "members changed", f"campaign {campaign.id}", members=sorted(user_ids))


def count_pairs_anew(session: Session, campaign_id: int) -> None:
    """Begins a new stretch in which turns are shared evenly: somebody came, left, paused or returned."""
    session.execute(delete(PairCount).where(PairCount.campaign_id == campaign_id))
    counted = Turn.state.in_((TurnState.OPEN, TurnState.ONE_RANKING)) & Turn.pair_counted  # others are left no more
    session.execute(update(Turn).where(Turn.campaign_id == campaign_id, counted).values(pair_counted=False))


def availability_changed(session: Session, user_id: int) -> None:
    """Begins a new stretch in every campaign of somebody who paused, returned or left."""
    for campaign_id in session.scalars(select(Membership.campaign_id).where(Membership.user_id == user_id)).all():
        count_pairs_anew(session, campaign_id)


def campaigns_of(session: Session, user_id: int) -> Sequence[Campaign]:
    """The open campaigns in which somebody ranks, oldest first."""
    mine = select(Campaign).join(Membership).where(Membership.user_id == user_id, Campaign.open.is_(True))
    return session.scalars(mine.order_by(Campaign.id)).all()


def ranked_in(session: Session, user_id: int, campaign_id: int) -> Campaign:
    """The campaign, open or not, if somebody ranks in it; raises Missing."""
    campaign = session.scalar(_RANKED_IN, {"user_id": user_id, "campaign_id": campaign_id})
    if campaign is None:
        raise Missing("This campaign does not exist.")
    return campaign


def rankings_today(session: Session, user_id: int, now: datetime | None = None) -> int:
    """How many turns somebody has ranked in the last 24 hours."""
    since = (now or utcnow()) - timedelta(hours=24)
    return session.scalar(_RANKED_SINCE, {"user_id": user_id, "since": since}) or 0


@dataclass(frozen=True)
class Progress:
    """How many turns stand where, and how many rankings came in of late."""

    by_state: dict[TurnState, int]
    rankings: int
    rankings_today: int

    @property
    def turns(self) -> int:
        """All turns but the withdrawn ones."""
        return sum(n for state, n in self.by_state.items() if state is not TurnState.WITHDRAWN)

    def count(self, *states: TurnState) -> int:
        """How many turns stand in any of these states."""
        return sum(self.by_state.get(state, 0) for state in states)


def progress(session: Session, campaign_id: int, now: datetime | None = None) -> Progress:
    """How far a campaign is."""
    return progress_of(session, [campaign_id], now)[campaign_id]


def progress_of(session: Session, campaign_ids: Collection[int], now: datetime | None = None) -> dict[int, Progress]:
    """How far each of several campaigns is."""
    here = Turn.campaign_id.in_(campaign_ids)
    states = select(Turn.campaign_id, Turn.state, func.count()).where(here).group_by(Turn.campaign_id, Turn.state)
    states = states.order_by(Turn.state)  # so that the same is said in the same words
    by_state: dict[int, dict[TurnState, int]] = {each: {} for each in campaign_ids}
    for campaign_id, state, count in session.execute(states):
        by_state[campaign_id][state] = count
    today = few_rankings(session, Ranking.version == 1, Ranking.created_at > (now or utcnow()) - timedelta(hours=24))
    first_versions = select(func.count(Ranking.id)).join(Ranking.assignment).join(Turn).where(Ranking.version == 1)
    return {
        each: Progress(
            by_state=by_state[each],
            rankings=counted.of(session, ("rankings", each), first_versions.where(Turn.campaign_id == each)),
            rankings_today=today.get(each, 0),
        )
        for each in campaign_ids
    }


def few_rankings(session: Session, *wanted: ColumnElement[bool]) -> dict[int, int]:
    """How many rankings each campaign has of which this is so: one statement, which begins with those rankings."""
    few = select(_WHERE_RANKED.label("campaign_id")).where(*wanted).subquery()
    rows = session.execute(select(few.c.campaign_id, func.count()).group_by(few.c.campaign_id))
    return {row[0]: row[1] for row in rows}
