"""Whether a model is as sure as it is right, worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlhf.calibration import HOTTEST, calibration, calibration_error, curve, fit_temperature, log_loss

EVEN = math.log(3)
"""A lead at which the model is sure to three quarters."""


def test_the_log_loss_of_equal_scores_is_that_of_a_coin() -> None:
    assert log_loss(np.zeros(3)) == pytest.approx(math.log(2))
    assert log_loss(np.array([EVEN, -EVEN])) == pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2)


def test_the_temperature_makes_the_model_as_sure_as_it_is_right() -> None:
    """Three of four pairs are right, and every lead is twice that of three quarters: so it is 2."""
    leads = [2 * EVEN] * 3 + [-2 * EVEN]
    assert fit_temperature(leads) == pytest.approx(2.0, rel=1e-3)
    assert fit_temperature([lead / 4 for lead in leads]) == pytest.approx(0.5, rel=1e-3)


def test_the_temperature_of_pairs_that_are_all_right_has_a_limit() -> None:
    assert 1 / HOTTEST <= fit_temperature([1.0, 2.0]) < 0.1
    assert fit_temperature([-1.0, -2.0]) == pytest.approx(HOTTEST, rel=1e-3)


def test_bins_hold_equally_many_pairs_in_the_order_of_how_sure_the_model_is() -> None:
    leads = np.array([(-1) ** n * n / 10 for n in range(20)])  # right where n is even, and half right at 0
    found = curve(leads)
    assert [each["n"] for each in found] == [2] * 10
    assert [each["right"] for each in found] == [0.25, *[0.5] * 9]
    assert found[0]["predicted"] == pytest.approx((0.5 + 1 / (1 + math.exp(-0.1))) / 2)
    assert found[9]["predicted"] == pytest.approx((1 / (1 + math.exp(-1.8)) + 1 / (1 + math.exp(-1.9))) / 2)


def test_fewer_pairs_than_bins_make_fewer_bins() -> None:
    assert [each["n"] for each in curve(np.array([1.0, -2.0, 3.0]))] == [1, 1, 1]


def test_the_error_weighs_each_bin_by_its_pairs() -> None:
    bins = [{"predicted": 0.6, "right": 0.5, "n": 30}, {"predicted": 0.7, "right": 1.0, "n": 10}]
    assert calibration_error(bins) == pytest.approx((30 * 0.1 + 10 * 0.3) / 40)


def test_the_temperature_is_fitted_on_validation_and_measured_on_report() -> None:
    """Validation is right in three of four at a lead of twice ln 3, report in one of two: T = 2."""
    found = calibration([2 * EVEN] * 3 + [-2 * EVEN], [2 * EVEN, -2 * EVEN])
    assert found["temperature"] == pytest.approx(2.0, rel=1e-3)
    assert (found["pairs"], found["fitted_on"]) == (2, 4)
    assert found["raw"]["log_loss"] == pytest.approx(-(math.log(0.9) + math.log(0.1)) / 2)
    assert found["fitted"]["log_loss"] == pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2, rel=1e-3)
    # Each pair is a bin of its own, and as sure as the other: |0.9 - 1| and |0.9 - 0|, after it |0.75 - 1| and 0.75.
    assert found["raw"]["error"] == pytest.approx((0.1 + 0.9) / 2)
    assert found["fitted"]["error"] == pytest.approx((0.25 + 0.75) / 2)


def test_without_validation_pairs_there_is_no_temperature_and_without_report_pairs_nothing() -> None:
    assert (calibration([], [1.0])["temperature"], calibration([], [1.0])["fitted"]) == (None, None)
    assert calibration([1.0], []) == {"temperature": None, "pairs": 0, "fitted_on": 1, "raw": None, "fitted": None}
