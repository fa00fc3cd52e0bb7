"""The token trie: every shared token once, every sequence whole, and a mask that is one vector."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf.packing import Trie, fill, forest, split, trie_of, unshared

IDS = st.lists(st.integers(1, 3), min_size=1, max_size=8)
SOME = st.lists(IDS, min_size=1, max_size=8)
TURNS = st.lists(st.lists(IDS, min_size=1, max_size=3), min_size=1, max_size=5)


def test_two_responses_share_their_prompt() -> None:
    """Prompt 7 8, responses 5 9 and 6 9: six tokens instead of eight."""
    trie = trie_of([[7, 8, 5, 9], [7, 8, 6, 9]])
    assert trie.ids.tolist() == [7, 8, 5, 9, 6, 9]
    assert trie.depths.tolist() == [0, 1, 2, 3, 2, 3]
    assert trie.ends.tolist() == [6, 6, 4, 4, 6, 6]
    assert trie.parents.tolist() == [-1, 0, 1, 2, 1, 4]
    assert [nodes.tolist() for nodes in trie.nodes] == [[0, 1, 2, 3], [0, 1, 4, 5]]
    assert trie.lasts.tolist() == [3, 5]


def test_a_sequence_that_begins_another_ends_within_it() -> None:
    trie = trie_of([[1, 2, 3], [1, 2]])
    assert (trie.ids.tolist(), trie.ends.tolist(), trie.lasts.tolist()) == ([1, 2, 3], [3, 3, 3], [2, 1])


def test_the_same_sequence_twice_is_one() -> None:
    assert trie_of([[1, 2], [1, 2]]).lasts.tolist() == [1, 1]


def test_a_forest_is_tries_that_see_nothing_of_each_other() -> None:
    both = forest([trie_of([[1, 2], [1, 3]]), trie_of([[1, 2]])])
    assert both.ids.tolist() == [1, 2, 3, 1, 2]
    assert both.ends.tolist() == [3, 2, 3, 5, 5]
    assert both.parents.tolist() == [-1, 0, 0, -1, 3]
    assert both.lasts.tolist() == [1, 2, 4]


def test_an_empty_sequence_is_refused() -> None:
    with pytest.raises(ValueError, match="without tokens"):
        trie_of([[1], []])


@given(SOME)
@settings(deadline=None)
def test_a_trie_has_a_token_for_each_beginning_and_each_token_sees_what_stands_before_it(
    sequences: list[list[int]],
) -> None:
    trie = trie_of(sequences)
    beginnings = {tuple(ids[:length]) for ids in sequences for length in range(1, len(ids) + 1)}
    assert len(trie) == len(beginnings)
    for ids, nodes in zip(sequences, trie.nodes, strict=True):
        assert trie.ids[nodes].tolist() == ids
        for place, node in enumerate(nodes):
            assert seen_by(trie, node) == nodes[: place + 1].tolist()


@given(SOME)
@settings(deadline=None)
def test_parents_lead_to_the_beginning(sequences: list[list[int]]) -> None:
    trie = forest([trie_of(sequences), trie_of(sequences)])
    for nodes in trie.nodes:
        assert trie.parents[nodes].tolist() == [-1, *nodes[:-1].tolist()]
        assert trie.depths[nodes].tolist() == list(range(len(nodes)))


def test_without_sharing_every_sequence_stands_by_itself() -> None:
    apart = unshared([[1, 2], [1, 2]])
    assert (apart.ids.tolist(), apart.ends.tolist(), apart.lasts.tolist()) == ([1, 2, 1, 2], [2, 2, 4, 4], [1, 3])


def test_a_dialogue_is_cut_where_its_turns_share_least() -> None:
    """The second and third turn share five tokens, the first shares one with both: a part holds at most nine."""
    first, second, third = [[1, 2, 2]], [[1, 3, 3, 3, 3, 4]], [[1, 3, 3, 3, 3, 5, 5]]
    assert split([first, second, third], 9) == [range(1), range(1, 3)]
    assert split([first, second, third], 10) == [range(3)]


def test_a_turn_beyond_the_budget_stays_whole() -> None:
    assert split([[[1] * 5], [[2] * 20, [3] * 20], [[4]]], 10) == [range(1), range(1, 2), range(2, 3)]


@given(TURNS, st.integers(1, 30))
@settings(deadline=None)
def test_no_other_cut_of_a_dialogue_has_fewer_tokens(turns: list[list[list[int]]], budget: int) -> None:
    """Against every cut there is."""

    def cost(parts: list[range]) -> int | None:
        sizes = [len(trie_of([ids for turn in part for ids in turns[turn]])) for part in parts]
        fits = all(size <= budget or len(part) == 1 for size, part in zip(sizes, parts, strict=True))
        return sum(sizes) if fits else None

    cuts = ([at for at in range(1, len(turns)) if chosen >> at & 1] for chosen in range(0, 2 ** len(turns), 2))
    bounds = ([0, *cut, len(turns)] for cut in cuts)
    costs = [cost([range(a, b) for a, b in pairwise(bound)]) for bound in bounds]
    assert cost(split(turns, budget)) == min(each for each in costs if each is not None)


def test_packs_are_filled_with_the_largest_first() -> None:
    assert fill([3, 9, 6, 1, 12], 10) == [[4], [1, 3], [0, 2]]


@given(st.lists(st.integers(1, 20), max_size=30))
@settings(deadline=None)
def test_every_item_is_in_one_pack_and_only_what_is_larger_exceeds_the_budget(sizes: list[int]) -> None:
    packs = fill(sizes, 12)
    assert sorted(item for pack in packs for item in pack) == list(range(len(sizes)))
    assert all(sum(sizes[item] for item in pack) <= 12 or len(pack) == 1 for pack in packs)


def seen_by(trie: Trie, node: int) -> list[int]:
    """The nodes that one attends to."""
    nodes = np.arange(len(trie))
    return nodes[(nodes <= node) & (node < trie.ends)].tolist()
