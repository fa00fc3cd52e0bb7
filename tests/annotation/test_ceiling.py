"""What agreement allows a reward model, checked by playing the model through."""

import numpy as np
import pytest

from annotation.ceiling import ceiling, expert_accuracy, settled_accuracy, true_accuracy
from annotation.ranking import Ranking
from tests.annotation.columns import Double, doubles
from tests.material import parse_order

A, B = Ranking(parse_order("A > B")), Ranking(parse_order("B > A"))


def test_experts_who_are_right_in_nine_of_ten_agree_in_82_of_100() -> None:
    assert expert_accuracy(np.array(0.82)) == pytest.approx(0.9)  # 0.81 + 0.01
    assert settled_accuracy(np.array(0.9)) == pytest.approx(0.972)  # 0.81 + 2 * 0.9 * 0.1 * 0.9
    assert expert_accuracy(np.array(0.5)) == 0.5
    assert np.isnan(expert_accuracy(np.array(0.49)))


def test_the_model_played_through_gives_what_the_formulas_say() -> None:
    rng = np.random.default_rng(0)
    first, second, third, model = (rng.random(400_000) < q for q in (0.8, 0.8, 0.8, 0.7))
    settled = np.where(first == second, first, third)
    agree = float((first == second).mean())
    assert float(expert_accuracy(np.array(agree))) == pytest.approx(0.8, abs=0.005)
    assert settled.mean() == pytest.approx(float(settled_accuracy(np.array(0.8))), abs=0.005)
    measured = float((model == settled).mean())
    assert true_accuracy(measured, float(settled_accuracy(np.array(0.8)))) == pytest.approx(0.7, abs=0.01)


def test_the_ceiling_follows_from_the_pairs_that_both_rank_strictly() -> None:
    tie = Ranking(parse_order("A = B"))
    turns = [Double(A, A)] * 41 + [Double(A, B)] * 9 + [Double(A, tie)] * 50
    found = ceiling(doubles(turns, k=2), len(turns))
    assert (found.agreement.value, found.agreement.n) == (0.82, 50)
    assert found.fresh.value == pytest.approx(0.9)
    assert found.settled.value == pytest.approx(0.972)


def test_no_ceiling_follows_where_experts_agree_less_than_chance() -> None:
    found = ceiling(doubles([Double(A, B)] * 3, k=2), 3)
    assert (found.agreement.value, found.fresh.value, found.settled.value) == (0.0, None, None)


def test_accuracy_beyond_what_labels_allow_is_no_more_than_all() -> None:
    assert true_accuracy(0.99, 0.95) == 1.0
    assert true_accuracy(0.9, 0.5) is None
