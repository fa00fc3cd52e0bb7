"""The third expert: who may decide, what is asked, how it ends, and what cannot happen."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from annotation.abilities import Ability
from annotation.adjudication import Answer, Asks, CannotFollowError, next_step
from annotation.db import Database, utcnow
from annotation.people_tables import Role, User
from annotation.ranking import Ranking as Order
from annotation.ranking import Relation
from annotation.refusals import Conflict, Invalid, Missing
from annotation.review_tables import Adjudication, ReviewState, Rewrite
from annotation.store import imports, people, places, rankings, review_queue, reviews
from annotation.store.rankings import Submission
from annotation.tables import Assignment, Campaign, SettledBy, Turn, TurnState
from tests.conftest import Cast
from tests.material import dialogue, ranked


def contest(
    session: Session, cast: Cast, campaign: Campaign, first: Order, second: Order, identity: str = "d1"
) -> Turn:
    """A turn that Li and Wang have ranked."""
    imports.add(session, campaign, [dialogue(identity)], source="test", actor_id=None)
    for user, ranking in ((cast.li, first), (cast.wang, second)):
        held = places.reserve_next(session, user, campaign)
        assert held is not None
        rankings.submit(session, held, Submission(f"{user.login}-{identity}", ranking))
    return session.get_one(Turn, held.turn_id)


def open_review(session: Session, user: User) -> Adjudication:
    review = reviews.open_next(session, user)
    assert review is not None
    return review


FIRST, SECOND = ranked("D > B > A > C", 1, 2, 3), ranked("D > A > B > C", 1, 9, 3)


@pytest.fixture
def contested(session: Session, cast: Cast, campaign: Campaign) -> Turn:
    return contest(session, cast, campaign, FIRST, SECOND)


def test_the_adjudicator_answers_the_contested_pair_and_the_turn_is_settled(
    session: Session, cast: Cast, contested: Turn
) -> None:
    review = open_review(session, cast.zhao)
    assert contested.state is TurnState.IN_REVIEW
    question = next_step(reviews.case_of(session, review), reviews.decisions_of(review))
    assert (question.asks, question.pair) == (Asks.PAIR, (0, 1))
    reviews.answer_pair(session, review, review.version, Answer((0, 1), Relation.WORSE))
    reviews.decide(session, review, review.version)
    assert (contested.state, contested.settled_by) == (TurnState.SETTLED, SettledBy.ADJUDICATED)
    assert review.result is not None
    settled = {p.pair: (p.relation, p.ability) for p in map(reviews.pair_from_json, review.result["pairs"])}
    assert settled[0, 1] == (Relation.WORSE, Ability.SAFETY)
    assert settled[0, 3] == (Relation.WORSE, Ability.ACCURACY)
    assert len(settled) == 6


def test_whoever_ranked_a_turn_never_reviews_it(session: Session, cast: Cast, contested: Turn) -> None:
    li = people.get(session, cast.li.id)
    li.may_adjudicate = True
    assert review_queue.queue(session, li).waiting == 0
    assert reviews.open_next(session, li) is None


def test_an_annotator_with_the_right_reviews_the_turns_of_others(session: Session, cast: Cast, contested: Turn) -> None:
    chen = people.get(session, cast.chen.id)
    chen.may_adjudicate = True
    assert open_review(session, chen).turn_id == contested.id


def test_an_annotator_without_the_right_has_no_queue(session: Session, cast: Cast, contested: Turn) -> None:
    with pytest.raises(Missing):
        reviews.open_next(session, cast.chen)


@pytest.mark.parametrize("side", ["first", "second"])
def test_the_database_refuses_an_adjudicator_who_is_one_of_the_two(
    session: Session, cast: Cast, contested: Turn, side: str
) -> None:
    mine = places.holders(session, contested.id)[0 if side == "first" else 1]
    row = {"turn_id": contested.id, "adjudicator_id": mine.user_id, "state": ReviewState.OPEN, "version": 0}
    row |= {f"{side}_assignment_id": mine.id, f"{side}_annotator_id": mine.user_id}
    more = {"leased_until": utcnow(), "response_order": [0, 1, 2, 3], "decisions": {}, "created_at": utcnow()}
    with pytest.raises(IntegrityError), session.begin_nested():
        session.execute(insert(Adjudication).values(**row, **more))


def test_the_database_refuses_an_assignment_under_somebody_elses_name(
    session: Session, cast: Cast, contested: Turn
) -> None:
    lis, _ = places.holders(session, contested.id)
    row = {"turn_id": contested.id, "adjudicator_id": lis.user_id, "state": ReviewState.OPEN, "version": 0}
    row |= {"first_assignment_id": lis.id, "first_annotator_id": cast.chen.id}
    more = {"leased_until": utcnow(), "response_order": [0, 1, 2, 3], "decisions": {}, "created_at": utcnow()}
    with pytest.raises(IntegrityError), session.begin_nested():
        session.execute(insert(Adjudication).values(**row, **more))


def test_a_correction_is_refused_once_the_review_is_open(session: Session, cast: Cast, contested: Turn) -> None:
    open_review(session, cast.zhao)
    mine = session.scalars(select(Assignment).where(Assignment.user_id == cast.li.id)).one()
    with pytest.raises(Conflict) as refused:
        rankings.submit(session, mine, Submission("again", SECOND))
    assert refused.value.message == rankings.CLOSED


def test_an_answer_from_a_window_that_is_behind_is_refused(session: Session, cast: Cast, contested: Turn) -> None:
    review = open_review(session, cast.zhao)
    behind = review.version
    reviews.answer_pair(session, review, behind, Answer((0, 1), Relation.WORSE))
    with pytest.raises(Conflict):
        reviews.answer_pair(session, review, behind, Answer((0, 1), Relation.BETTER))
    assert reviews.decisions_of(review).answers == (Answer((0, 1), Relation.WORSE),)


def test_an_answer_that_contradicts_an_earlier_one_is_refused(session: Session, cast: Cast, campaign: Campaign) -> None:
    contest(session, cast, campaign, ranked("A > B > C > D"), ranked("D > C > B > A"))
    review = open_review(session, cast.zhao)
    for pair in ((0, 1), (1, 2)):
        reviews.answer_pair(session, review, review.version, Answer(pair, Relation.BETTER))
    with pytest.raises(CannotFollowError):
        reviews.answer_pair(session, review, review.version, Answer((0, 2), Relation.WORSE))


def test_an_agreed_pair_is_locked_until_a_reason_unlocks_it(session: Session, cast: Cast, contested: Turn) -> None:
    review = open_review(session, cast.zhao)
    against = Answer((0, 3), Relation.BETTER, Ability.ACCURACY)
    with pytest.raises(Invalid):
        reviews.answer_pair(session, review, review.version, against)
    with pytest.raises(Invalid):
        reviews.unlock(session, review, review.version, "  ")
    reviews.unlock(session, review, review.version, "D 的剂量写错了")
    reviews.answer_pair(session, review, review.version, against)
    assert reviews.decisions_of(review).answers == (against,)


def test_answers_are_taken_back_one_by_one(session: Session, cast: Cast, contested: Turn) -> None:
    review = open_review(session, cast.zhao)
    reviews.answer_pair(session, review, review.version, Answer((0, 1), Relation.TIE))
    reviews.take_back(session, review, review.version)
    assert reviews.decisions_of(review).answers == ()


def test_deciding_with_a_question_open_is_refused(session: Session, cast: Cast, contested: Turn) -> None:
    review = open_review(session, cast.zhao)
    with pytest.raises(Invalid):
        reviews.decide(session, review, review.version)
    assert contested.state is TurnState.IN_REVIEW


def test_none_acceptable_by_both_is_rewritten(session: Session, cast: Cast, campaign: Campaign) -> None:
    none = ranked("", none_acceptable=True)
    turn = contest(session, cast, campaign, none, none)
    review = open_review(session, cast.zhao)
    with pytest.raises(Invalid):
        reviews.answer_rewrite(session, review, review.version, " ")
    reviews.answer_rewrite(session, review, review.version, "很抱歉，我不知道，请到医院面诊。")
    reviews.decide(session, review, review.version)
    assert turn.settled_by is SettledBy.REWRITTEN
    assert session.scalars(select(Rewrite.text)).all() == ["很抱歉，我不知道，请到医院面诊。"]


def test_a_decision_can_be_taken_back_until_the_next_turn_is_opened(
    session: Session, cast: Cast, campaign: Campaign
) -> None:
    turn = contest(session, cast, campaign, FIRST, SECOND)
    contest(session, cast, campaign, FIRST, SECOND, "d2")
    review = open_review(session, cast.zhao)
    reviews.answer_pair(session, review, review.version, Answer((0, 1), Relation.TIE))
    reviews.decide(session, review, review.version)
    reviews.reopen(session, review, review.version)
    assert turn.state is TurnState.IN_REVIEW
    reviews.decide(session, review, review.version)
    open_review(session, cast.zhao)
    with pytest.raises(Conflict):
        reviews.reopen(session, review, review.version)
    assert turn.state is TurnState.SETTLED


def test_a_decision_is_not_taken_back_while_another_window_opens_the_next_turn(
    database: Database, cast: Cast, campaign: Campaign
) -> None:
    with database.writing() as session:
        for name in ("d1", "d2"):
            contest(session, cast, campaign, FIRST, SECOND, name)
        review = open_review(session, cast.zhao)
        reviews.answer_pair(session, review, review.version, Answer((0, 1), Relation.TIE))
        reviews.decide(session, review, review.version)

    def take_back() -> None:
        with database.writing() as session:
            mine = session.get_one(Adjudication, review.id)
            reviews.reopen(session, mine, mine.version)

    with ThreadPoolExecutor(1) as thread:
        with database.writing() as session:
            open_review(session, cast.zhao)
            taken = thread.submit(take_back)
            with pytest.raises(TimeoutError):  # it waits
                taken.result(0.5)
        with pytest.raises(Conflict, match="You have opened the next turn"):
            taken.result(20)


def test_the_most_important_ability_comes_first(session: Session, cast: Cast, campaign: Campaign) -> None:
    contest(session, cast, campaign, ranked("A > B > C > D", 9, 9, 9), ranked("B > A > C > D", 9, 9, 9), "warm")
    safety = contest(
        session, cast, campaign, ranked("A > B > C > D", 2, 9, 9), ranked("B > A > C > D", 5, 9, 9), "safe"
    )
    assert review_queue.queue(session, cast.zhao).waiting == 2
    assert open_review(session, cast.zhao).turn_id == safety.id


def test_a_review_that_nobody_works_on_goes_back_to_the_queue(session: Session, cast: Cast, contested: Turn) -> None:
    review = open_review(session, cast.zhao)
    other = people.add(session, "qian", "钱伟", Role.ADJUDICATOR, simulated=True)
    assert reviews.open_next(session, other) is None
    taken = reviews.open_next(session, other, utcnow() + timedelta(hours=2))
    assert taken is not None
    assert taken.turn_id == contested.id
    with pytest.raises(Conflict):
        reviews.answer_pair(session, review, review.version, Answer((0, 1), Relation.TIE))


def test_of_two_adjudicators_who_open_at_the_same_moment_each_gets_a_turn_of_their_own(
    database: Database, cast: Cast, campaign: Campaign
) -> None:
    with database.writing() as session:
        experts = [people.add(session, f"expert{i}", f"专家{i}", Role.ADJUDICATOR, simulated=True) for i in range(4)]
        for number in range(4):
            contest(session, cast, campaign, FIRST, SECOND, f"d{number}")
    together = Barrier(len(experts))

    def open_one(user: User) -> int:
        together.wait()
        with database.writing() as session:
            return open_review(session, user).turn_id

    with ThreadPoolExecutor(len(experts)) as threads:
        opened = list(threads.map(open_one, experts))
    assert len(set(opened)) == 4


def test_a_lease_that_was_just_renewed_is_not_released(session: Session, cast: Cast, contested: Turn) -> None:
    review = open_review(session, cast.zhao)
    later = utcnow() + timedelta(minutes=90)
    assert reviews.renew(session, review, later - timedelta(minutes=1))
    reviews.release_expired(session, later)
    session.refresh(review)
    assert (review.state, contested.state) == (ReviewState.OPEN, TurnState.IN_REVIEW)


def test_a_lease_renewed_by_another_transaction_wins_over_a_release_that_saw_it_expired(
    database: Database, cast: Cast, campaign: Campaign
) -> None:
    with database.writing() as session:
        contest(session, cast, campaign, FIRST, SECOND)
        review = open_review(session, cast.zhao)
        review.leased_until = utcnow() - timedelta(minutes=1)
    with database.writing() as session:
        seen = session.get_one(Adjudication, review.id)
        run_out = Adjudication.leased_until < utcnow()
        assert reviews.renew(session, seen)
        assert not reviews.change(session, seen, ReviewState.OPEN, run_out, state=ReviewState.RELEASED)


def test_releasing_waits_for_nobody_and_leaves_the_turn_that_somebody_works_on(
    database: Database, cast: Cast, campaign: Campaign
) -> None:
    later = utcnow() + timedelta(hours=2)
    with database.writing() as session:
        turns = [contest(session, cast, campaign, FIRST, SECOND, name).id for name in ("d1", "d2")]
        for number in range(2):
            open_review(session, people.add(session, f"expert{number}", "专家", Role.ADJUDICATOR, simulated=True))
    if database.is_sqlite:  # where one writes at a time, nobody can be at work on anything
        with database.writing() as session:
            reviews.release_expired(session, later)
            states = {turn: session.get_one(Turn, turn).state for turn in turns}
        assert set(states.values()) == {TurnState.CONTESTED}
        return
    with database.writing() as at_work, database.writing() as session:
        places.lock_turn(at_work, turns[0])
        session.execute(text("SET LOCAL lock_timeout = '2s'"))
        reviews.release_expired(session, later)
        session.flush()
        states = {turn: session.get_one(Turn, turn).state for turn in turns}
    assert states == {turns[0]: TurnState.IN_REVIEW, turns[1]: TurnState.CONTESTED}


def test_a_turn_that_is_handed_back_goes_to_somebody_else_first(
    session: Session, cast: Cast, campaign: Campaign
) -> None:
    turn = contest(session, cast, campaign, FIRST, SECOND)
    other_turn = contest(session, cast, campaign, FIRST, SECOND, "d2")
    review = open_review(session, cast.zhao)
    assert review.turn_id == turn.id
    reviews.hand_back(session, review, review.version)
    assert turn.state is TurnState.CONTESTED
    with pytest.raises(Conflict):
        reviews.answer_pair(session, review, review.version, Answer((0, 1), Relation.TIE))
    assert open_review(session, cast.zhao).turn_id == other_turn.id
    other = people.add(session, "qian", "钱伟", Role.ADJUDICATOR, simulated=True)
    assert open_review(session, other).turn_id == turn.id


def test_whoever_is_alone_gets_a_turn_again_that_they_handed_back(
    session: Session, cast: Cast, contested: Turn
) -> None:
    review = open_review(session, cast.zhao)
    reviews.hand_back(session, review, review.version)
    assert open_review(session, cast.zhao).turn_id == contested.id


def test_a_decision_stands_after_an_hour(session: Session, cast: Cast, contested: Turn) -> None:
    review = open_review(session, cast.zhao)
    reviews.answer_pair(session, review, review.version, Answer((0, 1), Relation.TIE))
    reviews.decide(session, review, review.version, utcnow() - timedelta(minutes=61))
    with pytest.raises(Conflict):
        reviews.reopen(session, review, review.version)
