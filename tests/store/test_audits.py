"""Agreed turns that a third expert orders blind: who, what comes of it, what is counted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from annotation.abilities import Ability
from annotation.adjudication import Provenance
from annotation.blind_audit import AuditAsks, next_step
from annotation.db import utcnow
from annotation.people_tables import User
from annotation.ranking import Ranking as Order
from annotation.ranking import Relation
from annotation.refusals import Conflict, Invalid
from annotation.review_tables import Adjudication, ReviewKind, ReviewState
from annotation.store import audits, imports, people, places, rankings, review_queue, reviews
from annotation.store.rankings import Submission
from annotation.tables import Campaign, SettledBy, Turn, TurnState
from tests.conftest import Cast
from tests.material import dialogue, ranked

A, B, C, D = range(4)
AGREED = ranked("D > B > A > C", 1, 2, 3)


@pytest.fixture
def drawing(session: Session, campaign: Campaign) -> Campaign:
    """The campaign, in which every agreed turn is drawn."""
    mine = session.merge(campaign)
    mine.audit_share = 1.0
    return mine


def agree_on(session: Session, cast: Cast, campaign: Campaign, order: Order, name: str = "d1") -> Turn:
    imports.add(session, campaign, [dialogue(name)], source="t", actor_id=None)
    for user in (cast.li, cast.wang):
        held = places.reserve_next(session, user, campaign)
        assert held is not None
        rankings.submit(session, held, Submission(f"{user.login}-{name}", order))
    return session.get_one(Turn, held.turn_id)


def open_audit(session: Session, user: User) -> Adjudication:
    review = reviews.open_next(session, user)
    assert review is not None
    assert review.kind is ReviewKind.AUDIT
    return review


def order_blind(session: Session, review: Adjudication, *responses: int) -> None:
    for response in responses:
        audits.place(session, review, review.version, response, level=False)
    audits.fix(session, review, review.version)


def test_agreed_turns_are_drawn_with_the_campaigns_share(session: Session, cast: Cast, drawing: Campaign) -> None:
    assert agree_on(session, cast, drawing, AGREED).audit_drawn
    drawing.audit_share = 0.0
    session.flush()
    assert not agree_on(session, cast, drawing, AGREED, "d2").audit_drawn


def test_a_drawn_turn_counts_as_agreed_until_the_audit_is_done(session: Session, cast: Cast, drawing: Campaign) -> None:
    turn = agree_on(session, cast, drawing, AGREED)
    open_audit(session, cast.zhao)
    assert (turn.state, turn.settled_by) == (TurnState.SETTLED, SettledBy.AGREED)


def test_whoever_ranked_it_does_not_audit_it(session: Session, cast: Cast, drawing: Campaign) -> None:
    agree_on(session, cast, drawing, AGREED)
    li = people.get(session, cast.li.id)
    li.may_adjudicate = True
    assert review_queue.queue(session, li).waiting == 0
    assert reviews.open_next(session, li) is None


def test_the_same_order_confirms_and_nothing_further_is_asked(session: Session, cast: Cast, drawing: Campaign) -> None:
    turn = agree_on(session, cast, drawing, AGREED)
    review = open_audit(session, cast.zhao)
    order_blind(session, review, D, B, A)
    assert review.state is ReviewState.DECIDED
    assert review.result is not None
    pairs = [reviews.pair_from_json(pair) for pair in review.result["pairs"]]
    assert {pair.provenance for pair in pairs} == {Provenance.AUDITED}
    assert turn.settled_by is SettledBy.AGREED
    found = audits.figures(session, drawing.id)
    assert (found.drawn, found.done, found.differed, found.wrong, found.pairs, found.pairs_differed) == (
        1,
        1,
        0,
        0,
        6,
        0,
    )
    with pytest.raises(Conflict):
        audits.take_back(session, review, review.version)


def test_another_order_may_leave_the_agreed_one_standing(session: Session, cast: Cast, drawing: Campaign) -> None:
    agree_on(session, cast, drawing, AGREED)
    review = open_audit(session, cast.zhao)
    order_blind(session, review, D, A, B)
    audits.judge(session, review, review.version, overturns=False, reason="")
    assert review.result is not None
    settled = {p.pair: p.relation for p in map(reviews.pair_from_json, review.result["pairs"])}
    assert settled[A, B] is Relation.WORSE
    found = audits.figures(session, drawing.id)
    assert (found.differed, found.wrong, found.pairs_differed) == (1, 0, 1)


def test_overturning_needs_a_reason_and_what_decides(session: Session, cast: Cast, drawing: Campaign) -> None:
    turn = agree_on(session, cast, drawing, AGREED)
    review = open_audit(session, cast.zhao)
    order_blind(session, review, D, A, B)
    with pytest.raises(Invalid):
        audits.judge(session, review, review.version, overturns=True, reason=" ")
    audits.judge(session, review, review.version, overturns=True, reason="B 的剂量错")
    for ability in (1, 4, 9):
        assert review.state is ReviewState.OPEN
        audits.name_ability(session, review, review.version, Ability(ability))
    assert review.result is not None
    settled = {p.pair: (p.relation, p.ability) for p in map(reviews.pair_from_json, review.result["pairs"])}
    assert settled[A, B] == (Relation.BETTER, Ability.COMPREHENSION)
    assert settled[A, C] == (Relation.BETTER, Ability.COMPREHENSION)
    assert settled[B, C] == (Relation.BETTER, Ability.WARM_TONE)
    assert (turn.settled_by, audits.figures(session, drawing.id).wrong) == (SettledBy.AGREED, 1)


def test_a_verdict_can_be_taken_back_but_not_what_was_said_blind(
    session: Session, cast: Cast, drawing: Campaign
) -> None:
    agree_on(session, cast, drawing, AGREED)
    review = open_audit(session, cast.zhao)
    order_blind(session, review, D, A, B)
    audits.judge(session, review, review.version, overturns=False, reason="")
    audits.take_back(session, review, review.version)
    assert review.state is ReviewState.OPEN
    said = audits.opinion_of(review)
    assert next_step(audits.case_of(session, review), said) is AuditAsks.VERDICT
    with pytest.raises(Invalid):
        audits.place(session, review, review.version, C, level=False)
    audits.take_back(session, review, review.version)
    assert audits.opinion_of(review) == said


def test_none_acceptable_ends_in_a_rewrite(session: Session, cast: Cast, drawing: Campaign) -> None:
    turn = agree_on(session, cast, drawing, AGREED)
    review = open_audit(session, cast.zhao)
    audits.none_acceptable(session, review, review.version)
    audits.fix(session, review, review.version)
    audits.judge(session, review, review.version, overturns=True, reason="都给错了剂量")
    audits.rewrite(session, review, review.version, "很抱歉，我不知道。")
    assert turn.settled_by is SettledBy.REWRITTEN
    audits.take_back(session, review, review.version)
    assert turn.settled_by is SettledBy.AGREED


def test_each_audit_goes_to_one_auditor(session: Session, cast: Cast, drawing: Campaign) -> None:
    agree_on(session, cast, drawing, AGREED)
    open_audit(session, cast.zhao)
    other = people.add(session, "qian", "钱伟", cast.zhao.role, simulated=True)
    assert reviews.open_next(session, other) is None
    assert reviews.open_next(session, other, utcnow() + timedelta(hours=2)) is not None


def test_a_done_audit_does_not_come_again(session: Session, cast: Cast, drawing: Campaign) -> None:
    agree_on(session, cast, drawing, AGREED)
    order_blind(session, open_audit(session, cast.zhao), D, B, A)
    assert review_queue.queue(session, cast.zhao).waiting == 0
    assert reviews.open_next(session, cast.zhao) is None


def test_contested_turns_and_audits_come_mixed(session: Session, cast: Cast, drawing: Campaign) -> None:
    agree_on(session, cast, drawing, AGREED)
    imports.add(session, drawing, [dialogue("d2")], source="t", actor_id=None)
    for user, order in ((cast.li, "A > B > C > D"), (cast.wang, "B > A > C > D")):
        held = places.reserve_next(session, user, drawing)
        assert held is not None
        rankings.submit(session, held, Submission(f"{user.login}-x", ranked(order)))
    found = review_queue.queue(session, cast.zhao)
    assert (found.contested, found.audits) == (1, 1)
    experts = [people.add(session, f"e{i}", f"专家{i}", cast.zhao.role, simulated=True) for i in range(2)]
    kinds = {review.kind for expert in experts if (review := reviews.open_next(session, expert)) is not None}
    assert kinds == {ReviewKind.CONTESTED, ReviewKind.AUDIT}
