"""Figures with intervals: a percentile bootstrap over dialogues, whose turns depend on one another.

What a dialogue adds to a figure is a row of sums; a figure is a function of sums. So the figure itself and its
resamples are one computation: on the sums of all dialogues, and on weighted sums of them.
Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; Davison and Hinkley (1997), 3.8,
for clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from annotation.columns import Floats, Ints

RESAMPLES = 1000
SEED = 0
LEVELS = (0.025, 0.975)

Name = TypeVar("Name")
FigureOf = Callable[[Floats], Floats]
"""Sums (..., C) to a figure (...); not a number where it is undefined."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval over dialogues; None where it is undefined. ``n`` is what it counts."""

    value: float | None
    low: float | None
    high: float | None
    n: int


UNDEFINED = Estimate(None, None, None, 0)


@lru_cache(maxsize=4)
def drawn(dialogues: int) -> npt.NDArray[np.uint8]:
    """How often each dialogue is drawn in each resample: (dialogues, RESAMPLES), always the same for a number of them.

    A group of turns takes those of its dialogues that fall to it, so that its size varies as the campaign's does.
    """
    rng = np.random.default_rng(SEED)
    counts = np.empty((RESAMPLES, dialogues), dtype=np.uint8)
    for row in counts:
        row[:] = np.bincount(rng.integers(dialogues, size=dialogues), minlength=dialogues)
    return np.ascontiguousarray(counts.T)


def estimates(
    tallies: Floats,
    dialogue: Ints,
    dialogues: int,
    figures: Mapping[Name, FigureOf],
    counts: Mapping[Name, int],
) -> dict[Name, Estimate]:
    """Every figure of these rows with its interval.

    ``tallies`` (N, C) is what each row adds, ``dialogue`` (N,) where it belongs, ``dialogues`` how many the campaign
    has. Where fewer than two dialogues say anything there is nothing to resample, and the interval is None.
    """
    own, position = np.unique(dialogue, return_inverse=True)
    sums = np.stack([np.bincount(position, column, minlength=len(own)) for column in tallies.T], axis=1)
    total = sums.sum(axis=0)
    resampled = (sums.T.astype(np.float32) @ drawn(dialogues)[own].astype(np.float32)).T.astype(np.float64)
    return {
        name: _estimate(
            float(figure(total)), figure(resampled) if _tell_it(figure, sums.astype(float)) else None, counts[name]
        )
        for name, figure in figures.items()
    }


def _tell_it(figure: FigureOf, sums: Floats) -> bool:
    """Whether more than one dialogue has a figure of its own."""
    return int(np.count_nonzero(~np.isnan(figure(sums)))) > 1


def _estimate(value: float, resampled: Floats | None, n: int) -> Estimate:
    if np.isnan(value):
        return UNDEFINED
    found = None if resampled is None else resampled[~np.isnan(resampled)]
    if found is None or len(found) == 0:
        return Estimate(value, None, None, n)
    low, high = np.quantile(found, LEVELS)
    return Estimate(value, float(low), float(high), n)


def ratio(numerator: int, denominator: int) -> FigureOf:
    """The figure that one column of sums divided by another is."""

    def figure(sums: Floats) -> Floats:
        return divide(sums[..., numerator], sums[..., denominator])

    return figure


def divide(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Floats:
    """Division that is not a number where there is nothing to divide by."""
    above, below = np.broadcast_arrays(np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float))
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0))
