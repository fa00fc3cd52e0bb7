"""Who ranks which turn next."""

import random
from collections import Counter
from itertools import combinations

from annotation.assignment import Begin, Join, choices


def test_an_annotator_joins_the_colleague_with_whom_they_share_least() -> None:
    assert choices([2, 3], {2: 5, 3: 4}, [2, 3], fresh=True) == [Join(3), Begin(), Join(2)]


def test_an_annotator_begins_a_fresh_turn_while_someone_else_is_behind() -> None:
    assert choices([2, 3], {2: 5, 3: 4}, [2], fresh=True)[0] == Begin()


def test_rather_than_nothing_an_annotator_joins_whoever_waits() -> None:
    assert choices([2, 3], {2: 5, 3: 4}, [2], fresh=False) == [Join(2)]


def test_turns_begun_by_someone_who_left_are_finished_first() -> None:
    assert choices([2], {2: 0}, [2, 9], fresh=True)[0] == Join(9)


def test_nothing_is_left_only_where_nobody_waits_and_nothing_is_fresh() -> None:
    assert choices([2, 3], {}, [], fresh=False) == []


def simulate(annotators: int, turns: int, seed: int) -> Counter[frozenset[int]]:
    """Annotators of equal pace, in a new order each round, until nothing is left; counts the turns of each pair."""
    rng = random.Random(seed)
    shared: Counter[frozenset[int]] = Counter()
    waiting = Counter(dict.fromkeys(range(annotators), 0))
    working = set(range(annotators))
    while working:
        for me in rng.sample(sorted(working), len(working)):
            others = [a for a in range(annotators) if a != me]
            found = choices(
                others,
                {a: shared[frozenset((me, a))] for a in others},
                [a for a in others if waiting[a]],
                fresh=turns > 0,
            )
            if not found:
                working.remove(me)
            elif isinstance(found[0], Join):
                waiting[found[0].colleague] -= 1
                shared[frozenset((me, found[0].colleague))] += 1
            else:
                turns -= 1
                waiting[me] += 1
    assert waiting.total() == 0
    return shared


def test_six_annotators_of_equal_pace_share_1500_turns_evenly_over_all_fifteen_pairs() -> None:
    for seed in range(3):
        shared = simulate(6, 1500, seed)
        counts = [shared[frozenset(pair)] for pair in combinations(range(6), 2)]
        assert sum(counts) == 1500
        assert max(counts) - min(counts) <= 2
