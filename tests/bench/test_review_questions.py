"""The questions of a contested turn, against an optimum that is computed in another way."""

from __future__ import annotations

import random

import pytest

from annotation.adjudication import Answer, Case, next_question, settle
from annotation.ranking import Ranking, Relation, pairs_of, weak_orders
from bench.review_questions import (
    AGREEMENTS,
    ORDERS,
    dispersion_for,
    expected,
    extensions,
    fewest_questions,
    pair_agreement,
    simulated,
)


@pytest.mark.parametrize("agreement", AGREEMENTS)
def test_the_dispersion_gives_the_agreement_it_was_solved_for(agreement: float) -> None:
    assert pair_agreement(dispersion_for(agreement)) == pytest.approx(agreement, abs=1e-9)


def test_without_dispersion_everybody_agrees_and_without_order_half_of_the_pairs_do() -> None:
    assert pair_agreement(0) == 1
    assert pair_agreement(1) == pytest.approx(0.5)


def test_sorting_four_afresh_takes_four_and_two_thirds_questions() -> None:
    # 24 orders, at best 8 of them found after 4 and 16 after 5 comparisons: (32 + 80) / 24
    assert fewest_questions(dict.fromkeys(ORDERS, 1.0)) == pytest.approx(14 / 3)


def test_two_orders_of_three_that_are_likely_are_asked_about_first() -> None:
    # A > B > C half of the time, the other two a quarter each: one question finds it, a second one tells those apart
    assert fewest_questions({(0, 1, 2, 3): 2.0, (1, 0, 2, 3): 1.0, (1, 2, 0, 3): 1.0}) == pytest.approx(1.5)


def test_one_swapped_pair_leaves_two_orders_and_a_reversal_all() -> None:
    assert extensions((0, 1, 2, 3), (0, 2, 1, 3)) == [(0, 1, 2, 3), (0, 2, 1, 3)]
    assert len(extensions((0, 1, 2, 3), (3, 2, 1, 0))) == 24


@pytest.mark.parametrize("agreement", AGREEMENTS)
def test_the_questions_of_a_contested_turn_are_at_most_two_hundredths_above_the_optimum(agreement: float) -> None:
    dispersion = dispersion_for(agreement)
    ours, best = expected(dispersion)
    assert best <= ours <= best + 0.02
    mean = simulated(dispersion, 10_000, random.Random(11))
    assert abs(mean - ours) < 0.03  # a standard error of 0.01
    if agreement == 0.73:
        assert mean <= 1.75


@pytest.mark.parametrize("agreement", AGREEMENTS)
def test_adjudicators_who_also_tie_always_end_in_an_order_that_extends_what_was_agreed(agreement: float) -> None:
    """Weak orders drawn by their distance from a common one; an adjudicator who answers as it comes."""
    rng, orders = random.Random(3), [Ranking(order) for order in weak_orders(4)]
    truth = orders[-1].relations()
    weights = [dispersion_for(agreement) ** _differing(truth, order.relations()) for order in orders]
    all_relations = [order.relations() for order in orders]
    for first, second in (rng.choices(orders, weights, k=2) for _ in range(1500)):
        case, answers = Case(4, first, second), list[Answer]()
        while (pair := next_question(case, answers)) is not None:
            answers.append(Answer(pair, rng.choice(list(Relation))))
        settled = {each.pair: each.relation for each in settle(case, answers)}
        assert settled in all_relations
        assert settled.items() >= case.agreed.items()


def _differing(one: dict[tuple[int, int], Relation], other: dict[tuple[int, int], Relation]) -> int:
    return sum(one[pair] is not other[pair] for pair in pairs_of(4))
