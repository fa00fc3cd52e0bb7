"""What a reward model contradicts comes to the blind audits, once, and stays out of their figures."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from annotation.people_tables import User
from annotation.ranking import Ranking
from annotation.review_tables import ReviewKind
from annotation.run_tables import Run, RunKind, RunState, Snapshot
from annotation.store import audits, imports, measured, places, policies, rankings, review_queue, reviews, second_look
from annotation.store.rankings import Submission
from annotation.tables import Campaign, SettledBy, Turn
from tests.conftest import Cast
from tests.material import dialogue, ranked
from tests.store.test_policies import ONE_APART, WARM

ORDER, OTHER = ranked("A > B > C > D", 1, 4, 9), ranked("B > A > C > D", 1, 4, 9)


def settle(session: Session, cast: Cast, campaign: Campaign, name: str, *orders: Ranking) -> Turn:
    """A turn ranked by Li and Wang."""
    imports.add(session, campaign, [dialogue(name)], source="t", actor_id=None)
    for user, order in zip((cast.li, cast.wang), orders, strict=True):
        held = places.reserve_next(session, user, campaign)
        assert held is not None
        rankings.submit(session, held, Submission(f"{user.login}-{name}", order))
    return session.get_one(Turn, held.turn_id)


@pytest.fixture
def mine(session: Session, campaign: Campaign) -> Campaign:
    """The campaign, which draws no audits by chance."""
    merged = session.merge(campaign)
    merged.audit_share = 0.0
    return merged


def measured_by(session: Session, campaign: Campaign, *names: str) -> Run:
    """A reward run whose scores contradict these dialogues."""
    snapshot = session.scalar(select(Snapshot))
    if snapshot is None:
        snapshot = Snapshot(campaign_id=campaign.id, name="s", folder="/s", sha256="0" * 64, counts={})
        session.add(snapshot)
        session.flush()
    result: dict[str, Any] = {"disagreements": [{"dialogue": name, "number": 1} for name in names]}
    run = Run(kind=RunKind.REWARD, name="r", config={}, live_key="k", snapshot_id=snapshot.id, result=result)
    run.state = RunState.SUCCEEDED
    session.add(run)
    session.flush()
    return session.get_one(Run, run.id, populate_existing=True)


def audit(session: Session, auditor: User, *order: int) -> None:
    """Audits what comes next, in an order of their own, and keeps what was agreed on."""
    review = reviews.open_next(session, auditor)
    assert review is not None
    assert review.kind is ReviewKind.AUDIT
    for response in order:
        audits.place(session, review, review.version, response, level=False)
    audits.fix(session, review, review.version)


def test_agreed_turns_come_to_the_blind_audits_once(session: Session, cast: Cast, mine: Campaign) -> None:
    agreed = settle(session, cast, mine, "d1", ORDER, ORDER)
    other = settle(session, cast, mine, "d2", ORDER, ORDER)
    run = measured_by(session, mine, "d1", "gone")
    assert second_look.waiting(session, run) == [agreed.id]
    assert second_look.hand_over(session, run.id, actor_id=cast.sun.id) == 1
    assert second_look.hand_over(session, run.id, actor_id=cast.sun.id) == 0
    session.expire_all()
    assert (agreed.audit_drawn, other.audit_drawn) == (True, False)
    assert run.result is not None
    assert run.result[second_look.KEY] == [agreed.id]
    assert review_queue.queue(session, cast.zhao).audits == 1
    again = measured_by(session, mine, "d1", "d2")
    assert second_look.waiting(session, again) == [other.id]


def test_what_a_third_expert_decides_or_the_doctors_see_differently_is_not_handed_over(
    session: Session, cast: Cast, mine: Campaign
) -> None:
    contested = settle(session, cast, mine, "d1", ORDER, OTHER)
    run = measured_by(session, mine, "d1")
    assert second_look.waiting(session, run) == []
    policies.change(session, mine, ONE_APART, audit_share=0, actor_id=None)
    unreviewed = settle(session, cast, mine, "d2", *WARM)
    assert unreviewed.settled_by is SettledBy.AGREED
    assert second_look.waiting(session, measured_by(session, mine, "d2")) == []
    assert not contested.audit_drawn


def test_the_figures_of_audits_are_those_of_chance(session: Session, cast: Cast, mine: Campaign) -> None:
    mine.audit_share = 1.0
    settle(session, cast, mine, "d1", ORDER, ORDER)
    mine.audit_share = 0.0
    settle(session, cast, mine, "d2", ORDER, ORDER)
    run = measured_by(session, mine, "d1", "d2")
    assert second_look.hand_over(session, run.id, actor_id=cast.sun.id) == 1  # the other was drawn before
    audit(session, cast.zhao, 0, 1, 2)
    audit(session, cast.zhao, 0, 1, 2)
    found = audits.figures(session, mine.id)
    assert (found.drawn, found.done) == (1, 1)
    assert len(measured.audits(session, mine.id)) == 1
