"""Pictures drawn as numbers that templates turn into SVG."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from annotation.adjudication import Case
from annotation.ranking import Pair, Ranking

ROW, TOP, LEFT, RIGHT, WIDTH = 44, 46, 70, 250, 320


@dataclass(frozen=True)
class Line:
    """One response from its place on the left to its place on the right.

    ``quiet`` where nothing about it is contested, ``calm`` where nothing is open any more, ``asked`` where it is in
    question at this moment.
    """

    letter: str
    left_y: int
    right_y: int
    quiet: bool
    calm: bool = False
    asked: bool = False


@dataclass(frozen=True)
class TwoOrders:
    """Two orders side by side, a line a response; places that are tied share a box."""

    lines: list[Line]
    height: int
    left_ties: list[tuple[int, int]]
    right_ties: list[tuple[int, int]]
    left_x: int = LEFT
    right_x: int = RIGHT
    width: int = WIDTH


def two_orders(
    sides: Sequence[Ranking],
    letters: Mapping[int, str],
    case: Case,
    still_open: Collection[Pair] | None = None,
    asked: Pair | None = None,
) -> TwoOrders | None:
    """The picture of two rankings; None where one has no order. Unless said, all contested pairs are open."""
    if not all(side.has_order for side in sides):
        return None
    first, second = sides
    (left, left_ties), (right, right_ties) = _heights(first, second, letters), _heights(second, first, letters)
    contested = {response for pair in case.contested for response in pair}
    opened = contested if still_open is None else {response for pair in still_open for response in pair}
    lines = [
        Line(
            letters[r], left[r], right[r], r not in contested, r in contested - opened, asked is not None and r in asked
        )
        for r in sorted(left, key=lambda r: letters[r])
    ]
    return TwoOrders(lines, TOP + ROW * case.k, left_ties, right_ties)


def _heights(side: Ranking, other: Ranking, letters: Mapping[int, str]) -> tuple[dict[int, int], list[tuple[int, int]]]:
    """The height of each response, and for each tie where its box begins and how high it is.

    Those tied stand as the other side has them, so that only opposite opinions cross.
    """
    theirs = other.ranks()
    heights: dict[int, int] = {}
    ties = []
    for group in side.groups:
        first = TOP + ROW * len(heights)
        for response in sorted(group, key=lambda r: (theirs[r], letters[r])):
            heights[response] = TOP + ROW * len(heights)
        if len(group) > 1:
            ties.append((first - ROW // 2 + 5, ROW * len(group) - 10))
    return heights, ties
