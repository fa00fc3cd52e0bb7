"""The nine abilities by which responses are judged, and the rule that the more important one decides.

Source: the Zhongjing paper (AAAI-24), table 2: nine abilities in three dimensions, in strictly descending priority.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from annotation.ranking import Ranking


class Dimension(enum.StrEnum):
    """One of the three dimensions of three abilities each."""

    SAFETY = "safety"
    PROFESSIONALISM = "professionalism"
    FLUENCY = "fluency"


class Ability(enum.IntEnum):
    """An ability; its number is its priority, 1 the most important, so ``min`` finds the one that decides."""

    ACCURACY = 1
    SAFETY = 2
    ETHICS = 3
    COMPREHENSION = 4
    CLARITY = 5
    INITIATIVE = 6
    COHERENCE = 7
    CONSISTENCY = 8
    WARM_TONE = 9

    @property
    def dimension(self) -> Dimension:
        """The dimension that the ability belongs to."""
        return tuple(Dimension)[(self.value - 1) // 3]

    @property
    def key(self) -> str:
        """The name as it stands in files and style sheets, such as ``warm_tone``."""
        return self.name.lower()


class Fault(enum.StrEnum):
    """How the marks on two responses contradict their order."""

    UPPER_IS_MARKED = "upper is marked"
    MARK_MUST_DECIDE = "mark must decide"
    TIED_BUT_MARKED_DIFFERENTLY = "tied but marked differently"


@dataclass(frozen=True)
class Contradiction:
    """Two responses whose order and fault marks do not fit together.

    ``ability`` is the most important one marked on exactly one of the two; ``decided_by`` is what the boundary names,
    None in a tie. In a tie ``lower`` is the response that carries the mark.
    """

    fault: Fault
    upper: int
    lower: int
    ability: Ability
    decided_by: Ability | None


Marks = frozenset[Ability]


def telling_mark(first: Marks, second: Marks) -> Ability | None:
    """The most important ability marked on exactly one of two responses, or None where the marks are equal."""
    return min(first ^ second, default=None)


def _across_boundary(upper: int, lower: int, decided_by: Ability, marks: dict[int, Marks]) -> Contradiction | None:
    ability = telling_mark(marks[upper], marks[lower])
    if ability is None:
        return None
    if ability in marks[upper] and ability <= decided_by:
        return Contradiction(Fault.UPPER_IS_MARKED, upper, lower, ability, decided_by)
    if ability in marks[lower] and ability < decided_by:
        return Contradiction(Fault.MARK_MUST_DECIDE, upper, lower, ability, decided_by)
    return None


def _within_group(group: Sequence[int], marks: dict[int, Marks]) -> Iterator[Contradiction]:
    for first, second in combinations(group, 2):
        ability = telling_mark(marks[first], marks[second])
        if ability is not None:
            clean, marked = (second, first) if ability in marks[first] else (first, second)
            yield Contradiction(Fault.TIED_BUT_MARKED_DIFFERENTLY, clean, marked, ability, None)


def contradictions(ranking: Ranking) -> list[Contradiction]:
    """Every contradiction between neighbours, from the top down; none there means none between any two.

    A boundary that names no ability yet is passed over: that is something missing, not a contradiction.
    """
    marks = {response: ranking.marks_of(response) for group in ranking.groups for response in group}
    found = [each for group in ranking.groups for each in _within_group(group, marks)]
    for (upper, lower), boundary in zip(pairwise(ranking.groups), ranking.boundaries, strict=True):
        if boundary.ability is None:
            continue
        for high, low in product(upper, lower):
            contradiction = _across_boundary(high, low, boundary.ability, marks)
            if contradiction is not None:
                found.append(contradiction)
    return found
