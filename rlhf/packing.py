"""The token trie: sequences that begin alike, each token that they share once, packed up to a budget of tokens.

The responses of a turn share its prompt and the turns of a dialogue their history. Their tokens stand in depth-first
order, so that token q may attend to token k exactly if k <= q < ends[k], where k's subtree ends. Tries in a row are a
forest, of which the same holds: one vector is the whole mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Sequences = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Trie:
    """The N nodes of some sequences, one token each, in depth-first order.

    ids (N,) tokens; depths (N,) how many tokens stand before each in its sequences, which is its position; ends (N,)
    one behind the last node below each; parents (N,) the node before each, -1 for a first token. ``nodes`` has the
    nodes of each sequence, in the order in which the sequences were given.
    """

    ids: Indices
    depths: Indices
    ends: Indices
    parents: Indices
    nodes: tuple[Indices, ...]

    def __len__(self) -> int:
        """How many tokens there are to compute."""
        return len(self.ids)

    @cached_property
    def lasts(self) -> Indices:
        """(S,) the node of each sequence's last token."""
        return np.array([nodes[-1] for nodes in self.nodes], dtype=np.int64)


def trie_of(sequences: Sequences) -> Trie:
    """The trie of sequences of ids; raises ValueError for an empty one."""
    if not all(map(len, sequences)):
        raise ValueError("A sequence without tokens has no place in a trie.")
    total, longest = sum(map(len, sequences)), max(map(len, sequences), default=0)
    ids, depths, ends, parents = (np.empty(total, dtype=np.int64) for _ in range(4))
    path = np.empty(longest, dtype=np.int64)
    nodes: list[Indices] = [path] * len(sequences)
    before: Indices = path[:0]
    count = 0
    for i in sorted(range(len(sequences)), key=lambda i: tuple(sequences[i])):
        sequence = np.asarray(sequences[i], dtype=np.int64)
        shared = common_beginning(before, sequence)
        ends[path[shared : len(before)]] = count
        fresh = slice(count, count + len(sequence) - shared)
        ids[fresh], depths[fresh] = sequence[shared:], np.arange(shared, len(sequence))
        path[shared : len(sequence)] = np.arange(fresh.start, fresh.stop)
        nodes[i] = path[: len(sequence)].copy()
        parents[fresh] = np.concatenate(([-1], nodes[i]))[shared:-1]
        before, count = sequence, fresh.stop
    ends[path[: len(before)]] = count
    return Trie(ids[:count], depths[:count], ends[:count], parents[:count], tuple(nodes))


def forest(tries: Sequence[Trie]) -> Trie:
    """Tries one behind the other, as one; their sequences keep their order."""
    starts = np.cumsum([0, *map(len, tries)])[:-1]
    return Trie(
        np.concatenate([trie.ids for trie in tries]),
        np.concatenate([trie.depths for trie in tries]),
        np.concatenate([trie.ends + start for trie, start in zip(tries, starts, strict=True)]),
        np.concatenate(
            [np.where(trie.parents < 0, -1, trie.parents + start) for trie, start in zip(tries, starts, strict=True)]
        ),
        tuple(nodes + start for trie, start in zip(tries, starts, strict=True) for nodes in trie.nodes),
    )


def unshared(sequences: Sequences) -> Trie:
    """The sequences one behind the other, sharing nothing: what a trie is compared with."""
    return forest([trie_of([sequence]) for sequence in sequences])


def common_beginning(first: Indices, second: Indices) -> int:
    """How many tokens two sequences begin with alike."""
    length = min(len(first), len(second))
    different = first[:length] != second[:length]
    return int(different.argmax()) if different.any() else length


def split(turns: Sequence[Sequences], budget: int) -> list[range]:
    """The turns of a dialogue in consecutive parts of at most ``budget`` tokens, with the fewest tokens in all.

    They are cut where they share least. A turn stays whole, as its responses are compared with each other: one that
    exceeds the budget by itself is a part of its own.
    """
    size = _Sizes(turns)
    fewest: list[tuple[int, int]] = [(0, 0)]  # of the first j turns: tokens, and where the last part begins
    for j in range(1, len(turns) + 1):
        fitting = (i for i in range(j) if i == j - 1 or size.of(i, j) <= budget)
        fewest.append(min((fewest[i][0] + size.of(i, j), i) for i in fitting))
    parts: list[range] = []
    stop = len(turns)
    while stop:
        start = fewest[stop][1]
        parts.append(range(start, stop))
        stop = start
    return parts[::-1]


class _Sizes:
    """How many tokens the trie of some consecutive turns has, without building it."""

    def __init__(self, turns: Sequence[Sequences]) -> None:
        ordered = sorted((tuple(ids), number) for number, sequences in enumerate(turns) for ids in sequences)
        arrays = [np.asarray(ids, dtype=np.int64) for ids, _ in ordered]
        self._numbers = [number for _, number in ordered]
        self._lengths = list(map(len, arrays))
        self._shared = [0, *(common_beginning(one, other) for one, other in pairwise(arrays))]
        self._known: dict[tuple[int, int], int] = {}

    def of(self, start: int, stop: int) -> int:
        """Tokens of turns start to stop - 1: what two neighbours share is the least of what lies between them."""
        if (start, stop) not in self._known:
            total = shared = 0
            for number, length, with_last in zip(self._numbers, self._lengths, self._shared, strict=True):
                shared = min(shared, with_last)
                if start <= number < stop:
                    total += length - shared
                    shared = length
            self._known[start, stop] = total
        return self._known[start, stop]


def fill(sizes: Sequence[int], budget: int) -> list[list[int]]:
    """Which items go together so that each pack has at most ``budget`` tokens; one that is larger goes alone.

    First fit, the largest first: at most 11/9 of the fewest packs and one more (Johnson 1973).
    """
    packs: list[list[int]] = []
    left: list[int] = []
    for item in sorted(range(len(sizes)), key=lambda item: (-sizes[item], item)):
        place = next((p for p, room in enumerate(left) if sizes[item] <= room), None)
        if place is None:
            packs.append([item])
            left.append(budget - sizes[item])
        else:
            packs[place].append(item)
            left[place] -= sizes[item]
    return [sorted(pack) for pack in packs]
