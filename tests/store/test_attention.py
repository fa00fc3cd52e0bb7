"""What wants the admin's attention, and by which indexes it is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from annotation.db import utcnow
from annotation.store import attention, campaigns, imports, places, rankings, turns
from annotation.store.rankings import Submission
from annotation.store.turns import Behind
from annotation.tables import OFTEN, OFTEN_HANDED_BACK, Campaign
from tests.conftest import Cast
from tests.material import dialogue, ranked


@contextmanager
def asked(session: Session) -> Iterator[list[tuple[str, Any]]]:
    """The statements that are asked meanwhile, with their values."""
    seen: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, given: Any, *_: object) -> None:
        seen.append((statement, given))

    event.listen(session.get_bind(), "before_cursor_execute", note)
    yield seen
    event.remove(session.get_bind(), "before_cursor_execute", note)


def plan_of(session: Session, statement: str, given: Any) -> str:
    """How the database goes about it."""
    explain = "EXPLAIN QUERY PLAN "
    if session.get_bind().dialect.name == "postgresql":
        explain = "EXPLAIN "
        for way in ("seqscan", "bitmapscan"):  # a few rows are read faster without an index
            session.execute(text(f"SET LOCAL enable_{way} = off"))
    return " ".join(str(row) for row in session.connection().exec_driver_sql(explain + statement, given))


@pytest.fixture
def both(session: Session, cast: Cast, campaign: Campaign) -> list[int]:
    """Two campaigns: a ranking came late to the first, and a turn of the second was handed back twice."""
    first, second = session.merge(campaign), campaigns.create(session, "第二个")
    for each in (first, second):
        imports.add(session, each, [dialogue(f"{each.id}a")], source="t", actor_id=None)
    held = places.reserve_next(session, cast.li, first)
    assert held is not None
    places.reclaim_expired(session, first.id, utcnow() + timedelta(days=1))
    for user in (cast.wang, cast.chen):
        theirs = places.reserve_next(session, user, first)
        assert theirs is not None
        rankings.submit(session, theirs, Submission(f"{user.id}", ranked("A > B > C > D")))
    rankings.submit(session, held, Submission("late", ranked("D > C > B > A")))
    for user in (cast.li, cast.wang):
        theirs = places.reserve_next(session, user, second)
        assert theirs is not None
        places.cannot_judge(session, theirs, "乱码")
    session.flush()
    return [first.id, second.id]


def test_each_campaign_is_told_what_is_its_own(session: Session, both: list[int]) -> None:
    first, second = both
    found = attention.waiting_in(session, both)
    assert {each: (open_.late, open_.handed_back) for each, open_ in found.items()} == {first: (1, 0), second: (0, 1)}
    assert {each: attention.waiting(session, each) for each in both} == found
    assert attention.waiting(session, first, utcnow() + timedelta(days=8)).late == 0
    progress = campaigns.progress_of(session, both)
    assert {each: (of.rankings, of.rankings_today) for each, of in progress.items()} == {first: (3, 3), second: (0, 0)}
    assert {each: campaigns.progress(session, each) for each in both} == progress
    assert campaigns.progress(session, first, utcnow() + timedelta(days=2)).rankings_today == 0


@pytest.mark.parametrize(
    ("look", "index"),
    [
        (attention.waiting_in, "ix_rankings_late"),
        (attention.waiting_in, "ix_turns_handed_back"),
    ],
)
def test_what_is_few_is_found_by_its_index_in_one_statement_for_all_campaigns(
    session: Session, both: list[int], look: Callable[[Session, list[int]], object], index: str
) -> None:
    with asked(session) as seen:
        look(session, both)
    plans = [plan for plan in (plan_of(session, *each) for each in seen) if index in plan]
    assert len(plans) == 1
    assert "SCAN rankings" not in plans[0]


def test_rankings_of_the_last_day_are_counted_from_themselves_in_one_statement_for_all_campaigns(
    session: Session, both: list[int]
) -> None:
    with asked(session) as seen:
        campaigns.progress_of(session, both)
    [by_day] = [plan_of(session, *each) for each in seen if "created_at >" in each[0]]
    if session.get_bind().dialect.name == "postgresql":  # so few are found by any index; that they come first is seen
        assert by_day.index("on rankings") < by_day.index("on turns")
    else:
        assert by_day.index("ix_rankings_created") < by_day.index("turns")


def test_the_list_behind_turns_that_were_handed_back_is_read_by_their_index(session: Session, both: list[int]) -> None:
    with asked(session) as seen:
        [turn] = turns.listed(session, both[1], None, after=0, limit=9, behind=Behind(handed_back=OFTEN))
    assert turn.times_unjudgeable == 2
    assert OFTEN_HANDED_BACK in seen[0][0]  # a plan that is kept for any value could not use the index
    assert "ix_turns_handed_back" in plan_of(session, *seen[0])
    assert turns.listed(session, both[0], None, after=0, limit=9, behind=Behind(handed_back=OFTEN)) == []
