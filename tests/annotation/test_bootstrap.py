"""Intervals: what is resampled, how wide they come out, and where there are none."""

import tracemalloc

import numpy as np
import pytest

from annotation import bootstrap
from annotation.bootstrap import RESAMPLES, Estimate, divide, drawn, estimates, ratio

MEAN = {"mean": ratio(0, 1)}


def mean_of(values: list[float], dialogue: list[int], dialogues: int | None = None) -> tuple[float | None, ...]:
    table = np.column_stack([np.array(values), np.ones(len(values))])
    found = estimates(table, np.array(dialogue), dialogues or max(dialogue) + 1, MEAN, {"mean": len(values)})["mean"]
    return found.value, found.low, found.high


def test_every_resample_draws_as_many_dialogues_as_there_are() -> None:
    counts = np.hstack(list(drawn(37)))
    assert counts.shape == (37, RESAMPLES)
    assert set(counts.sum(axis=0)) == {37}


def test_the_same_number_of_dialogues_is_drawn_the_same_way_again() -> None:
    before = np.hstack(list(drawn(11)))
    bootstrap._kept.cache_clear()
    assert (np.hstack(list(drawn(11))) == before).all()


def test_what_is_drawn_in_parts_is_what_one_would_draw_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(bootstrap.SEED)
    at_once = [np.bincount(rng.integers(50, size=50), minlength=50) for _ in range(RESAMPLES)]
    monkeypatch.setattr(bootstrap, "MOST_KEPT", 0)
    monkeypatch.setattr(bootstrap, "AT_ONCE", 50 * 7)
    parts = list(drawn(50))
    assert [part.shape[1] for part in parts] == [7] * 142 + [6]
    assert (np.array(at_once) == np.hstack(parts).T).all()


def test_an_interval_is_the_same_in_parts_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values, dialogue = [float(i % 3 == 0) for i in range(90)], [i // 2 for i in range(90)]
    before = mean_of(values, dialogue)
    monkeypatch.setattr(bootstrap, "MOST_KEPT", 0)
    monkeypatch.setattr(bootstrap, "AT_ONCE", 45 * 10)
    assert mean_of(values, dialogue) == before


def test_two_hundred_thousand_dialogues_take_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    # All draws at once would be 200 MB, and 800 MB as numbers to compute with. The resamples are cut to 60 for the time
    # it takes: 12 MB and 48 MB, of which a part may have no more than its share.
    monkeypatch.setattr(bootstrap, "RESAMPLES", 60)
    monkeypatch.setattr(bootstrap, "MOST_KEPT", 0)
    dialogue = np.arange(200_000)
    table = np.column_stack([dialogue % 2.0, *[np.ones(200_000)] * 18])  # as wide as the tallies of agreement
    tracemalloc.start()
    estimates(table, dialogue, 200_000, MEAN, {"mean": 200_000})
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 100e6


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
