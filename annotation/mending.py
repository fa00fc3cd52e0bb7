"""The one-key mend of contradictions between an order and its fault marks."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from annotation.abilities import Ability, Contradiction, Fault, contradictions
from annotation.ranking import Boundary, Ranking


def mend(ranking: Ranking, contradiction: Contradiction) -> Ranking:
    """The ranking with this contradiction taken out; a boundary whose neighbours change loses its ability.

    A marked response that stands too high, or in a tie, moves to a place of its own below the other, and the mark
    becomes what decides there. Where the order is right already, only the deciding ability changes.
    """
    if contradiction.fault is Fault.MARK_MUST_DECIDE:
        return _decide_by(ranking, contradiction.lower, contradiction.ability)
    if contradiction.fault is Fault.UPPER_IS_MARKED:
        return _move_below(ranking, contradiction.upper, contradiction.lower, contradiction.ability)
    return _move_below(ranking, contradiction.lower, contradiction.upper, contradiction.ability)


def mend_all(ranking: Ranking) -> Ranking:
    """The ranking with every contradiction taken out, one after the other from the top down.

    It comes to an end: whatever moves, moves below something that does not carry its mark, and stays below it.
    """
    while found := contradictions(ranking):
        ranking = mend(ranking, found[0])
    return ranking


def _decide_by(ranking: Ranking, lower: int, ability: Ability) -> Ranking:
    above = ranking.ranks()[lower] - 1
    boundaries = list(ranking.boundaries)
    boundaries[above] = replace(boundaries[above], ability=ability)
    return replace(ranking, boundaries=tuple(boundaries))


def _move_below(ranking: Ranking, moving: int, anchor: int, ability: Ability) -> Ranking:
    """Puts a marked response below another by the marked ability, and below what that one surpasses by less.

    Where the anchor is above the next group by something less important, the two are equal in the marked ability, so
    the mark decides there too. Where it is above by something more important, the moved one is as well.
    """
    apart = [tuple(response for response in group if response != moving) for group in ranking.groups]
    rest = [group for group in apart if group]
    known = dict(zip(pairwise(ranking.groups), ranking.boundaries, strict=True))
    below = [known.get(neighbours, Boundary()) for neighbours in pairwise(rest)]
    at = next(number for number, group in enumerate(rest) if anchor in group)
    while at < len(below) and _sinks(ranking, ability, below[at], rest[at + 1]):
        at += 1
    groups = (*rest[: at + 1], (moving,), *rest[at + 1 :])
    boundaries = [*below[:at], Boundary(ability)]
    if at < len(below):
        passed = below[at].ability
        boundaries += [below[at] if passed is not None and passed < ability else Boundary(), *below[at + 1 :]]
    return replace(ranking, groups=groups, boundaries=tuple(boundaries))


def _sinks(ranking: Ranking, ability: Ability, boundary: Boundary, group: tuple[int, ...]) -> bool:
    unmarked = all(ability not in ranking.marks_of(response) for response in group)
    return boundary.ability is not None and ability <= boundary.ability and unmarked
