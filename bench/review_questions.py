"""How many questions settle a contested turn, beside the fewest that any strategy can need.

Annotators and adjudicator draw strict orders of four from one Mallows distribution, the adjudicator given the pairs
that both annotators agree on. The optimum is computed without the product's chooser: by dynamic programming over the
sets of orders that are still possible, for the best strategy that knows both rankings and the distribution.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import combinations, permutations

from annotation.adjudication import Answer, Case, next_question, settle
from annotation.ranking import Pair, Ranking, Relation
from bench.figures import say

K = 4
Order = tuple[int, ...]
ORDERS: Sequence[Order] = tuple(permutations(range(K)))
PAIRS: Sequence[Pair] = tuple(combinations(range(K), 2))
AGREEMENTS = (0.63, 0.73, 0.77, 0.85)
TARGETS = {0.73: 1.75}
UNIT = "questions"


@cache
def is_above(order: Order) -> tuple[bool, ...]:
    """For each pair whether its first response stands above its second."""
    return tuple(order.index(first) < order.index(second) for first, second in PAIRS)


@cache
def distance(one: Order, other: Order) -> int:
    """How many pairs the two orders turn round (Kendall's distance)."""
    return sum(a != b for a, b in zip(is_above(one), is_above(other), strict=True))


def extensions(first: Order, second: Order) -> list[Order]:
    """The orders that keep every pair on which both agree."""
    kept = [i for i in range(len(PAIRS)) if is_above(first)[i] == is_above(second)[i]]
    return [order for order in ORDERS if all(is_above(order)[i] == is_above(first)[i] for i in kept)]


def pair_agreement(dispersion: float) -> float:
    """The share of pairs on which two draws agree, from the Mallows weights dispersion ** distance."""
    weights = [dispersion ** distance(ORDERS[0], order) for order in ORDERS]
    alike = sum(
        one * other * (len(PAIRS) - distance(a, b))
        for a, one in zip(ORDERS, weights, strict=True)
        for b, other in zip(ORDERS, weights, strict=True)
    )
    return alike / sum(weights) ** 2 / len(PAIRS)


def dispersion_for(agreement: float) -> float:
    """The dispersion at which two draws agree on this share of pairs, by bisection; between 0 and 1."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if pair_agreement(middle) > agreement else (low, middle)
    return (low + high) / 2


def fewest_questions(prior: Mapping[Order, float]) -> float:
    """Expected questions of the best strategy that finds one order out of these with these weights."""

    @cache
    def fewest(remaining: frozenset[Order]) -> float:
        if len(remaining) == 1:
            return 0.0
        halves = [frozenset(order for order in remaining if is_above(order)[i]) for i in range(len(PAIRS))]
        splits = [(half, remaining - half) for half in halves if 0 < len(half) < len(remaining)]
        weight = sum(prior[order] for order in remaining)
        return 1 + min(
            sum(sum(prior[order] for order in part) * fewest(part) for part in split) / weight for split in splits
        )

    return fewest(frozenset(prior))


@cache
def asked(first: Order, second: Order, truth: Order) -> int:
    """How many questions the product asks an adjudicator who answers by this order; checks what comes out."""
    one, other = (Ranking(tuple((response,) for response in order)) for order in (first, second))
    case = Case(K, one, other)
    answers: list[Answer] = []
    while (pair := next_question(case, answers)) is not None:
        better = is_above(truth)[PAIRS.index(pair)]
        answers.append(Answer(pair, Relation.BETTER if better else Relation.WORSE))
    settled = tuple(each.relation is Relation.BETTER for each in settle(case, answers))
    if settled != is_above(truth):
        raise AssertionError(f"{first} and {second} adjudicated by {truth} gave {settled}")
    return len(answers)


def expected(dispersion: float) -> tuple[float, float]:
    """Expected questions a contested turn, exactly: as the product asks them, and at best.

    By symmetry the first ranking is the first order. Where the truth lies is unknown, so the weight of an order for
    the adjudicator sums over all truths.
    """
    first = ORDERS[0]
    likely = {(a, b): dispersion ** distance(a, b) for a in ORDERS for b in ORDERS}
    ours = best = contested = 0.0
    for second in ORDERS[1:]:
        possible = extensions(first, second)
        seen = {truth: likely[truth, first] * likely[truth, second] for truth in ORDERS}
        scale = {truth: seen[truth] / sum(likely[truth, order] for order in possible) for truth in ORDERS}
        prior = {order: sum(scale[truth] * likely[truth, order] for truth in ORDERS) for order in possible}
        ours += sum(weight * asked(first, second, order) for order, weight in prior.items())
        best += sum(prior.values()) * fewest_questions(prior)
        contested += sum(prior.values())
    return ours / contested, best / contested


def simulated(dispersion: float, turns: int, rng: random.Random) -> float:
    """Mean questions over so many contested turns."""
    weights = [dispersion ** distance(ORDERS[0], order) for order in ORDERS]
    total = done = 0
    while done < turns:
        first, second = rng.choices(ORDERS, weights, k=2)
        if first == second:
            continue
        possible = extensions(first, second)
        [truth] = rng.choices(possible, [dispersion ** distance(ORDERS[0], order) for order in possible])
        total, done = total + asked(first, second, truth), done + 1
    return total / turns


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="10,000 turns instead of 100,000")
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    turns, rng = (10_000 if wanted.quick else 100_000), random.Random(wanted.seed)
    for agreement in AGREEMENTS:
        dispersion = dispersion_for(agreement)
        told = f"{turns} contested turns, K = 4, strict Mallows, dispersion {dispersion:.4f}, seed {wanted.seed}"
        at, mean, (ours, best) = round(100 * agreement), simulated(dispersion, turns, rng), expected(dispersion)
        name = f"review.questions_per_contested_turn_at_{at}"
        say(name, round(mean, 4), UNIT, better="lower", target=TARGETS.get(agreement), conditions=told)
        say(
            f"review.fewest_questions_at_{at}",
            round(best, 4),
            UNIT,
            better="lower",
            conditions="exact, same annotators",
        )
        above = f"review.questions_above_the_fewest_at_{at}"
        say(above, round(ours - best, 6), UNIT, better="lower", target=0.02, conditions="both exact")
    sorting = fewest_questions(dict.fromkeys(ORDERS, 1.0))
    say(
        "review.questions_of_sorting_afresh",
        round(sorting, 4),
        UNIT,
        better="lower",
        conditions="K = 4, all orders alike, the best strategy",
    )


if __name__ == "__main__":
    main()
