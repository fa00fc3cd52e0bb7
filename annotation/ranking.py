"""A ranking: an ordered list of groups of responses, what decided between them, and the faults marked on each.

Responses are numbered from 0 in the order in which the turn holds them, and shown as letters: response 0 is A.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations
from typing import Any

from annotation.abilities import Ability, Marks

LETTERS = "ABCDE"
SMALLEST_K, LARGEST_K = 2, len(LETTERS)

Pair = tuple[int, int]
"""Two responses, the smaller number first."""


class BadRankingError(ValueError):
    """A ranking that cannot be: the message says what is wrong with it."""


class Relation(enum.StrEnum):
    """How the first of two responses stands to the second."""

    BETTER = ">"
    WORSE = "<"
    TIE = "="

    @property
    def mirrored(self) -> Relation:
        """The same relation read from the second response."""
        return {Relation.BETTER: Relation.WORSE, Relation.WORSE: Relation.BETTER}.get(self, self)


class Strength(enum.StrEnum):
    """How much better the upper group of a boundary is."""

    SLIGHT = "slight"
    CLEAR = "clear"


@dataclass(frozen=True)
class Boundary:
    """What stands between two neighbouring groups."""

    ability: Ability | None = None
    strength: Strength | None = None


def pairs_of(k: int) -> list[Pair]:
    """All C(k, 2) pairs of k responses."""
    return list(combinations(range(k), 2))


@dataclass(frozen=True)
class Ranking:
    """One judgement of the K responses of a turn, best group first.

    ``groups`` may be empty only where none is acceptable: that outcome comes with or without an order.
    Raises BadRankingError where a response is missing or named twice, or a boundary is one too many or too few.
    """

    groups: tuple[tuple[int, ...], ...]
    boundaries: tuple[Boundary, ...] = ()
    marks: Mapping[int, Marks] = field(default_factory=dict)
    none_acceptable: bool = False

    def __post_init__(self) -> None:
        named = sorted(response for group in self.groups for response in group)
        if not named and not self.none_acceptable:
            raise BadRankingError("A ranking without any order is possible only where none is acceptable.")
        if named != list(range(len(named))) or () in self.groups:
            raise BadRankingError(f"Every response stands in exactly one group, but the groups are {self.groups}.")
        if named and not SMALLEST_K <= len(named) <= LARGEST_K:
            raise BadRankingError(f"A ranking has {SMALLEST_K} to {LARGEST_K} responses, not {len(named)}.")
        boundaries = self.boundaries or tuple(Boundary() for _ in self.groups[1:])
        if len(boundaries) != max(len(self.groups) - 1, 0):
            raise BadRankingError(f"{len(self.groups)} groups do not have {len(boundaries)} boundaries between them.")
        object.__setattr__(self, "boundaries", boundaries)
        object.__setattr__(self, "groups", tuple(tuple(sorted(group)) for group in self.groups))
        object.__setattr__(self, "marks", {response: marks for response, marks in sorted(self.marks.items()) if marks})

    @property
    def k(self) -> int:
        """How many responses stand in the order; 0 where there is no order."""
        return sum(len(group) for group in self.groups)

    @property
    def has_order(self) -> bool:
        """Whether the responses were put in an order."""
        return bool(self.groups)

    @property
    def has_ties(self) -> bool:
        """Whether any two responses share a group."""
        return any(len(group) > 1 for group in self.groups)

    def marks_of(self, response: int) -> Marks:
        """The abilities in which the response was marked as faulty."""
        return self.marks.get(response, frozenset())

    def ranks(self) -> list[int]:
        """The rank vector: for each response the number of its group, 0 the best."""
        return list(_ranks(self.groups))

    def relations(self) -> dict[Pair, Relation]:
        """For each pair how its first response stands to its second; empty without an order."""
        return dict(_relations(self.groups))

    def deciding_ability(self, pair: Pair) -> Ability | None:
        """What decides between two responses: the most important ability on the boundaries between them.

        None in a tie and where a boundary between them names none.
        """
        low, high = self._boundaries_between(pair)
        named = [boundary.ability for boundary in self.boundaries[low:high]]
        present = [ability for ability in named if ability is not None]
        return min(present) if present and len(present) == len(named) else None

    def strength_of(self, pair: Pair) -> Strength | None:
        """How far two responses stand apart: clear over a clear boundary, slight where all between them are slight."""
        low, high = self._boundaries_between(pair)
        said = [boundary.strength for boundary in self.boundaries[low:high]]
        if Strength.CLEAR in said:
            return Strength.CLEAR
        return Strength.SLIGHT if said and None not in said else None

    def _boundaries_between(self, pair: Pair) -> tuple[int, int]:
        ranks = _ranks(self.groups)
        first, second = ranks[pair[0]], ranks[pair[1]]
        return (first, second) if first < second else (second, first)

    def to_json(self) -> dict[str, Any]:
        """The form in which a ranking is stored and exported."""
        return {
            "groups": [list(group) for group in self.groups],
            "boundaries": [{"ability": b.ability, "strength": b.strength} for b in self.boundaries],
            "marks": {str(response): sorted(marks) for response, marks in self.marks.items()},
            "none_acceptable": self.none_acceptable,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Ranking:
        """Reads what ``to_json`` wrote; raises BadRankingError, KeyError or ValueError for anything else."""
        return cls(
            groups=tuple(tuple(group) for group in data["groups"]),
            boundaries=tuple(
                Boundary(
                    Ability(b["ability"]) if b["ability"] else None,
                    Strength(b["strength"]) if b["strength"] else None,
                )
                for b in data["boundaries"]
            ),
            marks={int(r): frozenset(Ability(a) for a in marks) for r, marks in data["marks"].items()},
            none_acceptable=data["none_acceptable"],
        )


@cache
def _ranks(groups: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    """The rank vector of an order; there are 541 orders of five at most, so all of them are kept."""
    place = {response: number for number, group in enumerate(groups) for response in group}
    return tuple(place[response] for response in range(len(place)))


@cache
def _relations(groups: tuple[tuple[int, ...], ...]) -> tuple[tuple[Pair, Relation], ...]:
    ranks = _ranks(groups)
    return tuple((pair, _relation(ranks[pair[0]], ranks[pair[1]])) for pair in pairs_of(len(ranks)))


def _relation(first: int, second: int) -> Relation:
    if first == second:
        return Relation.TIE
    return Relation.BETTER if first < second else Relation.WORSE


def format_order(groups: tuple[tuple[int, ...], ...]) -> str:
    """The order in letters, such as ``D > A = B > C``."""
    return " > ".join(" = ".join(LETTERS[response] for response in group) for group in groups)


def weak_orders(k: int, *, ties: bool = True) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Every order of k responses: 3, 13, 75, 541 with ties for k = 2 to 5; k! without."""

    def place(rest: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], ...]]:
        if not rest:
            yield ()
        for size in range(1, len(rest) + 1 if ties else min(len(rest), 1) + 1):
            for group in combinations(rest, size):
                for tail in place(tuple(r for r in rest if r not in group)):
                    yield (group, *tail)

    return place(tuple(range(k)))
