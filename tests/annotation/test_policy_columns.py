"""A policy on columns says of every turn what the rules say of its two rankings."""

from __future__ import annotations

import random
from itertools import product

import pytest

from annotation import policy_columns, review_policy
from annotation.abilities import Ability
from annotation.agreement import agree
from annotation.ranking import Boundary, Ranking, weak_orders
from annotation.review_policy import Policy, ReviewPolicy
from tests.annotation.columns import Double, doubles

POLICIES = [
    Policy(),
    *(Policy(ReviewPolicy.BEYOND_DISTANCE, distance) for distance in (0, 1, 3, 10)),
    Policy(ReviewPolicy.SAFETY_DECIDES),
]


def every_case() -> list[Double]:
    """All 75 x 75 pairs of orders, and all that can be with and without an order where none is acceptable."""
    rng = random.Random(0)

    def judged(groups: tuple[tuple[int, ...], ...], *, none: bool = False) -> Ranking:
        named = (rng.choice([None, *Ability]) for _ in groups[1:])
        return Ranking(groups, tuple(Boundary(each) for each in named), none_acceptable=none)

    orders = list(weak_orders(4))
    both = [(judged(one), judged(other)) for one, other in product(orders, orders)]
    some = [(), *rng.sample(orders, 12)]
    outcomes = [
        (judged(one, none=first or not one), judged(other, none=second or not other))
        for one, other, first, second in product(some, some, (True, False), (True, False))
    ]
    return [Double(first, second) for first, second in both + outcomes]


CASES = every_case()
COLUMNS = doubles(CASES)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: f"{policy.kind} {policy.distance}")
def test_every_pair_of_orders_is_reviewed_as_the_rules_say(policy: Policy) -> None:
    asked = policy_columns.pairs_to_ask(policy, COLUMNS)
    reviewed = policy_columns.needs_review(policy, COLUMNS)
    abilities = policy_columns.most_important_ability(policy, COLUMNS)
    questions = policy_columns.expected_questions(policy, COLUMNS)
    for row, case in enumerate(CASES):
        both = case.first, case.second
        pairs = review_policy.pairs_to_ask(policy, *both)
        assert asked[row].sum() == len(pairs), both
        assert reviewed[row] == review_policy.needs_review(policy, *both), both
        assert (abilities[row] or None) == review_policy.most_important_ability(pairs, *both), both
        assert questions[row] == pytest.approx(review_policy.expected_questions(policy, *both)), both


def test_what_is_wholly_agreed_is_alike_in_outcome_and_every_relation() -> None:
    found = policy_columns.wholly_agreed(COLUMNS)
    assert found.tolist() == [agree(case.first, case.second) for case in CASES]
    assert 75 < found.sum() < 200


def test_of_no_turns_there_is_nothing_to_say() -> None:
    nothing = doubles([])
    assert [len(policy_columns.expected_questions(policy, nothing)) for policy in POLICIES] == [0] * len(POLICIES)
    assert len(policy_columns.most_important_ability(Policy(), nothing)) == 0
