"""A review policy: what it sends to a third expert, what changing it settles, what it would cost."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, select, update
from sqlalchemy.orm import Session

from annotation import snapshot
from annotation.adjudication import Answer
from annotation.db import Database
from annotation.outside_tables import Delivery, Event
from annotation.ranking import Ranking as Order
from annotation.ranking import Relation
from annotation.review_policy import Policy, ReviewPolicy
from annotation.store import hooks, imports, places, policies, rankings, reviews, snapshots
from annotation.store.rankings import Submission
from annotation.tables import AuditEvent, Campaign, SettledBy, Turn, TurnState
from tests.conftest import Cast
from tests.material import dialogue, ranked

SAFETY = Policy(ReviewPolicy.SAFETY_DECIDES)
ONE_APART = Policy(ReviewPolicy.BEYOND_DISTANCE, 1)
WARM = ranked("A > B > C > D", 9, 9, 9), ranked("B > A > C > D", 9, 9, 9)
ACCURATE = ranked("A > B > C > D", 1, 9, 9), ranked("B > A > C > D", 9, 9, 9)


@pytest.fixture
def mine(session: Session, campaign: Campaign) -> Campaign:
    """The campaign, to be changed."""
    return session.merge(campaign)


def contest(session: Session, cast: Cast, campaign: Campaign, both: tuple[Order, Order], name: str) -> Turn:
    imports.add(session, campaign, [dialogue(name)], source="t", actor_id=None)
    for user, order in zip((cast.li, cast.wang), both, strict=True):
        held = places.reserve_next(session, user, campaign)
        assert held is not None
        rankings.submit(session, held, Submission(f"{user.login}-{name}", order))
    return session.get_one(Turn, held.turn_id)


def test_under_a_policy_a_turn_with_nothing_to_ask_settles_at_once(
    session: Session, cast: Cast, mine: Campaign
) -> None:
    policies.change(session, mine, SAFETY, audit_share=0, actor_id=None)
    small = contest(session, cast, mine, WARM, "warm")
    assert (small.state, small.settled_by) == (TurnState.SETTLED, SettledBy.AGREED)
    assert contest(session, cast, mine, ACCURATE, "accurate").state is TurnState.CONTESTED


def test_different_outcomes_are_reviewed_whatever_the_policy(session: Session, cast: Cast, mine: Campaign) -> None:
    policies.change(session, mine, Policy(ReviewPolicy.BEYOND_DISTANCE, 10), audit_share=0, actor_id=None)
    none = ranked("A > B > C > D", 9, 9, 9, none_acceptable=True)
    assert contest(session, cast, mine, (WARM[0], none), "d1").state is TurnState.CONTESTED
    assert contest(session, cast, mine, (none, none), "d2").state is TurnState.CONTESTED


def test_a_change_settles_what_waits_and_leaves_what_is_in_review(session: Session, cast: Cast, mine: Campaign) -> None:
    first = contest(session, cast, mine, WARM, "d1")
    second = contest(session, cast, mine, WARM, "d2")
    review = reviews.open_next(session, cast.zhao)
    assert review is not None
    [cost] = policies.project(session, mine, [ONE_APART]).costs
    settled = policies.change(session, mine, ONE_APART, audit_share=0, actor_id=cast.sun.id)
    assert settled == cost.settles == 1
    states = {turn.id: turn.state for turn in (first, second)}
    assert states.pop(review.turn_id) is TurnState.IN_REVIEW
    assert list(states.values()) == [TurnState.SETTLED]
    reviews.answer_pair(session, review, review.version, Answer((0, 1), Relation.BETTER))
    reviews.decide(session, review, review.version)
    told = session.scalars(select(AuditEvent).where(AuditEvent.action == "review policy changed")).one()
    assert (told.actor_id, told.detail["settled"]) == (cast.sun.id, 1)


def test_what_was_settled_stays_when_the_policy_becomes_stricter(session: Session, cast: Cast, mine: Campaign) -> None:
    policies.change(session, mine, ONE_APART, audit_share=0, actor_id=None)
    turn = contest(session, cast, mine, WARM, "d1")
    policies.change(session, mine, Policy(), audit_share=0, actor_id=None)
    assert turn.state is TurnState.SETTLED


def test_the_cost_is_projected_from_double_rankings_and_scaled_to_what_is_left(
    session: Session, cast: Cast, mine: Campaign
) -> None:
    contest(session, cast, mine, WARM, "d1")
    contest(session, cast, mine, ACCURATE, "d2")
    for number in (3, 4):
        contest(session, cast, mine, (WARM[0], WARM[0]), f"d{number}")
    imports.add(session, mine, [dialogue(f"left{i}") for i in range(8)], source="t", actor_id=None)
    told = policies.project(session, mine, [Policy(), SAFETY, ONE_APART], audit_share=0.5)
    assert (told.seen, told.coming, told.waiting, told.seconds_a_turn) == (4, 8, 2, None)
    any_difference, safety, distance = told.costs
    # half of the 8 to come and the 2 that wait, a question each; half of the agreed half is audited
    assert (any_difference.turns, any_difference.questions, any_difference.audits) == (6, 6, 2)
    # a quarter of the 8 and 1 of the 2; what the policy leaves unreviewed is not agreed, so it is not audited
    assert (safety.turns, safety.questions, safety.audits, safety.settles) == (3, 3, 2, 1)
    assert (distance.turns, distance.questions, distance.audits, distance.settles) == (0, 0, 2, 2)


def test_hours_follow_from_how_long_a_review_takes(session: Session, cast: Cast, mine: Campaign) -> None:
    contest(session, cast, mine, WARM, "d1")
    review = reviews.open_next(session, cast.zhao)
    assert review is not None
    reviews.answer_pair(session, review, review.version, Answer((0, 1), Relation.BETTER))
    reviews.decide(session, review, review.version, review.created_at + timedelta(minutes=2))
    imports.add(session, mine, [dialogue(f"left{i}") for i in range(30)], source="t", actor_id=None)
    [cost] = policies.project(session, mine, [Policy()]).costs
    assert cost.hours == pytest.approx(30 * 2 / 60)


def test_how_long_a_simulated_adjudicator_takes_tells_nothing(session: Session, cast: Cast, mine: Campaign) -> None:
    session.merge(cast.zhao).simulated = True
    session.flush()
    contest(session, cast, mine, WARM, "d1")
    review = reviews.open_next(session, cast.zhao)
    assert review is not None
    reviews.answer_pair(session, review, review.version, Answer((0, 1), Relation.BETTER))
    reviews.decide(session, review, review.version, review.created_at + timedelta(seconds=2))
    assert policies.project(session, mine, [Policy()]).seconds_a_turn is None


def test_only_what_both_agree_on_is_drawn_for_an_audit(session: Session, cast: Cast, mine: Campaign) -> None:
    policies.change(session, mine, ONE_APART, audit_share=1, actor_id=None)
    unreviewed = contest(session, cast, mine, WARM, "d1")
    agreed = contest(session, cast, mine, (WARM[0], WARM[0]), "d2")
    assert [(turn.settled_by, turn.audit_drawn) for turn in (unreviewed, agreed)] == [
        (SettledBy.AGREED, False),
        (SettledBy.AGREED, True),
    ]


def test_a_stricter_policy_moves_what_waits_to_its_place_in_the_queue(
    session: Session, cast: Cast, mine: Campaign
) -> None:
    # A and B differ by accuracy against warm tone, C and D by clarity on both sides
    both = ranked("A > B > C > D", 1, 9, 5), ranked("B > A > D > C", 9, 9, 5)
    turns = [contest(session, cast, mine, both, "d1"), contest(session, cast, mine, WARM, "d2")]
    assert [turn.contested_ability for turn in turns] == [1, 9]
    session.execute(update(Turn).values(contested_ability=7))
    assert policies.change(session, mine, Policy(), audit_share=0, actor_id=None) == 0
    assert [turn.contested_ability for turn in turns] == [1, 9]
    assert {turn.state for turn in turns} == {TurnState.CONTESTED}


def test_a_turn_that_nobody_could_judge_waits_on_whatever_the_policy(
    session: Session, cast: Cast, mine: Campaign
) -> None:
    imports.add(session, mine, [dialogue()], source="t", actor_id=None)
    turn = session.scalars(select(Turn)).one()
    turn.state = TurnState.CONTESTED
    session.flush()
    assert policies.change(session, mine, Policy(ReviewPolicy.BEYOND_DISTANCE, 10), audit_share=0, actor_id=None) == 0
    assert (turn.state, turn.contested_ability) == (TurnState.CONTESTED, None)


def test_hooks_are_told_of_every_turn_that_a_change_settles_and_once_of_the_end(
    session: Session, cast: Cast, mine: Campaign
) -> None:
    for name in ("d1", "d2"):
        contest(session, cast, mine, WARM, name)
    hooks.create(session, "https://a.example/", [Event.TURN_SETTLED, Event.CAMPAIGN_FINISHED], actor_id=None)
    assert policies.change(session, mine, ONE_APART, audit_share=0, actor_id=None) == 2
    told = session.scalars(select(Delivery).order_by(Delivery.id)).all()
    assert [each.event for each in told] == ["turn.settled", "turn.settled", "campaign.finished"]
    assert {each.payload.get("settled_by") for each in told[:2]} == {"agreed"}


def test_a_change_asks_the_database_no_more_for_many_turns_than_for_few(
    session: Session, cast: Cast, mine: Campaign
) -> None:
    asked: list[str] = []
    event.listen(session.get_bind(), "before_cursor_execute", lambda _c, _u, statement, *_: asked.append(statement))
    counts = []
    for number in (1, 6):
        for i in range(number):
            contest(session, cast, mine, WARM, f"{number}-{i}")
        asked.clear()
        assert policies.change(session, mine, ONE_APART, audit_share=0, actor_id=None) == number
        counts.append(len(asked))
        policies.change(session, mine, Policy(), audit_share=0, actor_id=None)
    assert counts[0] == counts[1]


def test_a_snapshot_says_which_pairs_are_unreviewed_and_has_no_whole_order(
    database: Database, cast: Cast, campaign: Campaign, tmp_path: Path
) -> None:
    with database.writing() as session:
        mine = session.merge(campaign)
        policies.change(session, mine, ONE_APART, audit_share=0, actor_id=None)
        contest(session, cast, mine, WARM, "d1")
    frozen = snapshots.freeze(database, campaign.id, tmp_path, actor_id=None)
    with database.reading() as session:
        folder = Path(snapshots.get(session, frozen).folder)
    [row] = snapshot.read_rows(folder / snapshot.TURNS)
    assert (row["order"], row["settled_by"]) == (None, "agreed")
    assert [pair for pair in row["pairs"] if pair["provenance"] == "unreviewed"] == [
        {"unreviewed": [0, 1], "ability": None, "provenance": "unreviewed"}
    ]
    assert sum("better" in pair for pair in row["pairs"]) == 5
