"""What the rankings of a calibration round say side by side, ability by ability. Nothing here knows a database."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import combinations

from annotation.abilities import Ability
from annotation.comparison import Comparison
from annotation.ranking import Ranking


@dataclass(frozen=True)
class Said:
    """What one ranking says of one ability: between which groups it decides, and which responses lack it."""

    decides: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    marked: tuple[int, ...]


def said_of(ranking: Ranking, ability: Ability) -> Said:
    """The neighbouring groups between which the ability was named, the upper one first, and the fault marks."""
    neighbours = zip(ranking.groups, ranking.groups[1:], ranking.boundaries, strict=False)
    decides = tuple((upper, lower) for upper, lower, boundary in neighbours if boundary.ability is ability)
    return Said(decides, tuple(response for response, marks in ranking.marks.items() if ability in marks))


def spoken_of(rankings: Mapping[int, Ranking]) -> list[Ability]:
    """The abilities that any of the rankings names or marks, the most important first."""
    nothing = Said((), ())
    return [ability for ability in Ability if any(said_of(each, ability) != nothing for each in rankings.values())]


def each_two(dialogue: Hashable, rankings: Mapping[int, Ranking]) -> list[Comparison]:
    """Each two of the people who ranked a turn, as the figures of agreement take them."""
    return [Comparison(dialogue, rankings[one], rankings[other]) for one, other in combinations(sorted(rankings), 2)]
