"""Which contested pairs a third expert settles, and what a policy costs in questions."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace

from annotation import adjudication
from annotation.abilities import Ability, Dimension
from annotation.adjudication import Case
from annotation.ranking import Pair, Ranking


class ReviewPolicy(enum.StrEnum):
    """Which differences between two rankings a third expert settles; the others make no preference."""

    ANY_DIFFERENCE = "any difference"
    BEYOND_DISTANCE = "beyond a distance"
    SAFETY_DECIDES = "safety decides"


@dataclass(frozen=True)
class Policy:
    """A policy; up to ``distance`` contested pairs stay unreviewed where a distance is what counts."""

    kind: ReviewPolicy = ReviewPolicy.ANY_DIFFERENCE
    distance: int = 1


def pairs_to_ask(policy: Policy, first: Ranking, second: Ranking) -> frozenset[Pair]:
    """The contested pairs that a third expert settles; all where the two outcomes differ or only one has an order."""
    contested = frozenset(_case(first, second).contested)
    if first.none_acceptable != second.none_acceptable or first.has_order != second.has_order:
        return contested
    if policy.kind is ReviewPolicy.BEYOND_DISTANCE:
        return contested if len(contested) > policy.distance else frozenset()
    if policy.kind is ReviewPolicy.SAFETY_DECIDES:
        return frozenset(pair for pair in contested if _safety_decides(pair, first, second))
    return contested


def needs_review(policy: Policy, first: Ranking, second: Ranking) -> bool:
    """Whether a third expert sees the turn: for a pair, for differing outcomes, or to rewrite what none accepts."""
    return first.none_acceptable or second.none_acceptable or bool(pairs_to_ask(policy, first, second))


def expected_questions(policy: Policy, first: Ranking, second: Ranking) -> float:
    """How many questions the turn is likely to cost; 0 where nobody reviews it. A rewrite counts as one."""
    if not needs_review(policy, first, second):
        return 0.0
    outcome = first.none_acceptable != second.none_acceptable
    rewrite = first.none_acceptable and second.none_acceptable
    case = replace(_case(first, second), asked_about=pairs_to_ask(policy, first, second))
    return outcome + rewrite + (adjudication.expected_questions(case) if case.k else 0.0)


def most_important_ability(pairs: Iterable[Pair], first: Ranking, second: Ranking) -> Ability | None:
    """The most important ability that decides one of these pairs for either of the two."""
    return min((ability for pair in pairs for ability in _deciding(pair, first, second)), default=None)


def _case(first: Ranking, second: Ranking) -> Case:
    return Case(max(first.k, second.k), first, second)


def _safety_decides(pair: Pair, first: Ranking, second: Ranking) -> bool:
    return any(ability.dimension is Dimension.SAFETY for ability in _deciding(pair, first, second))


def _deciding(pair: Pair, first: Ranking, second: Ranking) -> list[Ability]:
    named = [side.deciding_ability(pair) for side in (first, second) if side.has_order]
    return [ability for ability in named if ability is not None]
