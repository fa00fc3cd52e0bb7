"""Rankings come in: kept once, settled where two agree, contested where not, late ones kept too."""

from datetime import timedelta
from itertools import product

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from annotation.db import Database, utcnow
from annotation.people_tables import User
from annotation.ranking import Ranking as Order
from annotation.ranking import weak_orders
from annotation.refusals import Conflict, Missing
from annotation.store import imports, listing, places, rankings
from annotation.store.rankings import Submission
from annotation.tables import Assignment, AssignmentState, Campaign, Ranking, SettledBy, Turn, TurnState
from tests.conftest import Cast
from tests.material import dialogue, ranked

ORDER = ranked("D > B = A > C")


@pytest.fixture
def one_turn(session: Session, campaign: Campaign) -> Turn:
    imports.add(session, campaign, [dialogue()], source="test", actor_id=None)
    return session.scalars(select(Turn)).one()


def reserve(session: Session, user: User, campaign: Campaign) -> Assignment:
    assignment = places.reserve_next(session, user, campaign)
    assert assignment is not None
    return assignment


def submit(session: Session, user: User, campaign: Campaign, ranking: Order, key: str = "") -> Ranking:
    assignment = reserve(session, user, campaign)
    return rankings.submit(session, assignment, Submission(key or f"{user.login}-1", ranking))


def test_two_rankings_that_agree_settle_the_turn(
    session: Session, cast: Cast, campaign: Campaign, one_turn: Turn
) -> None:
    submit(session, cast.li, campaign, ORDER)
    assert one_turn.state is TurnState.ONE_RANKING
    submit(session, cast.wang, campaign, ORDER)
    assert (one_turn.state, one_turn.settled_by) == (TurnState.SETTLED, SettledBy.AGREED)


def test_two_rankings_that_differ_in_one_pair_are_contested(
    session: Session, cast: Cast, campaign: Campaign, one_turn: Turn
) -> None:
    submit(session, cast.li, campaign, ranked("A > B > C > D", 1, 4, 9))
    submit(session, cast.wang, campaign, ranked("A > C > B > D", 1, 5, 9))
    assert (one_turn.state, one_turn.contested_ability) == (TurnState.CONTESTED, 4)


def test_two_who_find_none_acceptable_send_the_turn_to_be_rewritten(
    session: Session, cast: Cast, campaign: Campaign, one_turn: Turn
) -> None:
    none = ranked("", none_acceptable=True)
    submit(session, cast.li, campaign, none)
    submit(session, cast.wang, campaign, none)
    assert one_turn.state is TurnState.CONTESTED


def test_every_weak_order_of_four_is_stored_and_read_unchanged(
    session: Session, cast: Cast, campaign: Campaign, one_turn: Turn
) -> None:
    assignment = reserve(session, cast.li, campaign)
    for number, order in enumerate(weak_orders(4)):
        given = Order(order)
        rankings.submit(session, assignment, Submission(f"key {number}", given))
        session.flush()
        session.expire_all()
        stored = rankings.latest(session, assignment.id)
        assert stored is not None
        assert rankings.read(stored) == given
        assert stored.version == number + 1
    assert number == 74


def test_the_same_submission_again_gives_the_same_answer_and_is_kept_once(
    session: Session, cast: Cast, campaign: Campaign, one_turn: Turn
) -> None:
    assignment = reserve(session, cast.li, campaign)
    first = rankings.submit(session, assignment, Submission("key", ORDER))
    again = rankings.submit(session, assignment, Submission("key", ORDER))
    assert again.id == first.id
    assert session.scalar(select(func.count(Ranking.id))) == 1


def test_other_content_under_the_same_key_is_refused(
    session: Session, cast: Cast, campaign: Campaign, one_turn: Turn
) -> None:
    assignment = reserve(session, cast.li, campaign)
    rankings.submit(session, assignment, Submission("key", ORDER))
    with pytest.raises(Conflict):
        rankings.submit(session, assignment, Submission("key", ranked("A > B > C > D")))


def test_a_correction_is_a_new_version_and_the_newest_counts(
    session: Session, cast: Cast, campaign: Campaign, one_turn: Turn
) -> None:
    submit(session, cast.li, campaign, ranked("A > B > C > D"))
    assignment = session.scalars(select(Assignment)).one()
    rankings.submit(session, assignment, Submission("second", ORDER))
    submit(session, cast.wang, campaign, ORDER)
    assert one_turn.settled_by is SettledBy.AGREED
    assert session.scalar(select(func.count(Ranking.id))) == 3


def test_a_correction_of_a_contested_ranking_can_bring_agreement(
    session: Session, cast: Cast, campaign: Campaign, one_turn: Turn
) -> None:
    submit(session, cast.li, campaign, ranked("A > B > C > D"))
    mine = session.scalars(select(Assignment)).one()
    submit(session, cast.wang, campaign, ORDER)
    assert one_turn.state is TurnState.CONTESTED
    rankings.submit(session, mine, Submission("second", ORDER))
    assert one_turn.settled_by is SettledBy.AGREED


