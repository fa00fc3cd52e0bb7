"""The seeded campaign stands as the product itself would have left it."""

from __future__ import annotations

from collections import Counter

import pytest
from sqlalchemy import select

from annotation.agreement import agree
from annotation.db import Database
from annotation.formats.rows import NewTurn
from annotation.store import campaigns, people, places, rankings
from annotation.tables import Assignment, PairCount, Turn, TurnState
from bench.seed import Seeded, Size, seed

SIZE = Size(finished=60, untouched=15, annotators=4, agreed=0.5)


@pytest.fixture
def seeded(database: Database) -> Seeded:
    """A small one."""
    return seed(database, SIZE, 7)


def test_each_turn_counts_the_places_that_its_assignments_hold(database: Database, seeded: Seeded) -> None:
    with database.reading() as session:
        held = Counter(session.scalars(select(Assignment.turn_id).where(Assignment.place.is_not(None))))
        turns = session.scalars(select(Turn)).all()
        assert {turn.id: turn.places_taken for turn in turns} == {turn.id: held[turn.id] for turn in turns}
        assert Counter(turn.places_taken for turn in turns) == {2: 60, 0: 15}


def test_a_turn_is_settled_exactly_where_its_two_rankings_agree(database: Database, seeded: Seeded) -> None:
    with database.reading() as session:
        turns = session.scalars(select(Turn).where(Turn.places_taken == 2)).all()
        assert len(turns) == 60
        for turn in turns:
            first, second = rankings.counting(session, turn.id)
            alike = agree(rankings.read(first), rankings.read(second))
            assert turn.state is (TurnState.SETTLED if alike else TurnState.CONTESTED)
            assert (turn.contested_ability is None) == alike


def test_pairs_of_annotators_share_as_many_turns_as_are_counted(database: Database, seeded: Seeded) -> None:
    with database.reading() as session:
        counted = {(c.low_user_id, c.high_user_id): c.turns for c in session.scalars(select(PairCount))}
        by_turn: dict[int, list[int]] = {}
        for turn_id, user_id in session.execute(select(Assignment.turn_id, Assignment.user_id)):
            by_turn.setdefault(turn_id, []).append(user_id)
    assert counted == dict.fromkeys(counted, 10)  # 60 turns over the 6 pairs of 4
    assert Counter(tuple(sorted(pair)) for pair in by_turn.values()) == Counter(counted)


def test_work_goes_on_where_the_seed_ends(database: Database, seeded: Seeded) -> None:
    with database.writing() as session:
        user = people.get(session, seeded.annotators[0])
        assignment = places.reserve_next(session, user, campaigns.get(session, seeded.campaign_id))
        assert assignment is not None
        assert assignment.turn_id > SIZE.finished


def test_a_turn_has_the_fingerprint_that_its_import_would_give_it(database: Database, seeded: Seeded) -> None:
    with database.reading() as session:
        turn = session.get_one(Turn, 2)
        history = tuple((patient, doctor) for patient, doctor in turn.history)
        assert turn.fingerprint == NewTurn(turn.number, history, turn.message).fingerprint(turn.system)
