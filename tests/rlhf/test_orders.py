"""Whether the best comes first, and Kendall's tau, worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from math import isnan, sqrt

import pytest

from rlhf.data import Prompt, Turn
from rlhf.orders import orders, orders_of_experts, places_of, tau_b, top1

TURN = Turn("d", 1, "report", Prompt((), "?"), ("a", "b", "c"), (), places=(0, 1, 2))


def test_the_best_comes_first_where_the_highest_score_stands_in_the_best_place() -> None:
    assert top1([3.0, 1.0, 2.0], [0, 1, 2]) == 1.0
    assert top1([1.0, 3.0, 2.0], [0, 1, 2]) == 0.0
    assert top1([1.0, 3.0, 2.0], [0, 0, 1]) == 1.0


def test_of_several_highest_scores_those_in_the_best_place_count() -> None:
    assert top1([3.0, 3.0, 2.0], [0, 1, 2]) == 0.5


def test_tau_counts_pairs_in_order_less_those_against_it() -> None:
    """One of three pairs is turned round: (2 - 1) / 3. With a tie on one side: 2 / sqrt(3 * 2)."""
    assert tau_b([3.0, 1.0, 2.0], [0, 1, 2]) == pytest.approx(1 / 3)
    assert tau_b([3.0, 2.0, 1.0], [0, 1, 1]) == pytest.approx(2 / sqrt(3 * 2))
    assert isnan(tau_b([1.0, 1.0], [0, 1]))


def test_a_rewrite_stands_above_all_and_a_turn_without_a_whole_order_has_no_places() -> None:
    assert places_of(replace(TURN, rewritten=True)) == (0, 1, 2, -1)
    assert places_of(replace(TURN, places=None)) is None


def test_figures_are_means_over_turns_with_a_whole_order() -> None:
    turns = [TURN, replace(TURN, dialogue="e"), replace(TURN, places=None)]
    found = orders(turns, [[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [9.0, 9.0, 9.0]])
    assert (found["top1"]["value"], found["top1"]["n"]) == (0.5, 2)
    assert (found["tau"]["value"], found["tau"]["low"], found["tau"]["high"]) == (0.0, -1.0, 1.0)


def test_two_experts_are_each_measured_by_the_other() -> None:
    """The first has a tie at the top, one of which the other puts first; theirs stands in the first's best place."""
    found = orders_of_experts([TURN, TURN], [[(0, 0, 1), (0, 1, 2)], []])
    assert (found["top1"]["value"], found["top1"]["n"]) == ((0.5 + 1) / 2, 1)
    assert found["tau"]["value"] == pytest.approx(2 / sqrt(2 * 3))
