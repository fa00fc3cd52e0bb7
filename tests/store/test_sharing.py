"""Turns are shared evenly over all pairs of annotators, also when people join, pause or leave."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection
from itertools import combinations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from annotation.db import Database, utcnow
from annotation.people_tables import Role, User, UserState
from annotation.store import campaigns, imports, people, places
from annotation.tables import Assignment, AssignmentState, Campaign, PairCount, Turn, TurnOrder
from tests.conftest import Cast
from tests.material import dialogue

Pair = tuple[int, int]
TURNS = 1500


class Ward:
    """Six doctors at work in a campaign, all in one process."""

    def __init__(self, session: Session, campaign: Campaign, dialogues: int, turns: int = 1) -> None:
        self.session = session
        self.campaign = campaigns.get(session, campaign.id)
        self.rng = random.Random(1)
        names = [f"doctor{i}" for i in range(6)]
        self.doctors = [people.add(session, name, name, Role.ANNOTATOR, simulated=True) for name in names]
        self.team({user.id for user in self.doctors})
        rows = [dialogue(f"d{i}", turns) for i in range(dialogues)]
        imports.add(session, self.campaign, rows, source="t", actor_id=None)

    def team(self, user_ids: set[int]) -> None:
        """Who ranks from now on."""
        campaigns.set_members(self.session, self.campaign, user_ids, actor_id=None)

    def rank(self, user: User) -> Assignment | None:
        """Takes a turn and is done with it."""
        held = places.reserve_next(self.session, user, self.campaign)
        if held is not None:
            done = {"state": AssignmentState.SUBMITTED, "finished_at": utcnow()}
            self.session.execute(update(Assignment).where(Assignment.id == held.id).values(**done))
        return held

    def rounds(self, number: int, doctors: Collection[User]) -> None:
        """Everybody takes so many turns, in a new order each round."""
        for _ in range(number):
            for user in self.rng.sample(list(doctors), len(doctors)):
                self.rank(user)

    def go_on_in(self, session: Session) -> None:
        """Another transaction: PostgreSQL clears away what is out of date only after the one that made it so."""
        self.session, self.campaign = session, campaigns.get(session, self.campaign.id)
        self.doctors = [people.get(session, user.id) for user in self.doctors]

    def counts(self) -> dict[Pair, int]:
        """What the pairs share since the last change of membership, as it is kept."""
        rows = self.session.scalars(select(PairCount).execution_options(populate_existing=True))
        return {(row.low_user_id, row.high_user_id): row.turns for row in rows}

    def seen(self) -> Counter[Pair]:
        """What the pairs share in all, from the places themselves."""
        held: dict[int, list[int]] = {}
        for row in self.session.execute(select(Assignment.turn_id, Assignment.user_id).where(Assignment.place > 0)):
            held.setdefault(row.turn_id, []).append(row.user_id)
        return Counter((min(both), max(both)) for both in held.values() if len(both) == 2)


def spread(counts: dict[Pair, int], team: Collection[int]) -> int:
    found = [counts.get(pair, 0) for pair in combinations(sorted(team), 2)]
    return max(found) - min(found)


def test_six_annotators_share_1500_turns_evenly_over_all_fifteen_pairs(
    database: Database, cast: Cast, campaign: Campaign
) -> None:
    with database.writing() as session:
        ward = Ward(session, campaign, TURNS)
    for _ in range(TURNS // 3 + 1):
        with database.writing() as session:
            ward.go_on_in(session)
            ward.rounds(1, ward.doctors)
    with database.writing() as session:
        ward.go_on_in(session)
        assert all(ward.rank(user) is None for user in ward.doctors)
        counts = ward.counts()
        assert sum(counts.values()) == TURNS
        assert counts == dict(ward.seen())
        assert spread(counts, [user.id for user in ward.doctors]) <= 2


def test_each_stretch_is_even_when_people_join_pause_return_and_leave(
    session: Session, cast: Cast, campaign: Campaign
) -> None:
    ward = Ward(session, campaign, 400)
    a, b, c, d, e, f = ward.doctors
    stretches: list[list[User]] = [[a, b, c, d], [a, b, c, d, e, f], [a, b, c, e, f], [a, b, c, d, e, f], [b, c, d]]
    for before, team in zip([[], *stretches], stretches, strict=False):
        ward.team({user.id for user in team} | ({d.id} if len(team) == 5 else set()))
        if d in before and d not in team:
            people.set_state(session, d, UserState.PAUSED, actor_id=cast.sun.id)
        elif d not in before:
            people.set_state(session, d, UserState.ACTIVE, actor_id=cast.sun.id)
        assert ward.counts() == {}
        ward.rounds(17, team)
        assert sum(ward.counts().values()) > 15
        assert spread(ward.counts(), [user.id for user in team]) <= 2


def test_by_dialogue_a_doctor_goes_on_with_the_dialogue_and_every_dialogue_has_two_doctors(
    session: Session, cast: Cast, campaign: Campaign
) -> None:
    ward = Ward(session, campaign, 60, turns=4)
    ward.campaign.turn_order = TurnOrder.DIALOGUE
    taken: dict[int, list[Turn]] = {user.id: [] for user in ward.doctors}
    working = list(ward.doctors)
    while working:
        for user in ward.rng.sample(working, len(working)):
            held = ward.rank(user)
            if held is None:
                working.remove(user)
            else:
                taken[user.id].append(held.turn)
    for turns in taken.values():
        runs = [turns[i : i + 4] for i in range(0, len(turns), 4)]
        assert all(len({turn.dialogue_id for turn in run}) == 1 for run in runs)
        assert all([turn.number for turn in run] == [1, 2, 3, 4] for run in runs)
    assert set(session.scalars(select(Turn.places_taken))) == {2}
    shared = Counter(
        pair for pair in combinations(sorted(taken), 2)
        for _ in {t.dialogue_id for t in taken[pair[0]]} & {t.dialogue_id for t in taken[pair[1]]}
    )  # fmt: skip
    assert shared.total() == 60
    assert ward.counts() == dict(shared)
    assert spread(shared, list(taken)) <= 2
