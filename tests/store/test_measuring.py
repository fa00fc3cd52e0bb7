"""Repeats, gold turns and calibration measure people: they settle nothing and look like any other turn."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from annotation.agreement import Statistic, agreement
from annotation.comparison import figures, figures_by_ability
from annotation.db import utcnow
from annotation.people_tables import User
from annotation.ranking import Ranking as Order
from annotation.refusals import Conflict, Invalid, Missing
from annotation.store import calibration, campaigns, handouts, imports, measured, measuring, places, rankings
from annotation.store.rankings import Submission
from annotation.tables import Assignment, Campaign, Purpose, Ranking, Turn, TurnState
from tests.conftest import Cast
from tests.material import dialogue, ranked

FIRST, SECOND = ranked("A > B > C > D"), ranked("A > C > B > D", 1, 5, 9)


@pytest.fixture
def mine(session: Session, campaign: Campaign) -> Campaign:
    """The campaign, to change its shares."""
    return campaigns.get(session, campaign.id)


def add(session: Session, campaign: Campaign, number: int) -> list[Turn]:
    imports.add(session, campaign, [dialogue(f"d{i}") for i in range(number)], source="t", actor_id=None)
    return list(session.scalars(select(Turn).order_by(Turn.id)))


def rank(session: Session, user: User, campaign: Campaign, order: Order = FIRST, key: str = "") -> Assignment:
    held = places.reserve_next(session, user, campaign)
    assert held is not None
    rankings.submit(session, held, Submission(f"{user.id}-{held.id}{key}", order))
    return held


def long_ago(session: Session) -> None:
    """All that was done so far was done a month ago."""
    session.execute(update(Assignment).values(finished_at=utcnow() - timedelta(days=30)))


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 0.5), st.floats(0, 0.5))
def test_each_share_of_the_draws_has_its_purpose(draw: float, repeats: float, gold: float) -> None:
    expected = (
        Purpose.REPEAT if draw < repeats else Purpose.GOLD if draw < repeats + gold else Purpose.LABEL
    )  # fmt: skip
    assert handouts.due(draw, repeat_share=repeats, gold_share=gold) is expected


@given(st.integers(2, 5).flatmap(lambda k: st.permutations(range(k))))
def test_a_repeat_is_shown_in_an_order_of_its_own(before: list[int]) -> None:
    order = handouts.order_unlike(before, len(before))
    assert sorted(order) == sorted(before)
    assert order != list(before)


def test_a_turn_comes_again_after_its_days_once_and_moves_nothing(session: Session, cast: Cast, mine: Campaign) -> None:
    turns = add(session, mine, 3)
    mine.repeat_share = 1.0
    first = rank(session, cast.li, mine)
    assert (first.purpose, turns[0].state) == (Purpose.LABEL, TurnState.ONE_RANKING)
    assert rank(session, cast.li, mine).turn_id == turns[1].id  # nothing is old enough
    turns[1].state = TurnState.WITHDRAWN
    long_ago(session)
    again = rank(session, cast.li, mine, SECOND)
    assert (again.purpose, again.turn_id, again.place) == (Purpose.REPEAT, turns[0].id, None)
    assert again.response_order != first.response_order
    assert (turns[0].state, turns[0].places_taken) == (TurnState.ONE_RANKING, 1)
    assert rank(session, cast.li, mine).purpose is Purpose.LABEL
    found = measured.repeats(session, mine)
    assert found.judgements.annotator[found.rows[:, 1]].tolist() == [cast.li.id]
    assert found.judgements.ranks.tolist() == [FIRST.ranks(), SECOND.ranks()]
    assert agreement(found, 1)[Statistic.PAIRS].value == pytest.approx(5 / 6)


def test_a_correction_after_the_turn_came_again_is_no_first_opinion(
    session: Session, cast: Cast, mine: Campaign
) -> None:
    add(session, mine, 1)
    third = ranked("D > C > B > A")
    first = rank(session, cast.li, mine)
    rankings.submit(session, first, Submission("corrected before", SECOND))
    mine.repeat_share = 1.0
    long_ago(session)
    assert rank(session, cast.li, mine, SECOND).purpose is Purpose.REPEAT
    rankings.submit(session, first, Submission("corrected after", third), utcnow() + timedelta(seconds=1))
    assert measured.repeats(session, mine).judgements.ranks.tolist() == [SECOND.ranks(), SECOND.ranks()]


def test_a_repeat_that_cannot_be_judged_frees_no_place(session: Session, cast: Cast, mine: Campaign) -> None:
    turns = add(session, mine, 1)
    rank(session, cast.li, mine)
    mine.repeat_share = 1.0
    long_ago(session)
    held = places.reserve_next(session, cast.li, mine)
    assert held is not None
    assert places.reserve_next(session, cast.li, mine) is held
    places.cannot_judge(session, held, "文字乱码")
    assert (turns[0].times_unjudgeable, turns[0].places_taken, turns[0].holder_id) == (0, 1, cast.li.id)


def test_a_gold_turn_goes_to_who_has_not_seen_it_and_is_compared_with_what_is_settled(
    session: Session, cast: Cast, mine: Campaign
) -> None:
    turns = add(session, mine, 2)
    with pytest.raises(Conflict):
        measuring.declare_gold(session, turns[0], gold=True, actor_id=None)
    for user in (cast.li, cast.wang):
        rank(session, user, mine)
    measuring.declare_gold(session, turns[0], gold=True, actor_id=None)
    mine.gold_share = 1.0
    assert rank(session, cast.li, mine).turn_id == turns[1].id
    given = rank(session, cast.chen, mine, SECOND)
    assert (given.purpose, given.turn_id, given.place) == (Purpose.GOLD, turns[0].id, None)
    assert (turns[0].state, turns[0].places_taken) == (TurnState.SETTLED, 2)
    found = measured.gold(session, mine)
    assert found.judgements.annotator[found.rows[:, 1]].tolist() == [cast.chen.id]
    assert found.judgements.ranks.tolist() == [FIRST.ranks(), SECOND.ranks()]


def test_shares_that_exceed_all_turns_are_refused(session: Session, mine: Campaign) -> None:
    shares = {"random_share": 0.2, "repeat_share": 0.6, "gold_share": 0.5, "repeat_after_days": 14}
    with pytest.raises(Invalid):
        campaigns.change_handing_out(session, mine, turn_order=mine.turn_order, actor_id=None, **shares)  # type: ignore[arg-type]


def test_a_calibration_round_goes_blind_to_everyone_before_other_work_and_settles_nothing(
    session: Session, cast: Cast, mine: Campaign
) -> None:
    turns = add(session, mine, 3)
    begun = calibration.begin(session, mine, "第一轮", 2, actor_id=None)
    chosen = {case.turn.id for case in calibration.cases(session, begun)}
    assert {turn.state for turn in turns if turn.id in chosen} == {TurnState.WITHDRAWN}
    for user in (cast.li, cast.wang, cast.chen):
        done = [rank(session, user, mine) for _ in range(2)]
        assert {held.turn_id for held in done} == chosen
        assert {held.purpose for held in done} == {Purpose.CALIBRATION}
    everyone = (cast.li.id, cast.wang.id, cast.chen.id)
    assert calibration.done(calibration.cases(session, begun)) == dict.fromkeys(everyone, 2)
    assert {turn.state for turn in turns if turn.id in chosen} == {TurnState.WITHDRAWN}
    assert rank(session, cast.li, mine).turn_id not in chosen
    with pytest.raises(Missing):
        calibration.seen_by(session, cast.li, begun.id)
    with pytest.raises(Conflict):
        calibration.begin(session, mine, "第二轮", 2, actor_id=None)


def test_after_the_reveal_a_round_is_ranked_again_and_agreement_is_told_before_and_after(
    session: Session, cast: Cast, mine: Campaign
) -> None:
    add(session, mine, 1)
    begun = calibration.begin(session, mine, "第一轮", 1, actor_id=None)
    own = rank(session, cast.li, mine, FIRST)
    rank(session, cast.wang, mine, SECOND)
    waiting = places.reserve_next(session, cast.chen, mine)
    assert waiting is not None
    with pytest.raises(Conflict):
        calibration.close(session, begun, actor_id=None)
    calibration.reveal(session, begun, actor_id=None)
    with pytest.raises(Conflict):
        calibration.reveal(session, begun, actor_id=None)
    assert calibration.seen_by(session, cast.li, begun.id) is begun
    assert places.reserve_next(session, cast.chen, mine) is None
    session.expire_all()
    rankings.submit(session, own, Submission("again", SECOND), utcnow() + timedelta(seconds=1))
    assert [r.version for r in session.scalars(select(Ranking).where(Ranking.assignment_id == own.id))] == [1, 2]
    [case] = calibration.cases(session, begun)
    assert (case.before, case.after[cast.li.id]) == ({cast.li.id: FIRST, cast.wang.id: SECOND}, SECOND)
    before, after = (figures(side, 4)[Statistic.PAIRS].value for side in calibration.agreement([case]))
    assert (before, after) == (pytest.approx(5 / 6), 1)
    assert list(figures_by_ability(calibration.agreement([case])[0], 4)) == [1, 5, 9]
    calibration.close(session, begun, actor_id=None)
    with pytest.raises(Conflict):
        rankings.submit(session, own, Submission("too late", FIRST))
    assert set(calibration.pseudonyms(begun, [case]).values()) == {0, 1}
