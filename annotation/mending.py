"""The one-key mend of a contradiction between an order and its fault marks."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from annotation.abilities import Ability, Contradiction, Fault
from annotation.ranking import Boundary, Ranking


def mend(ranking: Ranking, contradiction: Contradiction) -> Ranking:
    """The ranking with this contradiction taken out; a boundary whose neighbours change loses its ability.

    A marked response that stands too high, or in a tie, moves to a place of its own just below the other, and the mark
    becomes what decides there. Where the order is right already, only the deciding ability changes.
    """
    if contradiction.fault is Fault.MARK_MUST_DECIDE:
        return _decide_by(ranking, contradiction.lower, contradiction.ability)
    if contradiction.fault is Fault.UPPER_IS_MARKED:
        return _move_below(ranking, contradiction.upper, contradiction.lower, contradiction.ability)
    return _move_below(ranking, contradiction.lower, contradiction.upper, contradiction.ability)


def _decide_by(ranking: Ranking, lower: int, ability: Ability) -> Ranking:
    above = ranking.ranks()[lower] - 1
    boundaries = list(ranking.boundaries)
    boundaries[above] = replace(boundaries[above], ability=ability)
    return replace(ranking, boundaries=tuple(boundaries))


def _move_below(ranking: Ranking, moving: int, anchor: int, ability: Ability) -> Ranking:
    groups: list[tuple[int, ...]] = []
    for group in ranking.groups:
        groups.append(tuple(response for response in group if response != moving))
        if anchor in group:
            groups.append((moving,))
    kept = tuple(group for group in groups if group)
    known = dict(zip(pairwise(ranking.groups), ranking.boundaries, strict=True))
    boundaries = [known.get(neighbours, Boundary()) for neighbours in pairwise(kept)]
    boundaries[kept.index((moving,)) - 1] = Boundary(ability)
    return replace(ranking, groups=kept, boundaries=tuple(boundaries))
