"""Means with intervals: a percentile bootstrap over dialogues, whose turns depend on one another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

RESAMPLES = 1000


def mean_over(dialogues: Sequence[str], values: Sequence[float], seed: int = 0) -> dict[str, Any]:
    """The mean of values, with a 95 % interval, and how many they are; ``dialogues`` has the name of each one's.

    From a single dialogue there is no interval: nothing says how another one would have come out.
    Source: Efron and Tibshirani (1993), chapter 13; Davison and Hinkley (1997), 3.8, for clusters.
    """
    if not values:
        return {"value": None, "low": None, "high": None, "n": 0}
    by_dialogue: dict[str, list[float]] = defaultdict(list)
    for dialogue, value in zip(dialogues, values, strict=True):
        by_dialogue[dialogue].append(value)
    sums = np.array([[sum(own), len(own)] for own in by_dialogue.values()])
    value, n = float(sums[:, 0].sum() / sums[:, 1].sum()), int(sums[:, 1].sum())
    if len(sums) == 1:
        return {"value": value, "low": None, "high": None, "n": n}
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=RESAMPLES)
    drawn = weights @ sums
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    return {"value": value, "low": float(low), "high": float(high), "n": n}