@pytest.mark.parametrize("closed_by", [TurnState.SETTLED, TurnState.IN_REVIEW])
def test_a_closed_turn_refuses_corrections_without_telling_why_it_closed(
    session: Session, cast: Cast, campaign: Campaign, one_turn: Turn, closed_by: TurnState
) -> None:
    submit(session, cast.li, campaign, ORDER)
    mine = session.scalars(select(Assignment)).one()
    one_turn.state = closed_by
    with pytest.raises(Conflict) as refused:
        rankings.submit(session, mine, Submission("second", ranked("A > B > C > D")))
    assert refused.value.message == rankings.CLOSED


def test_a_ranking_after_its_lease_ran_out_takes_its_place_if_nobody_else_did(
    session: Session, cast: Cast, campaign: Campaign, one_turn: Turn
) -> None:
    assignment = reserve(session, cast.li, campaign)
    places.reclaim_expired(session, campaign.id, utcnow() + timedelta(days=1))
    assert (assignment.state, one_turn.places_taken) == (AssignmentState.EXPIRED, 0)
    stored = rankings.submit(session, assignment, Submission("key", ORDER))
    assert not stored.late
    assert (one_turn.state, one_turn.places_taken) == (TurnState.ONE_RANKING, 1)


def test_a_ranking_whose_place_was_taken_is_kept_as_late_and_settles_nothing(
    session: Session, cast: Cast, campaign: Campaign, one_turn: Turn
) -> None:
    assignment = reserve(session, cast.li, campaign)
    places.reclaim_expired(session, campaign.id, utcnow() + timedelta(days=1))
    submit(session, cast.wang, campaign, ORDER)
    submit(session, cast.chen, campaign, ORDER)
    stored = rankings.submit(session, assignment, Submission("key", ranked("A > B > C > D")))
    assert stored.late
    assert listing.late_rankings(session, campaign.id, None, 9) == [stored]
    assert one_turn.settled_by is SettledBy.AGREED


def test_nobody_submits_for_somebody_else(session: Session, cast: Cast, campaign: Campaign, one_turn: Turn) -> None:
    assignment = reserve(session, cast.li, campaign)
    with pytest.raises(Missing):
        rankings.own_assignment(session, cast.wang, assignment.id)


def test_a_stale_tab_cannot_overwrite_a_newer_draft(
    session: Session, cast: Cast, campaign: Campaign, one_turn: Turn
) -> None:
    assignment = reserve(session, cast.li, campaign)
    assert rankings.save_draft(session, assignment, 0, {"place.a": "1"}) == 1
    assert rankings.save_draft(session, assignment, 1, {"place.a": "2"}) == 2
    with pytest.raises(Conflict):
        rankings.save_draft(session, assignment, 1, {"place.a": "3"})
    draft = rankings.draft_of(session, assignment.id)
    assert draft is not None
    assert draft.body == {"place.a": "2"}


def test_a_page_that_was_loaded_again_is_not_behind_its_own_last_save(
    session: Session, cast: Cast, campaign: Campaign, one_turn: Turn
) -> None:
    assignment = reserve(session, cast.li, campaign)
    assert rankings.save_draft(session, assignment, 0, {"key": "before", "window": "one"}) == 1
    assert rankings.save_draft(session, assignment, 0, {"key": "after", "window": "one"}) == 2
    assert rankings.save_draft(session, assignment, 1, {"key": "after", "window": "one"}) == 3
    for known in (0, 1):
        with pytest.raises(Conflict):
            rankings.save_draft(session, assignment, known, {"key": "elsewhere", "window": "another"})
    assert rankings.save_draft(session, assignment, 3, {"key": "elsewhere", "window": "another"}) == 4


def test_the_database_refuses_to_change_a_ranking(
    database: Database, session: Session, cast: Cast, campaign: Campaign, one_turn: Turn
) -> None:
    submit(session, cast.li, campaign, ORDER)
    with pytest.raises(DBAPIError, match="append-only"), session.begin_nested():
        session.execute(text("UPDATE rankings SET note = 'changed'"))


def test_all_orders_against_all_orders_agree_exactly_where_they_are_equal(
    session: Session, cast: Cast, campaign: Campaign
) -> None:
    orders = list(weak_orders(3))
    campaign.k = 3
    session.merge(campaign)
    imports.add(session, campaign, [dialogue(f"d{i}", k=3) for i in range(len(orders) ** 2)], source="t", actor_id=None)
    chosen = {}
    for number, (first, second) in enumerate(product(orders, orders)):
        assignment = reserve(session, cast.li, campaign)
        rankings.submit(session, assignment, Submission(f"li {number}", Order(first)))
        chosen[assignment.turn_id] = (first, second)
    for number in range(len(chosen)):
        assignment = reserve(session, cast.wang, campaign)
        rankings.submit(session, assignment, Submission(f"wang {number}", Order(chosen[assignment.turn_id][1])))
    states = {turn.id: turn.state for turn in session.scalars(select(Turn))}
    assert {turn: state is TurnState.SETTLED for turn, state in states.items()} == {
        turn: first == second for turn, (first, second) in chosen.items()
    }
