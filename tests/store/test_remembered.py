"""What a process remembers: computed once however many ask, and kept while nothing has changed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Event

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from annotation.db import Database, utcnow
from annotation.people_tables import User
from annotation.store import campaigns, changes, imports, places, rankings, statistics
from annotation.store.rankings import Submission
from annotation.store.remembered import Memory
from annotation.tables import Assignment, Campaign, Ranking, Turn
from tests.conftest import Cast
from tests.material import dialogue, ranked


class Slow:
    """A computation that waits to be let go, and counts how often it was begun."""

    def __init__(self) -> None:
        self.begun, self.go_on, self.times = Event(), Event(), 0

    def __call__(self) -> int:
        self.times += 1
        self.begun.set()
        assert self.go_on.wait(10)
        return self.times


def rank(session: Session, user: User, campaign: Campaign) -> None:
    held = places.reserve_next(session, user, campaign)
    assert held is not None
    rankings.submit(session, held, Submission(f"{user.id}-{held.id}", ranked("A > B > C > D"), active_seconds=9.0))


@pytest.fixture
def two(session: Session, cast: Cast, campaign: Campaign) -> tuple[Campaign, Campaign]:
    """Two campaigns, in each of which one turn has two rankings and another none."""
    both = session.merge(campaign), campaigns.create(session, "第二个")
    for each in both:
        imports.add(session, each, [dialogue(f"{each.id}a"), dialogue(f"{each.id}b")], source="t", actor_id=None)
        for user in (cast.li, cast.wang):
            rank(session, user, each)
    return both


def test_two_who_ask_at_once_have_it_computed_once() -> None:
    memory, slow = Memory[int](4), Slow()
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(memory.get, "figures", 1, slow)
        assert slow.begun.wait(10)
        second = threads.submit(memory.get, "figures", 1, slow)
        slow.go_on.set()
        assert first.result(10) is second.result(10)
    assert slow.times == 1


def test_who_asks_meanwhile_is_given_the_last_value_with_its_time() -> None:
    memory, slow = Memory[int](4), Slow()
    before = memory.get("figures", 1, lambda: 41)
    with ThreadPoolExecutor(1) as threads:
        computing = threads.submit(memory.get, "figures", 2, slow)
        assert slow.begun.wait(10)
        given = memory.get("figures", 2, slow)
        assert (given.value, given.stamp, given.at) == (41, 1, before.at)
        slow.go_on.set()
        assert (computing.result(10).value, computing.result(10).stamp) == (1, 2)
    assert before.at <= utcnow()


def test_who_needs_this_very_stamp_waits_for_it() -> None:
    memory, slow = Memory[int](4), Slow()
    memory.get("columns", 1, lambda: 41)
    with ThreadPoolExecutor(2) as threads:
        threads.submit(memory.get, "columns", 2, slow)
        assert slow.begun.wait(10)
        waiting = threads.submit(memory.get, "columns", 2, slow, wait=True)
        slow.go_on.set()
        assert (waiting.result(10).value, slow.times) == (1, 1)


def test_a_computation_that_fails_leaves_the_way_free() -> None:
    memory = Memory[int](4)
    with pytest.raises(ZeroDivisionError):
        memory.get("figures", 1, lambda: 1 // 0)
    assert memory.get("figures", 1, lambda: 7).value == 7


def test_what_was_asked_for_longest_ago_is_forgotten_first() -> None:
    memory = Memory[str](2)
    for name in ("a", "b", "a", "c"):
        memory.get(name, 1, lambda name=name: name)  # type: ignore[misc]
    assert len(memory) == 2
    assert memory.last("b") is None


def test_a_ranking_of_another_campaign_leaves_the_figures_of_this_one(
    session: Session, cast: Cast, two: tuple[Campaign, Campaign]
) -> None:
    mine, other = two
    today = utcnow().date()
    before = {
        name: statistics.section(session, mine, name, today) for name in (*statistics.SECTIONS, statistics.GLANCE)
    }
    theirs = statistics.section(session, other, "agreement", today)
    rank(session, cast.li, other)
    session.flush()
    assert all(statistics.section(session, mine, name, today) is found for name, found in before.items())
    assert statistics.section(session, other, "agreement", today) is not theirs
    rank(session, cast.li, mine)
    assert statistics.section(session, mine, "agreement", today) is not before["agreement"]


def test_many_rankings_of_other_campaigns_are_not_looked_at_for_ever(
    session: Session, cast: Cast, two: tuple[Campaign, Campaign], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = two
    monkeypatch.setattr(changes, "LOOK_BACK", 0)
    before = changes.stamp(session, mine.id)
    looked_behind = changes._last[changes.place(session, mine.id)].after
    for user in (cast.li, cast.wang):
        rank(session, user, other)
    assert changes.stamp(session, mine.id) == before
    assert changes._last[changes.place(session, mine.id)].after == looked_behind + 2


def test_every_process_gives_a_campaign_the_same_mark_wherever_it_looks_from(
    session: Session, cast: Cast, two: tuple[Campaign, Campaign], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = two
    monkeypatch.setattr(changes, "LOOK_BACK", 3)
    changes.stamp(session, mine.id)
    for user in (cast.li, cast.wang):
        rank(session, user, other)
    seen_before = changes.stamp(session, mine.id).mark
    changes._last.clear()  # as in a process that has just begun
    assert changes.stamp(session, mine.id).mark == seen_before
    rank(session, cast.li, mine)
    after_a_ranking = changes.stamp(session, mine.id).mark
    changes._last.clear()
    assert changes.stamp(session, mine.id).mark == after_a_ranking != seen_before


def test_a_ranking_whose_number_came_before_that_of_one_already_seen_changes_the_mark(
    session: Session, cast: Cast, two: tuple[Campaign, Campaign]
) -> None:
    mine, _ = two
    before = changes.stamp(session, mine.id)
    of_mine = Assignment.turn_id.in_(select(Turn.id).where(Turn.campaign_id == mine.id))
    held = session.scalars(select(Assignment).where(of_mine, Assignment.user_id == cast.li.id)).one()
    first = session.scalars(select(Ranking).where(Ranking.assignment_id == held.id)).one()
    values = {name: getattr(first, name) for name in (each.key for each in Ranking.__table__.columns) if name != "id"}
    session.add(Ranking(**{**values, "id": first.id - 500, "version": 2, "submission_key": "corrected"}))
    session.flush()
    assert changes.stamp(session, mine.id).mark != before.mark


def test_a_value_that_took_long_rests_before_it_is_computed_again() -> None:
    memory = Memory[int](4)
    first = memory.get("figures", 1, lambda: 41)
    slow = replace(first, took=3600.0)
    memory._kept["figures"] = slow
    assert memory.get("figures", 2, lambda: 42, rests=10) is slow
    memory._kept["figures"] = replace(slow, at=slow.at - timedelta(hours=11))
    assert memory.get("figures", 2, lambda: 42, rests=10).value == 42
    assert memory.get("figures", 3, lambda: 43).value == 43  # who opens the page does not wait for it to rest


def test_figures_that_two_admins_ask_for_at_once_are_computed_once(
    database: Database, cast: Cast, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.writing() as session:
        imports.add(session, campaign, [dialogue()], source="t", actor_id=None)
        for user in (cast.li, cast.wang):
            rank(session, user, campaign)
    slow = Slow()
    real: Callable[..., object] = statistics._tables
    monkeypatch.setattr(statistics, "_tables", lambda *given: [slow(), real(*given)][1])

    def ask() -> object:
        with database.reading() as session:
            return statistics.section(session, campaign, "agreement", utcnow().date()).tables

    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(ask) for _ in range(4)]
        assert slow.begun.wait(10)
        slow.go_on.set()
        found = [each.result(20) for each in asked]
    assert slow.times == 1
    assert all(each is found[0] for each in found)
