"""Who ranks which turn next."""

from __future__ import annotations

import random
from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.assignment import Begin, Choice, Join, chance_of, choices

Pair = frozenset[int]


def test_an_annotator_joins_the_colleague_with_whom_they_share_least() -> None:
    assert choices([2, 3], {2: 5, 3: 4}, [2, 3], least=4) == [Join(3), Begin(), Join(2)]


def test_an_annotator_begins_a_fresh_turn_while_someone_else_is_behind() -> None:
    assert choices([2, 3], {2: 5, 3: 4}, [2], least=4) == [Begin(), Join(2)]


def test_two_who_share_more_than_another_pair_do_not_get_further_ahead() -> None:
    """1 shares 4 with both, but 2 and 3 share only 3 with each other: they are to meet first."""
    assert choices([2, 3], {2: 4, 3: 4}, [2, 3], least=3) == [Begin(), Join(2), Join(3)]


def test_turns_begun_by_someone_who_left_are_finished_first() -> None:
    assert choices([2], {2: 0}, [2, 9], least=0) == [Join(9), Join(2), Begin()]


@given(st.sets(st.integers(1, 8)), st.dictionaries(st.integers(1, 8), st.integers(0, 9)), st.sets(st.integers(1, 12)))
def test_a_choice_is_made_of_each_who_waits_and_of_something_fresh_exactly_once(
    colleagues: set[int], shared: dict[int, int], waiting: set[int]
) -> None:
    found = choices(colleagues, shared, waiting, least=min(shared.values(), default=0))
    assert sorted(map(str, found)) == sorted(map(str, [Begin(), *(Join(each) for each in waiting)]))


def test_the_most_informative_of_ten_is_drawn_with_its_own_chance_and_a_tenth_of_the_random_share() -> None:
    assert chance_of(True, 10, 0.2) == pytest.approx(0.82)
    assert chance_of(False, 10, 0.2) == pytest.approx(0.02)


@given(st.integers(1, 500), st.floats(0, 1))
def test_the_chances_of_all_fresh_turns_add_up_to_one(eligible: int, share: float) -> None:
    total = chance_of(True, eligible, share) + (eligible - 1) * chance_of(False, eligible, share)
    assert total == pytest.approx(1)


class Ward:
    """Annotators who come, go and work at a pace of their own; what each pair came to share in this stretch."""

    def __init__(self, annotators: int, turns: int, seed: int) -> None:
        self.rng = random.Random(seed)
        self.team = set(range(annotators))
        self.fresh = turns
        self.waiting: Counter[int] = Counter()
        self.shared: Counter[Pair] = Counter()
        self.joined = 0

    def change(self, team: set[int]) -> None:
        """Somebody came or went: a new stretch begins, what was begun stays."""
        self.team, self.shared = team, Counter()

    def spread(self) -> int:
        """How much more the pair shares that shares most than the one that shares least."""
        counts = [self.shared[frozenset(pair)] for pair in combinations(sorted(self.team), 2)]
        return max(counts) - min(counts)

    def work(self, me: int) -> bool:
        """One turn of one annotator; says whether there was one."""
        others = self.team - {me}
        pairs = combinations(sorted(self.team), 2)
        found = choices(
            others,
            {other: self.shared[frozenset((me, other))] for other in others},
            [other for other, turns in self.waiting.items() if turns and other != me],
            least=min(self.shared[frozenset(pair)] for pair in pairs),
        )
        return any(self._do(me, choice) for choice in found)

    def _do(self, me: int, choice: Choice) -> bool:
        if isinstance(choice, Begin):
            if self.fresh:
                self.fresh -= 1
                self.waiting[me] += 1
                return True
            return False
        self.waiting[choice.colleague] -= 1
        self.joined += 1
        if choice.colleague in self.team:
            self.shared[frozenset((me, choice.colleague))] += 1
        return True


def test_six_annotators_of_equal_pace_share_1500_turns_evenly_over_all_fifteen_pairs() -> None:
    for seed in range(3):
        ward = Ward(6, 1500, seed)
        working = set(ward.team)
        while working:
            working -= {me for me in ward.rng.sample(sorted(working), len(working)) if not ward.work(me)}
        assert ward.joined == ward.shared.total() == 1500
        assert ward.spread() <= 2


@given(st.lists(st.integers(1, 5), min_size=3, max_size=7), st.integers(0, 1000))
def test_no_pair_gets_more_than_one_ahead_whatever_the_paces_while_anything_is_fresh(
    paces: list[int], seed: int
) -> None:
    ward = Ward(len(paces), 400, seed)
    while ward.fresh:
        assert ward.work(ward.rng.choices(range(len(paces)), paces)[0])
        assert ward.spread() <= 1


@given(st.lists(st.sets(st.integers(0, 7), min_size=3), min_size=2, max_size=5), st.integers(0, 1000))
def test_each_stretch_between_changes_of_membership_is_even_by_itself(teams: list[set[int]], seed: int) -> None:
    ward = Ward(6, 2000, seed)
    for team in teams:
        ward.change(team)
        for _ in range(120):
            ward.work(ward.rng.choice(sorted(team)))
            assert ward.spread() <= 1
