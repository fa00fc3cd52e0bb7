"""When requests are due, and percentiles of their latencies."""

from __future__ import annotations

import pytest

from bench.schedule import arrivals, percentile


def test_a_percentile_is_the_smallest_value_that_so_many_are_not_above() -> None:
    values = [15.0, 20.0, 35.0, 40.0, 50.0]
    assert [percentile(values, share) for share in (0.05, 0.3, 0.4, 0.5, 1.0)] == [15, 20, 20, 35, 50]


def test_the_order_of_latencies_does_not_matter() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3.0


def test_arrivals_are_drawn_once_for_a_seed() -> None:
    assert arrivals(100, 5, seed=1) == arrivals(100, 5, seed=1)
    assert arrivals(100, 5, seed=1) != arrivals(100, 5, seed=2)


def test_arrivals_come_at_the_rate_and_in_order() -> None:
    moments = arrivals(100, 100, seed=0)
    assert moments == sorted(moments)
    assert moments[0] > 0 and moments[-1] < 100
    assert len(moments) == pytest.approx(10_000, abs=400)  # four standard deviations of a Poisson count
