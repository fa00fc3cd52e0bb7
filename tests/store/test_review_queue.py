"""What an adjudicator is given next, found without reading all that waits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event, select, text, update
from sqlalchemy.orm import Session

from annotation.review_tables import ReviewKind
from annotation.store import imports, places, rankings, review_queue
from annotation.store.rankings import Submission
from annotation.tables import Assignment, Campaign, SettledBy, Turn, TurnState
from tests.conftest import Cast
from tests.material import dialogue, ranked


@pytest.fixture
def contested(session: Session, cast: Cast, campaign: Campaign) -> list[int]:
    """Three turns that Li and Wang see differently: the later it was imported, the longer a turn waits."""
    names = ("d1", "d2", "d3")
    imports.add(session, campaign, [dialogue(name) for name in names], source="t", actor_id=None)
    for name in names:
        for user, order in ((cast.li, "A > B > C > D"), (cast.wang, "D > C > B > A")):
            held = places.reserve_next(session, user, campaign)
            assert held is not None
            rankings.submit(session, held, Submission(f"{user.id}-{name}", ranked(order)))
    found = session.scalars(select(Turn.id).order_by(Turn.id)).all()
    for i, turn_id in enumerate(found):
        for place in (1, 2):
            at = datetime(2026, 3, 2, 12 - i, place, tzinfo=UTC)
            held_by = (Assignment.turn_id == turn_id) & (Assignment.place == place)
            session.execute(update(Assignment).where(held_by).values(finished_at=at))
    return list(found)


def found(session: Session, cast: Cast, kind: ReviewKind = ReviewKind.CONTESTED) -> int | None:
    turn = review_queue._pick(session, cast.zhao, kind, again=False, skip_locked=True)
    return None if turn is None else turn.id


def test_the_most_important_ability_comes_first_and_what_names_none_last(
    session: Session, cast: Cast, contested: list[int]
) -> None:
    first, second, third = contested
    for turn_id, ability in ((first, None), (second, 9), (third, 2)):
        session.execute(update(Turn).where(Turn.id == turn_id).values(contested_ability=ability))
    order = []
    for _ in contested:
        turn_id = found(session, cast)
        order.append(turn_id)
        session.execute(update(Turn).where(Turn.id == turn_id).values(state=TurnState.WITHDRAWN))
    assert order == [third, second, first]
    assert found(session, cast) is None


def test_the_oldest_is_the_one_whose_second_ranking_came_first(
    session: Session, cast: Cast, campaign: Campaign, contested: list[int]
) -> None:
    waiting = review_queue.queue(session, cast.zhao)
    assert (waiting.contested, waiting.audits) == (3, 0)
    assert waiting.oldest == datetime(2026, 3, 2, 10, 2, tzinfo=UTC)
    assert review_queue.waits_since(session, Turn.campaign_id == campaign.id) == waiting.oldest
    assert review_queue.waits_since(session, Turn.campaign_id == campaign.id + 1) is None


def test_whoever_ranked_a_turn_does_not_count_it(session: Session, cast: Cast, contested: list[int]) -> None:
    both, third = (session.merge(user) for user in (cast.li, cast.chen))
    assert [review_queue.queue(session, user).contested for user in (both, third)] == [0, 3]
    assert review_queue.queue(session, both).oldest is None


@pytest.mark.parametrize(
    ("kind", "index"), [(ReviewKind.CONTESTED, "ix_turns_review"), (ReviewKind.AUDIT, "ix_turns_audit")]
)
def test_what_comes_next_is_read_in_the_order_of_an_index(
    session: Session, cast: Cast, contested: list[int], kind: ReviewKind, index: str
) -> None:
    if kind is ReviewKind.AUDIT:
        session.execute(
            update(Turn).values(
                state=TurnState.SETTLED, settled_by=SettledBy.AGREED, audit_drawn=Turn.id == contested[1]
            )
        )
    asked: list[tuple[str, Any]] = []
    engine = session.get_bind()
    event.listen(engine, "before_cursor_execute", lambda _c, _u, statement, given, *_: asked.append((statement, given)))
    assert found(session, cast, kind) == contested[0 if kind is ReviewKind.CONTESTED else 1]
    statement, given = next(each for each in asked if "LIMIT" in each[0])
    if engine.dialect.name == "postgresql":
        for way in ("seqscan", "sort", "bitmapscan"):  # three turns are read faster without an index
            session.execute(text(f"SET LOCAL enable_{way} = off"))
        explain = "EXPLAIN "
    else:
        explain = "EXPLAIN QUERY PLAN "
    plan = " ".join(str(row) for row in session.connection().exec_driver_sql(explain + statement, given))
    assert index in plan
    assert "Sort" not in plan
    assert "B-TREE" not in plan
