"""How often the new answer wins, and how often it would at equal length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rlhf import compare as compared
from rlhf.compare import Side, at_equal_length, compare
from rlhf.config import PpoConfig
from rlhf.data import Prompt, Turn
from rlhf.records import Records
from rlhf.sequences import Encoder


def drawn(intercept: float, slope: float, mean_longer: float) -> tuple[np.ndarray, np.ndarray]:
    """Wins and differences in length where the chance of a win is known."""
    rng = np.random.default_rng(0)
    longer = rng.normal(mean_longer, 40, 20_000).round()
    chance = 1 / (1 + np.exp(-(intercept + slope * np.tanh(longer / longer.std()))))
    return (rng.random(len(longer)) < chance).astype(float), longer


def test_the_win_rate_at_equal_length_is_the_one_that_was_put_in() -> None:
    wins, longer = drawn(0.4, 2.0, mean_longer=30)
    assert wins.mean() > 0.7
    assert at_equal_length(wins, longer) == pytest.approx(1 / (1 + np.exp(-0.4)), abs=0.02)


def test_a_win_rate_that_comes_from_length_alone_is_even_at_equal_length() -> None:
    wins, longer = drawn(0.0, 3.0, mean_longer=40)
    assert wins.mean() > 0.75
    assert at_equal_length(wins, longer) == pytest.approx(0.5, abs=0.02)


def test_a_win_rate_that_has_nothing_to_do_with_length_stays() -> None:
    wins, longer = drawn(0.4, 0.0, mean_longer=40)
    assert at_equal_length(wins, longer) == pytest.approx(wins.mean(), abs=0.02)
    assert at_equal_length(np.array([1.0, 0.0, 0.5, 1.0]), np.full(4, 7.0)) == 0.625


def test_a_win_on_every_prompt_is_one_at_any_length() -> None:
    assert at_equal_length(np.ones(40), np.arange(40.0) - 10) > 0.97


def test_equal_scores_are_half_a_win(encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three prompts one is won, one is lost and one is even."""
    scores = {"reference": [0.0, 0.0, 0.0], "policy": [1.0, -1.0, 0.0]}

    def side(_quartet: object, adapter: str, *_: object) -> Side:
        return Side(["好。"] * 3, scores[adapter], [5] * 3, [True] * 3, [0.0] * 3)

    monkeypatch.setattr(compared, "_answered_by", side)
    turns = [Turn(f"d{i}", 1, "report", Prompt((), "头痛。"), (), ()) for i in range(3)]
    found = compare(None, encoder, turns, PpoConfig(), tmp_path, Records(tmp_path))  # type: ignore[arg-type]
    assert (found["win_rate"], found["win_rate_at_equal_length"]) == (0.5, 0.5)
