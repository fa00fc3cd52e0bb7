"""Exactly two annotators a turn, never the same twice, under any concurrency."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from itertools import combinations

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from annotation.db import Database, utcnow
from annotation.people_tables import User, UserState
from annotation.refusals import Conflict
from annotation.store import campaigns, imports, people, places, rankings
from annotation.store.rankings import Submission
from annotation.tables import Assignment, AssignmentState, Campaign, PairCount, Purpose, SettledBy, Turn, TurnState
from tests.conftest import Cast
from tests.material import dialogue, ranked

ORDER = ranked("D > B = A > C")


def add_turns(database: Database, campaign: Campaign, count: int) -> None:
    with database.writing() as session:
        imports.add(session, campaign, [dialogue(f"d{i}") for i in range(count)], source="test", actor_id=None)


def assert_books_balance(database: Database) -> None:
    """What turns repeat of the assignments is what the assignments say, and no turn has more than two places."""
    with database.reading() as session:
        for turn in session.scalars(select(Turn)):
            held = places.holders(session, turn.id)
            assert turn.places_taken == len(held) <= 2
            assert turn.holder_id == (held[0].user_id if len(held) == 1 else None)
            assert len({a.user_id for a in held}) == len(held)


def test_nobody_gets_the_same_turn_twice(session: Session, cast: Cast, campaign: Campaign) -> None:
    imports.add(session, campaign, [dialogue()], source="test", actor_id=None)
    first = places.reserve_next(session, cast.li, campaign)
    assert first is not None
    rankings.submit(session, first, Submission("key", ORDER))
    assert places.reserve_next(session, cast.li, campaign) is None


def test_a_reservation_is_given_again_until_it_is_done(session: Session, cast: Cast, campaign: Campaign) -> None:
    imports.add(session, campaign, [dialogue("a"), dialogue("b")], source="test", actor_id=None)
    first, again = (places.reserve_next(session, cast.li, campaign) for _ in range(2))
    assert first is not None
    assert first is again


def test_a_lease_that_ran_out_is_given_to_somebody_else(session: Session, cast: Cast, campaign: Campaign) -> None:
    imports.add(session, campaign, [dialogue()], source="test", actor_id=None)
    for user in (cast.li, cast.wang):
        assert places.reserve_next(session, user, campaign) is not None
    assert places.reserve_next(session, cast.chen, campaign) is None
    assert places.reserve_next(session, cast.chen, campaign, utcnow() + timedelta(hours=2)) is not None


def test_a_renewed_lease_does_not_run_out(session: Session, cast: Cast, campaign: Campaign) -> None:
    imports.add(session, campaign, [dialogue()], source="test", actor_id=None)
    held = places.reserve_next(session, cast.li, campaign)
    assert held is not None
    later = utcnow() + timedelta(minutes=50)
    assert places.renew(session, held, later)
    assert places.reclaim_expired(session, campaign.id, later + timedelta(minutes=30)) == 0


def test_two_who_cannot_judge_free_the_place_and_the_third_sends_it_to_review(
    session: Session, cast: Cast, campaign: Campaign
) -> None:
    imports.add(session, campaign, [dialogue()], source="test", actor_id=None)
    turn = session.scalars(select(Turn)).one()
    for number, user in enumerate((cast.li, cast.wang, cast.chen), start=1):
        held = places.reserve_next(session, user, campaign)
        assert held is not None
        places.cannot_judge(session, held, "缺少病史")
        assert turn.state is (TurnState.CONTESTED if number == 3 else TurnState.OPEN)
        assert places.reserve_next(session, user, campaign) is None
    assert turn.places_taken == 0


def test_a_turn_handed_back_can_no_longer_be_ranked(session: Session, cast: Cast, campaign: Campaign) -> None:
    imports.add(session, campaign, [dialogue()], source="test", actor_id=None)
    held = places.reserve_next(session, cast.li, campaign)
    assert held is not None
    places.cannot_judge(session, held, "文字乱码")
    with pytest.raises(Conflict):
        rankings.submit(session, held, Submission("key", ORDER))


def test_the_database_refuses_a_third_place(session: Session, cast: Cast, campaign: Campaign) -> None:
    imports.add(session, campaign, [dialogue()], source="test", actor_id=None)
    turn = session.scalars(select(Turn)).one()

    def place(user: User, number: int) -> None:
        row = {"turn_id": turn.id, "user_id": user.id, "purpose": Purpose.LABEL, "place": number}
        more = {"state": AssignmentState.RESERVED, "leased_until": utcnow(), "response_order": [0, 1, 2, 3]}
        session.execute(insert(Assignment).values(**row, **more))

    place(cast.li, 1)
    place(cast.wang, 2)
    for number in (1, 2, 3):
        with pytest.raises(IntegrityError), session.begin_nested():
            place(cast.chen, number)


def test_paused_annotators_get_nothing_and_are_not_waited_for(session: Session, cast: Cast, campaign: Campaign) -> None:
    imports.add(session, campaign, [dialogue()], source="test", actor_id=None)
    people.set_state(session, people.get(session, cast.li.id), UserState.PAUSED, actor_id=cast.sun.id)
    assert places.reserve_next(session, cast.li, campaign) is None
    assert places.reserve_next(session, cast.wang, campaign) is not None


def test_three_annotators_in_turn_share_the_turns_evenly_over_all_three_pairs(
    database: Database, cast: Cast, campaign: Campaign
) -> None:
    add_turns(database, campaign, 30)
    with database.writing() as session:
        working = [cast.li, cast.wang, cast.chen]
        while working:
            for user in list(working):
                held = places.reserve_next(session, user, campaign)
                if held is None:
                    working.remove(user)
                else:
                    rankings.submit(session, held, Submission(f"{user.id}-{held.id}", ORDER))
        counted = {(row.low_user_id, row.high_user_id): row.turns for row in session.scalars(select(PairCount))}
        seen: Counter[tuple[int, ...]] = Counter()
        for turn_id in session.scalars(select(Turn.id)):
            seen[tuple(sorted(a.user_id for a in places.holders(session, turn_id)))] += 1
    assert counted == dict(seen) == dict.fromkeys(combinations(sorted((cast.li.id, cast.wang.id, cast.chen.id)), 2), 10)
    assert_books_balance(database)


def test_a_change_of_membership_begins_a_new_stretch(session: Session, cast: Cast, campaign: Campaign) -> None:
    imports.add(session, campaign, [dialogue()], source="test", actor_id=None)
    for user in (cast.li, cast.wang):
        places.reserve_next(session, user, campaign)
    assert session.scalar(select(func.count()).select_from(PairCount)) == 1
    campaigns.set_members(session, campaign, {cast.li.id, cast.wang.id}, actor_id=None)
    assert session.scalar(select(func.count()).select_from(PairCount)) == 0


def test_each_annotator_sees_the_responses_in_an_order_of_their_own(
    session: Session, cast: Cast, campaign: Campaign
) -> None:
    imports.add(session, campaign, [dialogue(f"d{i}") for i in range(40)], source="test", actor_id=None)
    orders = set()
    for number in range(40):
        held = places.reserve_next(session, cast.li, campaign)
        assert held is not None
        assert sorted(held.response_order) == [0, 1, 2, 3]
        orders.add(tuple(held.response_order))
        rankings.submit(session, held, Submission(f"k{number}", ORDER))
    assert len(orders) > 5  # of 24; five or fewer in forty draws has a chance below 1e-20


def test_a_late_ranking_frees_its_annotator_and_changes_nothing_else(
    session: Session, cast: Cast, campaign: Campaign
) -> None:
    imports.add(session, campaign, [dialogue(), dialogue("d2")], source="test", actor_id=None)
    held = places.reserve_next(session, cast.li, campaign)
    assert held is not None
    held.turn.state, held.turn.settled_by = TurnState.SETTLED, SettledBy.ADJUDICATED  # settled by a review meanwhile
    session.flush()
    assert rankings.submit(session, held, Submission("key", ORDER)).late
    assert held.turn.state is TurnState.SETTLED
    following = places.reserve_next(session, cast.li, campaign)
    assert following is not None
    assert following.turn_id != held.turn_id


def test_handing_back_a_turn_that_was_settled_meanwhile_leaves_it_settled(
    session: Session, cast: Cast, campaign: Campaign
) -> None:
    imports.add(session, campaign, [dialogue()], source="test", actor_id=None)
    held = places.reserve_next(session, cast.li, campaign)
    assert held is not None
    held.turn.state, held.turn.times_unjudgeable = TurnState.SETTLED, places.RELEASES_BEFORE_REVIEW
    session.flush()
    places.cannot_judge(session, held, "太晚")
    assert held.turn.state is TurnState.SETTLED


def test_what_somebody_holds_counts_as_left_for_them(session: Session, cast: Cast, campaign: Campaign) -> None:
    imports.add(session, campaign, [dialogue()], source="test", actor_id=None)
    assert places.left_for(session, cast.li, campaign) == 1
    places.reserve_next(session, cast.li, campaign)
    assert places.left_for(session, cast.li, campaign) == 1


def test_who_is_away_without_being_paused_holds_nobody_up(session: Session, cast: Cast, campaign: Campaign) -> None:
    """Chen has not been seen for days: Li and Wang go on joining each other instead of beginning turn after turn."""
    imports.add(session, campaign, [dialogue(f"d{i}") for i in range(40)], source="test", actor_id=None)
    people.log_in(session, cast.chen, utcnow() - timedelta(days=3))
    for user in (cast.li, cast.wang):
        people.log_in(session, user)
    for number in range(20):
        for user in (cast.li, cast.wang):
            held = places.reserve_next(session, user, campaign)
            assert held is not None
            rankings.submit(session, held, Submission(f"{number}-{user.id}", ORDER))
    states = session.scalars(select(Turn.state)).all()
    assert states.count(TurnState.SETTLED) == 20
    assert states.count(TurnState.ONE_RANKING) == 0


def test_a_place_that_is_reclaimed_as_its_doctor_returns_is_given_to_them_anew(
    database: Database, cast: Cast, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database.is_sqlite:
        pytest.skip("one writes at a time there")
    add_turns(database, campaign, 1)
    with database.writing() as session:
        assert places.reserve_next(session, cast.li, campaign) is not None
    later = utcnow() + timedelta(hours=2)
    extend = places._extend

    def too_late(session: Session, held: Assignment, of: Campaign, now: datetime) -> bool:
        with database.writing() as other:
            assert places.reclaim_expired(other, campaign.id, later) == 1
        return extend(session, held, of, now)

    monkeypatch.setattr(places, "_extend", too_late)
    with database.writing() as session:
        again = places.reserve_next(session, cast.li, campaign, later)
        assert again is not None
        assert (again.state, again.place) == (AssignmentState.RESERVED, 1)
    assert_books_balance(database)
