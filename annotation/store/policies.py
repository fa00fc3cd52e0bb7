"""The review policy of a campaign: what it would cost, and what changing it settles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from sqlalchemy import select
from sqlalchemy.orm import Session

from annotation.db import utcnow
from annotation.ranking import Ranking as Order
from annotation.review_policy import Policy, expected_questions, needs_review
from annotation.store import audit, campaigns, hooks, rankings
from annotation.tables import (
    Adjudication,
    Assignment,
    Campaign,
    Ranking,
    ReviewKind,
    ReviewState,
    Turn,
    TurnState,
    User,
)

LATEST = 1000
"""From so many of the latest turns with two rankings a cost is projected; so many reviews tell how long one takes."""

COMING = (TurnState.NEEDS_RESPONSES, TurnState.OPEN, TurnState.ONE_RANKING)

Both = tuple[Order, Order]


@dataclass(frozen=True)
class Cost:
    """What a policy leaves to the adjudicators: of the turns that wait, and of those still to be ranked.

    ``turns`` and ``questions`` are expected numbers; ``hours`` is None where no review was measured yet; ``settles``
    counts the waiting turns that need no third expert any more.
    """

    policy: Policy
    share: float
    turns: float
    questions: float
    audits: float
    hours: float | None
    settles: int


@dataclass(frozen=True)
class Projection:
    """The costs of several policies, and on how many turns with two rankings they rest."""

    costs: list[Cost]
    seen: int
    coming: int
    waiting: int
    seconds_a_turn: float | None


def project(
    session: Session, campaign: Campaign, policies: Iterable[Policy], *, audit_share: float | None = None
) -> Projection:
    """What each of these policies would cost from now on, by the campaign's own double rankings."""
    seen = _double_rankings(session, campaign.id, limit=LATEST)
    waiting = _double_rankings(session, campaign.id, state=TurnState.CONTESTED)
    coming = campaigns.progress(session, campaign.id).count(*COMING)
    seconds = _seconds_a_review(session, campaign.id)
    share = campaign.audit_share if audit_share is None else audit_share
    costs = [_cost(policy, seen, waiting, coming, share, seconds) for policy in policies]
    return Projection(costs, len(seen), coming, len(waiting), seconds)


def change(
    session: Session,
    campaign: Campaign,
    policy: Policy,
    *,
    audit_share: float,
    actor_id: int | None,
    now: datetime | None = None,
) -> int:
    """Sets the policy from now on and returns how many waiting turns it settles.

    Turns that are in review or settled stay as they are.
    """
    now = now or utcnow()
    waiting = _lock_waiting(session, campaign.id)  # turns before their campaign, as where a turn is settled
    campaign.review_policy, campaign.review_distance = policy.kind, policy.distance
    campaign.audit_share = audit_share
    session.flush()
    settled = _sort_out(session, campaign, waiting, now)
    audit.record(
        session,
        actor_id,
        "review policy changed",
        f"campaign {campaign.id}",
        policy=policy.kind,
        distance=policy.distance,
        audits=audit_share,
        settled=settled,
    )
    return settled


def _lock_waiting(session: Session, campaign_id: int) -> dict[int, Turn]:
    waiting = (
        select(Turn)
        .where(Turn.campaign_id == campaign_id, Turn.state == TurnState.CONTESTED)
        .order_by(Turn.id)
        .with_for_update(of=Turn)
        .execution_options(populate_existing=True)
    )
    return {turn.id: turn for turn in session.scalars(waiting)}


def _sort_out(session: Session, campaign: Campaign, turns: dict[int, Turn], now: datetime) -> int:
    for turn_id, (first, second) in _by_turn(session, campaign.id, TurnState.CONTESTED).items():
        if turn_id in turns:
            rankings.sort_out(turns[turn_id], first, second, now)
            hooks.moved(session, turns[turn_id], TurnState.CONTESTED)
    return sum(turn.state is TurnState.SETTLED for turn in turns.values())


def _cost(
    policy: Policy, seen: Sequence[Both], waiting: Sequence[Both], coming: int, audits: float, seconds: float | None
) -> Cost:
    reviewed = sum(needs_review(policy, *both) for both in seen)
    share = reviewed / len(seen) if seen else 0.0
    a_turn = sum(expected_questions(policy, *both) for both in seen) / len(seen) if seen else 0.0
    kept = [both for both in waiting if needs_review(policy, *both)]
    turns = share * coming + len(kept)
    return Cost(
        policy=policy,
        share=share,
        turns=turns,
        questions=a_turn * coming + sum(expected_questions(policy, *both) for both in kept),
        audits=audits * ((1 - share) * coming + len(waiting) - len(kept)),
        hours=None if seconds is None else turns * seconds / 3600,
        settles=len(waiting) - len(kept),
    )


def _double_rankings(
    session: Session, campaign_id: int, *, state: TurnState | None = None, limit: int | None = None
) -> list[Both]:
    return list(_by_turn(session, campaign_id, state, limit).values())


def _by_turn(
    session: Session, campaign_id: int, state: TurnState | None = None, limit: int | None = None
) -> dict[int, Both]:
    """By turn the two rankings that count; the latest turns where there is a limit."""
    two = select(Turn.id).where(Turn.campaign_id == campaign_id, Turn.places_taken == 2).order_by(Turn.id.desc())
    wanted = (two if state is None else two.where(Turn.state == state)).limit(limit).subquery()
    rows = session.execute(
        select(Assignment.turn_id, Assignment.place, Ranking.body)
        .join(Ranking, Ranking.assignment_id == Assignment.id)
        .where(Assignment.turn_id.in_(select(wanted.c.id)), Assignment.place.is_not(None), Ranking.late.is_(False))
        .order_by(Assignment.turn_id, Assignment.place, Ranking.version)
    )
    newest: dict[int, dict[int | None, dict[str, object]]] = {}
    for turn_id, place, body in rows:
        newest.setdefault(turn_id, {})[place] = body
    return {
        turn_id: (Order.from_json(both[1]), Order.from_json(both[2]))
        for turn_id, both in newest.items()
        if len(both) == 2
    }


def _seconds_a_review(session: Session, campaign_id: int) -> float | None:
    """The median time from opening a contested turn to its decision, of the latest ones by people."""
    decided = (
        select(Adjudication.created_at, Adjudication.decided_at)
        .join(Turn)
        .join(User, User.id == Adjudication.adjudicator_id)
        .where(
            Turn.campaign_id == campaign_id,
            User.simulated.is_(False),
            Adjudication.kind == ReviewKind.CONTESTED,
            Adjudication.state == ReviewState.DECIDED,
        )
        .order_by(Adjudication.id.desc())
        .limit(LATEST)
    )
    times = [(end - begin).total_seconds() for begin, end in session.execute(decided) if end is not None]
    return median(times) if times else None
