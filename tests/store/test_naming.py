"""Places that are kept for named people, and how much a person may rank."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from annotation.db import utcnow
from annotation.people_tables import User, UserState
from annotation.refusals import Conflict, Invalid
from annotation.store import campaigns, imports, limits, naming, people, places, rankings
from annotation.store.places import Nothing
from annotation.store.rankings import Submission
from annotation.tables import Assignment, Campaign, PairCount, Turn
from tests.conftest import Cast
from tests.material import dialogue, ranked

ORDER = ranked("D > B = A > C")


@pytest.fixture
def turns(session: Session, campaign: Campaign) -> list[Turn]:
    """Three turns, the last two of them in surgery."""
    rows = [dialogue("d0"), dialogue("d1", department="外科"), dialogue("d2", department="外科")]
    imports.add(session, campaign, rows, source="t", actor_id=None)
    return list(session.scalars(select(Turn).order_by(Turn.id)))


def rank(session: Session, user: User, campaign: Campaign) -> int | None:
    """Ranks the next turn; returns which it was."""
    held = places.reserve_next(session, user, campaign)
    if held is not None:
        rankings.submit(session, held, Submission(f"{user.id}-{held.id}", ORDER))
    return held and held.turn_id


def test_a_named_turn_comes_first_to_whom_it_is_kept_for(
    session: Session, cast: Cast, campaign: Campaign, turns: list[Turn]
) -> None:
    naming.name(session, campaign, turns[2], [cast.li.id], actor_id=cast.sun.id)
    assert [rank(session, cast.li, campaign) for _ in range(4)] == [turns[2].id, turns[0].id, turns[1].id, None]


def test_places_kept_for_two_are_taken_by_nobody_else(
    session: Session, cast: Cast, campaign: Campaign, turns: list[Turn]
) -> None:
    naming.name(session, campaign, turns[0], [cast.li.id, cast.wang.id], actor_id=None)
    assert places.left_for(session, cast.chen, campaign) == 2
    assert places.left_for(session, cast.li, campaign) == 3
    assert [rank(session, cast.chen, campaign) for _ in range(3)] == [turns[1].id, turns[2].id, None]
    assert rank(session, cast.li, campaign) == rank(session, cast.wang, campaign) == turns[0].id


def test_beside_one_kept_place_the_other_goes_by_the_rule(
    session: Session, cast: Cast, campaign: Campaign, turns: list[Turn]
) -> None:
    naming.name(session, campaign, turns[0], [cast.li.id], actor_id=None)
    assert rank(session, cast.wang, campaign) == turns[0].id
    assert rank(session, cast.chen, campaign) != turns[0].id
    assert rank(session, cast.li, campaign) == turns[0].id


def test_what_was_named_says_nothing_about_even_sharing(
    session: Session, cast: Cast, campaign: Campaign, turns: list[Turn]
) -> None:
    naming.name(session, campaign, turns[0], [cast.li.id, cast.wang.id], actor_id=None)
    for user in (cast.li, cast.wang):
        rank(session, user, campaign)
    assert session.scalars(select(PairCount.turns)).all() == []


def test_a_naming_that_is_withdrawn_frees_the_place(
    session: Session, cast: Cast, campaign: Campaign, turns: list[Turn]
) -> None:
    naming.name(session, campaign, turns[0], [cast.li.id, cast.wang.id], actor_id=None)
    naming.withdraw(session, turns[0], cast.wang.id, actor_id=None)
    assert turns[0].places_named == 1
    assert rank(session, cast.chen, campaign) == turns[0].id
    rank(session, cast.li, campaign)
    with pytest.raises(Conflict):
        naming.withdraw(session, turns[0], cast.li.id, actor_id=None)


def test_a_lease_that_ran_out_keeps_the_place_and_handing_back_gives_it_up(
    session: Session, cast: Cast, campaign: Campaign, turns: list[Turn]
) -> None:
    naming.name(session, campaign, turns[0], [cast.li.id], actor_id=None)
    held = places.reserve_next(session, cast.li, campaign)
    assert held is not None
    assert places.reclaim_expired(session, campaign.id, utcnow() + timedelta(days=1)) == 1
    assert (turns[0].places_taken, turns[0].places_named) == (0, 1)
    again = places.reserve_next(session, cast.li, campaign)
    assert again is not None
    assert again.id == held.id
    places.cannot_judge(session, again, "文字乱码")
    assert (turns[0].places_taken, turns[0].places_named) == (0, 0)


def test_who_leaves_keeps_no_place(session: Session, cast: Cast, campaign: Campaign, turns: list[Turn]) -> None:
    mine = campaigns.get(session, campaign.id)
    for user in (cast.li, cast.wang):
        naming.name(session, mine, turns[0], [user.id], actor_id=None)
    campaigns.set_members(session, mine, {cast.wang.id, cast.chen.id}, actor_id=None)
    people.set_state(session, people.get(session, cast.wang.id), UserState.DEACTIVATED, actor_id=cast.sun.id)
    session.refresh(turns[0])
    assert (turns[0].places_named, naming.of_turn(session, turns[0].id)) == (0, [])


def test_a_department_or_dialogues_are_named_at_once_where_there_is_room(
    session: Session, cast: Cast, campaign: Campaign, turns: list[Turn]
) -> None:
    both = [cast.li.id, cast.wang.id]
    held = places.reserve_next(session, cast.chen, campaign)
    assert held is not None
    assert naming.name_many(session, campaign, both, department="外科", actor_id=None) == 2
    assert naming.name_many(session, campaign, both, dialogues=["d0", " d1 "], actor_id=None) == 0
    assert naming.name_many(session, campaign, [cast.li.id], dialogues=["d0"], actor_id=None) == 1
    with pytest.raises(Invalid, match="nowhere"):
        naming.name_many(session, campaign, both, dialogues=["nowhere"], actor_id=None)


def test_nobody_is_named_who_does_not_rank_here_or_had_the_turn(
    session: Session, cast: Cast, campaign: Campaign, turns: list[Turn]
) -> None:
    rank(session, cast.li, campaign)
    with pytest.raises(Conflict):
        naming.name(session, campaign, turns[0], [cast.li.id], actor_id=None)
    for people_named in ([cast.zhao.id], [], [cast.li.id, cast.wang.id, cast.chen.id]):
        with pytest.raises(Invalid):
            naming.name(session, campaign, turns[1], people_named, actor_id=None)


def set_limits(session: Session, campaign: Campaign, user: User, a_day: int | None, in_all: int | None) -> None:
    limits.set_limits(session, campaign, user.id, most_a_day=a_day, most_in_all=in_all, actor_id=None)


def test_a_limit_of_a_day_is_of_the_last_24_hours(
    session: Session, cast: Cast, campaign: Campaign, turns: list[Turn]
) -> None:
    set_limits(session, campaign, cast.li, 1, None)
    assert places.left_for(session, cast.li, campaign) == 1
    assert rank(session, cast.li, campaign) is not None
    assert rank(session, cast.li, campaign) is None
    assert places.why_nothing(session, cast.li, campaign) is Nothing.LIMIT_OF_A_DAY
    session.execute(update(Assignment).values(finished_at=utcnow() - timedelta(hours=24, seconds=1)))
    assert rank(session, cast.li, campaign) is not None


def test_a_limit_in_all_ends_the_work_and_what_is_held_may_be_finished(
    session: Session, cast: Cast, campaign: Campaign, turns: list[Turn]
) -> None:
    held = places.reserve_next(session, cast.li, campaign)
    set_limits(session, campaign, cast.li, None, 0)
    assert places.left_for(session, cast.li, campaign) == 1
    assert places.reserve_next(session, cast.li, campaign) is held
    assert rank(session, cast.li, campaign) is not None
    assert rank(session, cast.li, campaign) is None
    assert places.why_nothing(session, cast.li, campaign) is Nothing.LIMIT_IN_ALL
    assert places.why_nothing(session, cast.zhao, campaign) is Nothing.CLOSED
