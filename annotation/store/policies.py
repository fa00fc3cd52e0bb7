"""The review policy of a campaign: what it would cost, and what changing it settles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

import numpy as np
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from annotation.columns import Doubles
from annotation.db import utcnow
from annotation.people_tables import User
from annotation.policy_columns import expected_questions, most_important_ability, needs_review, wholly_agreed
from annotation.review_policy import Policy
from annotation.review_tables import Adjudication, ReviewKind, ReviewState
from annotation.store import audit, columns, hooks
from annotation.store.changes import Stamp
from annotation.tables import Campaign, SettledBy, Turn, TurnState

LATEST = 1000
"""From so many of the latest turns with two rankings a cost is projected; so many reviews tell how long one takes."""

COMING = (TurnState.NEEDS_RESPONSES, TurnState.OPEN, TurnState.ONE_RANKING)

AT_ONCE = 5000
"""So many turns are named in a statement; databases take some 30,000."""


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
    session: Session,
    campaign: Campaign,
    policies: Iterable[Policy],
    *,
    audit_share: float | None = None,
    stamp: Stamp | None = None,
) -> Projection:
    """What each of these policies would cost from now on, by the campaign's own double rankings.

    ``stamp`` is that of the campaign now, where it is known.
    """
    found = columns.columns(session, campaign, stamp)
    turn_ids = found.turns.id[found.doubles.turn]  # in their order
    seen = found.doubles.of(np.arange(len(turn_ids))[-LATEST:])
    contested = select(Turn.id).where(Turn.campaign_id == campaign.id, Turn.state == TurnState.CONTESTED)
    waits = np.isin(turn_ids, np.array(session.scalars(contested).all(), dtype=np.int64))
    waiting = found.doubles.of(np.flatnonzero(waits))
    coming = sum(found.stamp.states.get(state, 0) for state in COMING)
    seconds = _seconds_a_review(session, campaign.id)
    share = campaign.audit_share if audit_share is None else audit_share
    costs = [_cost(policy, seen, waiting, coming, share, seconds) for policy in policies]
    return Projection(costs, len(seen.rows), coming, len(waiting.rows), seconds)


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
    waiting = _lock_waiting(session, campaign.id)  # turns before their campaign, as where a turn is settled
    campaign.review_policy, campaign.review_distance = policy.kind, policy.distance
    campaign.audit_share = audit_share
    session.flush()
    settled = _sort_out(session, campaign, policy, waiting, now or utcnow())
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


def _lock_waiting(session: Session, campaign_id: int) -> dict[int, int | None]:
    """The contested turns that nobody reviews, locked, with the ability that each stands by in the queue."""
    waiting = (
        select(Turn.id, Turn.contested_ability)
        .where(Turn.campaign_id == campaign_id, Turn.state == TurnState.CONTESTED)
        .order_by(Turn.id)
        .with_for_update(of=Turn)
    )
    return {row.id: row.contested_ability for row in session.execute(waiting)}


def _sort_out(
    session: Session, campaign: Campaign, policy: Policy, waiting: Mapping[int, int | None], now: datetime
) -> int:
    """``rankings.sort_out`` for all that waits. Two rankings that are the same do not wait: none is drawn for an audit.

    A statement takes many turns, and no text is read: others can hardly write while this goes on.
    """
    doubles = columns.waiting(session, campaign)
    turn_ids = doubles.turns.id[doubles.turn]
    locked = np.isin(turn_ids, list(waiting))
    kept = needs_review(policy, doubles)
    settled = turn_ids[locked & ~kept].tolist()
    agreed = {"state": TurnState.SETTLED, "settled_by": SettledBy.AGREED, "settled_at": now, "contested_ability": None}
    _update(session, settled, agreed)
    by_ability: dict[int | None, list[int]] = {}
    for turn_id, ability in zip(
        turn_ids[locked & kept].tolist(), _abilities(policy, doubles.of(np.flatnonzero(locked & kept))), strict=True
    ):
        if ability != waiting[turn_id]:
            by_ability.setdefault(ability, []).append(turn_id)
    for ability, turns in by_ability.items():
        _update(session, turns, {"contested_ability": ability})
    hooks.settled_together(session, campaign.id, settled, SettledBy.AGREED)
    return len(settled)


def _abilities(policy: Policy, doubles: Doubles) -> list[int | None]:
    return [int(each) or None for each in most_important_ability(policy, doubles)]


def _update(session: Session, turn_ids: Sequence[int], values: dict[str, Any]) -> None:
    for start in range(0, len(turn_ids), AT_ONCE):
        some = turn_ids[start : start + AT_ONCE]
        session.execute(update(Turn).where(Turn.id.in_(some)).values(values))


def _cost(policy: Policy, seen: Doubles, waiting: Doubles, coming: int, audits: float, seconds: float | None) -> Cost:
    kept = waiting.of(np.flatnonzero(needs_review(policy, waiting)))
    share, a_turn, alike = (
        float(each.mean()) if len(each) else 0.0
        for each in (needs_review(policy, seen), expected_questions(policy, seen), wholly_agreed(seen))
    )
    turns = share * coming + len(kept.rows)
    return Cost(
        policy=policy,
        share=share,
        turns=turns,
        questions=a_turn * coming + float(expected_questions(policy, kept).sum()),
        audits=audits * alike * coming,
        hours=None if seconds is None else turns * seconds / 3600,
        settles=len(waiting.rows) - len(kept.rows),
    )


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
