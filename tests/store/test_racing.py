"""Many annotators at once, after the last places: nobody gets a third one, and nobody is sent away too early."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import func, select

from annotation.db import Database
from annotation.people_tables import Role
from annotation.store import campaigns, imports, people, places, rankings
from annotation.store.rankings import Submission
from annotation.tables import Assignment, Campaign, PairCount, Turn, TurnOrder, TurnState
from tests.conftest import Cast
from tests.material import dialogue, ranked
from tests.store.test_places import assert_books_balance

ANNOTATORS, TABS, PROCESSES = 20, 2, 6
TURNS = 12
ROUNDS = 30
ORDER = ranked("D > B = A > C")


def step(database: Database, user_id: int, campaign_id: int) -> bool:
    """One annotator asks for a turn and ranks it; says whether there was one. Whoever is sent away could have none."""
    with database.writing() as session:
        user, campaign = people.get(session, user_id), campaigns.get(session, campaign_id)
        assignment = places.reserve_next(session, user, campaign)
    if assignment is None:
        with database.reading() as session:
            campaign = campaigns.get(session, campaign_id)
            kept = campaign.turn_order is TurnOrder.DIALOGUE  # for those who are in the middle of a dialogue
            assert kept or places.left_for(session, user, campaign) == 0
        return False
    with database.writing() as session:
        mine = session.get_one(Assignment, assignment.id)
        rankings.submit(session, mine, Submission(f"{user_id}-{mine.id}", ORDER))
    return True


def work_in_a_process(url: str, user_ids: Sequence[int], campaign_id: int) -> None:
    """Several annotators in turn, in a process of their own, until nothing is left for any of them."""
    database = Database(url)
    working = list(user_ids)
    while working:
        working = [user_id for user_id in working if step(database, user_id, campaign_id)]
    database.dispose()


def work_in_a_thread(database: Database, start: Barrier, user_id: int, campaign_id: int) -> None:
    """One tab of an annotator, which begins together with all others."""
    start.wait()
    while step(database, user_id, campaign_id):
        pass


def all_at_once(*jobs: Callable[[], object]) -> None:
    with ThreadPoolExecutor(len(jobs)) as threads:
        for done in [threads.submit(job) for job in jobs]:
            done.result()


@pytest.mark.parametrize("order", TurnOrder)
def test_twenty_annotators_racing_for_the_last_places_fill_each_turn_with_exactly_two(
    database: Database, cast: Cast, campaign: Campaign, order: TurnOrder
) -> None:
    with database.writing() as session:
        mine = campaigns.get(session, campaign.id)
        users = [people.add(session, f"a{i}", f"医生{i}", Role.ANNOTATOR, simulated=True) for i in range(ANNOTATORS)]
        campaigns.set_members(session, mine, {user.id for user in users}, actor_id=None)
        imports.add(session, mine, [dialogue(f"d{i}", 3) for i in range(TURNS // 3)], source="test", actor_id=None)
        mine.turn_order = order
    if database.is_sqlite:
        url = database.url.render_as_string(hide_password=False)
        shares = [[user.id for user in users[i::PROCESSES]] for i in range(PROCESSES)]
        with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
            pool.starmap(work_in_a_process, [(url, share, campaign.id) for share in shares])
    else:
        start = Barrier(ANNOTATORS * TABS)
        all_at_once(*[lambda u=u: work_in_a_thread(database, start, u.id, campaign.id) for u in users * TABS])
    assert_books_balance(database)
    with database.reading() as session:
        assert campaigns.progress(session, campaign.id).by_state == {TurnState.SETTLED: TURNS}
        places_of = select(func.count(Assignment.id)).where(Assignment.place > 0).group_by(Assignment.turn_id)
        assert session.scalars(places_of).all() == [2] * TURNS
        shared = TURNS // 3 if order is TurnOrder.DIALOGUE else TURNS
        assert session.scalar(select(func.sum(PairCount.turns))) == shared


def test_six_who_always_ask_at_the_same_moment_share_evenly(database: Database, cast: Cast, campaign: Campaign) -> None:
    with database.writing() as session:
        mine = campaigns.get(session, campaign.id)
        users = [people.add(session, f"a{i}", f"医生{i}", Role.ANNOTATOR, simulated=True) for i in range(6)]
        campaigns.set_members(session, mine, {user.id for user in users}, actor_id=None)
        imports.add(session, mine, [dialogue(f"d{i}") for i in range(4 * ROUNDS)], source="test", actor_id=None)
    start = Barrier(len(users))

    def work(user_id: int) -> None:
        for _ in range(ROUNDS):
            start.wait()
            assert step(database, user_id, campaign.id)

    all_at_once(*[lambda u=u: work(u.id) for u in users])
    with database.reading() as session:
        shared = session.scalars(select(PairCount.turns)).all()
    assert len(shared) == 15
    assert max(shared) - min(shared) <= 2


def test_four_tabs_of_one_annotator_reserve_one_turn(database: Database, cast: Cast, campaign: Campaign) -> None:
    with database.writing() as session:
        imports.add(session, campaign, [dialogue(f"d{i}") for i in range(8)], source="test", actor_id=None)
    start, held = Barrier(4), []

    def tab() -> None:
        start.wait()
        with database.writing() as session:
            assignment = places.reserve_next(session, cast.li, campaign)
            assert assignment is not None
            held.append(assignment.id)

    all_at_once(*[tab] * 4)
    assert len(held) == 4
    assert len(set(held)) == 1
    with database.reading() as session:
        assert session.scalar(select(func.sum(Turn.places_taken))) == 1
