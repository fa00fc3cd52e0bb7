"""The rankings of a campaign as columns: packed rank vectors, so that every figure is arithmetic on whole arrays.

M counts rankings, N turns with two of them, K responses, P = C(K, 2) pairs in the order of ``pairs_of``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from annotation.ranking import pairs_of

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Small = npt.NDArray[np.int8]
Bools = npt.NDArray[np.bool_]
Times = npt.NDArray[np.datetime64]

NO_ORDER = 127
NO_ABILITY = 0


def pack(body: Mapping[str, Any], shown: Sequence[int], k: int) -> bytes:
    """A stored ranking as 3 K bytes: K ranks, K - 1 deciding abilities, the K responses as shown, the outcome."""
    order = pack_groups(body["groups"], k) + pack_boundaries(body["boundaries"], k)
    return order + bytes((*shown, body["none_acceptable"]))


def pack_groups(groups: Sequence[Sequence[int]], k: int) -> bytes:
    """The first K bytes of a packed ranking."""
    ranks = [NO_ORDER] * k
    for number, group in enumerate(groups):
        for response in group:
            ranks[response] = number
    return bytes(ranks)


def pack_boundaries(boundaries: Sequence[Mapping[str, Any]], k: int) -> bytes:
    """The K - 1 bytes after those."""
    named = [boundary["ability"] or NO_ABILITY for boundary in boundaries]
    return bytes(named).ljust(k - 1, bytes((NO_ABILITY,)))


@dataclass(frozen=True)
class Judgements:
    """One row a ranking that counts. ``turn`` and ``dialogue`` are positions, not ids; ``packed`` as ``pack`` says."""

    k: int
    packed: Small
    turn: Ints
    dialogue: Ints
    annotator: Ints
    guideline: Ints
    seconds: Floats
    at: Times

    @property
    def ranks(self) -> Small:
        """For each response the number of its group, 0 the best: (M, K); NO_ORDER without an order."""
        return self.packed[:, : self.k]

    @property
    def boundaries(self) -> Small:
        """The ability that decides below each group: (M, K - 1); NO_ABILITY where none is named."""
        return self.packed[:, self.k : 2 * self.k - 1]

    @property
    def shown(self) -> Small:
        """Which response stood at each position on the annotator's screen: (M, K)."""
        return self.packed[:, 2 * self.k - 1 : 3 * self.k - 1]

    @property
    def none_acceptable(self) -> Bools:
        """The outcome: (M,)."""
        return np.asarray(self.packed[:, -1] == 1)

    @property
    def ordered(self) -> Bools:
        """Whether there is an order: (M,)."""
        return np.asarray(self.packed[:, 0] != NO_ORDER)

    @cached_property
    def relations(self) -> Small:
        """How the first of each pair stands to the second: 1 better, 0 tied or without an order, -1 worse: (M, P)."""
        first, second = np.array(pairs_of(self.k)).T
        return np.asarray(np.sign(self.ranks[:, second] - self.ranks[:, first]), dtype=np.int8)

    @cached_property
    def deciding(self) -> Small:
        """What decides each pair: (M, P); NO_ABILITY in a tie and where a boundary between the two names none."""
        first, second = np.array(pairs_of(self.k)).T
        ranks = np.where(self.ordered[:, None], self.ranks, 0)
        one, other = ranks[:, first], ranks[:, second]
        return _between(self.boundaries)[
            np.arange(len(self.packed))[:, None], np.minimum(one, other), np.maximum(one, other)
        ]


def _between(boundaries: Small) -> Small:
    """The most important ability on the boundaries between two groups, for all groups: (M, K, K), the upper first."""
    rows, k = len(boundaries), boundaries.shape[1] + 1
    table = np.full((rows, k, k), NO_ABILITY, dtype=np.int8)
    for upper in range(k - 1):
        for lower in range(upper + 1, k):
            table[:, upper, lower] = boundaries[:, upper:lower].min(axis=1)  # NO_ABILITY is below every ability
    return table


@dataclass(frozen=True)
class Turns:
    """One row a turn with at least one ranking; ``source`` is 1 in, 0 out of distribution, -1 where not stated.

    ``reviewed`` says that a third expert decides or has decided it.
    """

    id: Ints
    department: npt.NDArray[np.str_]
    depth: Ints
    source: Small
    reviewed: Bools


@dataclass(frozen=True)
class Doubles:
    """One row a turn with two rankings: what agreement is computed on. Those of the first place come first."""

    turns: Turns
    judgements: Judgements
    rows: Ints

    def of(self, chosen: Ints) -> Doubles:
        """Only these rows."""
        return Doubles(self.turns, self.judgements, self.rows[chosen])

    @cached_property
    def turn(self) -> Ints:
        """The turn of each row, as a position in ``turns``: (N,)."""
        return self.judgements.turn[self.rows[:, 0]]

    @cached_property
    def dialogue(self) -> Ints:
        """The dialogue of each row: (N,)."""
        return self.judgements.dialogue[self.rows[:, 0]]

    @cached_property
    def annotators(self) -> Ints:
        """Who ranked it, the smaller id first: (N, 2)."""
        return np.sort(self.judgements.annotator[self.rows], axis=1)

    @cached_property
    def arrived(self) -> Times:
        """When the second ranking came: (N,)."""
        return np.asarray(self.judgements.at[self.rows].max(axis=1))

    @cached_property
    def ordered(self) -> Bools:
        """Whether both gave an order: (N,)."""
        return np.asarray(self.judgements.ordered[self.rows].all(axis=1))

    @cached_property
    def same_outcome(self) -> Bools:
        """Whether both say the same about "none acceptable": (N,)."""
        first, second = self.judgements.none_acceptable[self.rows].T
        return np.asarray(np.logical_not(np.logical_xor(first, second)))

    @cached_property
    def relations(self) -> Small:
        """The relation of each pair by the one and by the other: (N, 2, P)."""
        return self.judgements.relations[self.rows]

    @cached_property
    def deciding(self) -> Small:
        """What decides each pair for the one and for the other: (N, 2, P)."""
        return self.judgements.deciding[self.rows]


def doubles_of(turns: Turns, judgements: Judgements) -> Doubles:
    """Pairs the rankings of each turn; those of one turn stand one after the other, the first place first."""
    seconds = np.flatnonzero(judgements.turn[1:] == judgements.turn[:-1]) + 1
    return Doubles(turns, judgements, np.stack([seconds - 1, seconds], axis=1))
