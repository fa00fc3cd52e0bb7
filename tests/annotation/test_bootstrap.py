"""Intervals: what is resampled, how wide they come out, and where there are none."""

import numpy as np
import pytest

from annotation.bootstrap import RESAMPLES, Estimate, divide, drawn, estimates, ratio

MEAN = {"mean": ratio(0, 1)}


def mean_of(values: list[float], dialogue: list[int], dialogues: int | None = None) -> tuple[float | None, ...]:
    table = np.column_stack([np.array(values), np.ones(len(values))])
    found = estimates(table, np.array(dialogue), dialogues or max(dialogue) + 1, MEAN, {"mean": len(values)})["mean"]
    return found.value, found.low, found.high


def test_every_resample_draws_as_many_dialogues_as_there_are() -> None:
    counts = drawn(37)
    assert counts.shape == (37, RESAMPLES)
    assert set(counts.sum(axis=0)) == {37}


def test_the_same_number_of_dialogues_is_drawn_the_same_way_again() -> None:
    before = drawn(11).copy()
    drawn.cache_clear()
    assert (drawn(11) == before).all()


def test_the_interval_of_a_mean_is_as_wide_as_its_known_standard_error() -> None:
    # 400 dialogues of one turn each, half of them 1: the standard error is sqrt(1/4 / 400) = 0.025.
    value, low, high = mean_of([0.0, 1.0] * 200, list(range(400)))
    assert value == 0.5
    assert low == pytest.approx(0.5 - 1.96 * 0.025, abs=0.006)
    assert high == pytest.approx(0.5 + 1.96 * 0.025, abs=0.006)


def test_turns_of_one_dialogue_count_as_one_draw() -> None:
    # Ten turns in each of 40 dialogues, all alike within one: the standard error is sqrt(1/4 / 40) = 0.079, not 0.025.
    values = [float(i % 2) for i in range(40) for _ in range(10)]
    _, low, high = mean_of(values, [i for i in range(40) for _ in range(10)])
    assert low == pytest.approx(0.5 - 1.96 * 0.0791, abs=0.02)
    assert high == pytest.approx(0.5 + 1.96 * 0.0791, abs=0.02)


def test_two_dialogues_that_contradict_each_other_say_nothing() -> None:
    assert mean_of([1.0] * 50 + [0.0] * 50, [0] * 50 + [1] * 50) == (0.5, 0.0, 1.0)


def test_a_single_dialogue_has_no_interval() -> None:
    assert mean_of([1.0, 0.0], [0, 0]) == (0.5, None, None)


def test_a_figure_of_which_one_dialogue_alone_says_anything_has_no_interval() -> None:
    one, silent = (1.0, 2.0), (0.0, 0.0)  # one of two is so; nothing was counted
    found = estimates(np.array([one, silent]), np.array([0, 1]), 2, {"share": ratio(0, 1)}, {"share": 1})
    assert found["share"] == Estimate(0.5, None, None, 1)


def test_a_group_of_a_large_campaign_has_the_interval_of_its_own_dialogues() -> None:
    # The 100 dialogues of the group among 2,000: sqrt(1/4 / 100) = 0.05.
    _, low, high = mean_of([0.0, 1.0] * 50, list(range(0, 2000, 20)), 2000)
    assert low == pytest.approx(0.5 - 1.96 * 0.05, abs=0.015)
    assert high == pytest.approx(0.5 + 1.96 * 0.05, abs=0.015)


def test_nothing_divided_by_nothing_is_undefined() -> None:
    assert np.isnan(divide([1.0, 0.0], [0.0, 0.0])).all()
    assert divide(1.0, 4.0) == 0.25
