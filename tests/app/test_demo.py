"""The demonstration: a sample worth ranking, and experts who honestly disagree."""

from __future__ import annotations

from itertools import combinations

from sqlalchemy import select

from annotation.db import Database
from annotation.formats.reading import read_file
from annotation.people_tables import User
from annotation.store import campaigns
from annotation.tables import TurnState
from app.demo import campaign as sample
from app.demo.campaign import DIALOGUES, LEFT_CONTESTED
from app.demo.experts import ANNOTATORS, known_faults
from app.demo.people import VISITORS

READING = read_file(DIALOGUES.read_bytes(), k=4)


def quietly(what: str, done: int, of: int, detail: str = "") -> None:
    """Watches without a word."""


def test_the_sample_is_sixty_dialogues_over_fourteen_departments_mostly_of_several_turns() -> None:
    assert READING.problems == []
    asked = [each for each in READING.dialogues if not each.turns[0].safety]
    assert len(asked) >= 60
    assert len({each.department for each in asked}) == 14
    assert sum(len(each.turns) > 1 for each in asked) > len(asked) / 2
    assert [each for each in READING.dialogues if each.turns[0].safety]


def test_the_four_responses_of_a_turn_differ_and_their_authors_say_in_what() -> None:
    for dialogue in READING.dialogues:
        for turn in dialogue.turns:
            assert len({response.text for response in turn.responses}) == 4
            faults = known_faults()[dialogue.external_id][turn.number - 1]
            assert any(first != second for first, second in combinations(faults, 2))


def test_experts_mostly_agree_and_honestly_disagree() -> None:
    """Of the relations between two responses, each two of the six agree on well over half, and never on all."""
    shares = []
    for first, second in combinations(ANNOTATORS, 2):
        same = [
            relation == second.rank(f"{name}/{number}", faults).relations()[pair]
            for name, turns in known_faults().items()
            for number, faults in enumerate(turns, start=1)
            for pair, relation in first.rank(f"{name}/{number}", faults).relations().items()
        ]
        shares.append(sum(same) / len(same))
    assert min(shares) > 0.6 and max(shares) < 0.9


def test_the_walk_leaves_turns_to_rank_and_contested_ones_and_is_done_once(database: Database) -> None:
    campaign_id = sample.prepare(database)
    sample.rank(database, campaign_id, quietly)
    sample.adjudicate(database, campaign_id, quietly)
    before = counts(database, campaign_id)
    assert before[TurnState.CONTESTED] == LEFT_CONTESTED
    assert before[TurnState.ONE_RANKING] >= 8
    assert before[TurnState.OPEN] >= 10
    assert before[TurnState.SETTLED] >= 80
    assert sample.prepare(database) == campaign_id
    sample.rank(database, campaign_id, quietly)
    sample.adjudicate(database, campaign_id, quietly)
    assert counts(database, campaign_id) == before


def counts(database: Database, campaign_id: int) -> dict[TurnState, int]:
    with database.reading() as session:
        progress = campaigns.progress(session, campaign_id)
        return {state: progress.count(state) for state in TurnState}


def test_whoever_is_simulated_says_so(database: Database) -> None:
    sample.prepare(database)
    with database.reading() as session:
        people = session.scalars(select(User)).all()
    simulated = {each.login for each in people} - {each.login for each in VISITORS}
    assert {each.login for each in people if each.simulated} == simulated
    assert len(simulated) == len(ANNOTATORS) + 1
