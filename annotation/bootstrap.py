"""Figures with intervals: a percentile bootstrap over dialogues, whose turns depend on one another.

What a dialogue adds to a figure is a row of sums; a figure is a function of sums. So the figure itself and its
resamples are one computation: on the sums of all dialogues, and on weighted sums of them.
Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; Davison and Hinkley (1997), 3.8,
for clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from annotation.columns import Floats, Ints

RESAMPLES = 1000
SEED = 0
LEVELS = (0.025, 0.975)
TOGETHER = 32
"""So many groups are resampled at once: their sums stay within a few megabytes."""

MOST_KEPT = 2**24
"""Draws of so many bytes are kept for the next figure; more are drawn again for each, a part at a time."""

AT_ONCE = 2**22
"""So many draws are looked at in one go: as numbers to compute with they take four times as many bytes."""

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


def drawn(dialogues: int) -> Iterator[npt.NDArray[np.uint8]]:
    """How often each dialogue is drawn in each resample, always the same for a number of them.

    In parts of a few resamples each, (dialogues, n), together RESAMPLES of them: however many dialogues there are, a
    part has at most AT_ONCE draws, or one resample. A group of turns takes those of its dialogues that fall to it, so
    that its size varies as the campaign's does.
    """
    if dialogues * RESAMPLES <= MOST_KEPT:
        yield from _kept(dialogues)
    else:
        yield from _draw(dialogues)


@lru_cache(maxsize=4)
def _kept(dialogues: int) -> list[npt.NDArray[np.uint8]]:
    return list(_draw(dialogues))


def _draw(dialogues: int) -> Iterator[npt.NDArray[np.uint8]]:
    rng, at_once = np.random.default_rng(SEED), max(1, AT_ONCE // max(dialogues, 1))
    for start in range(0, RESAMPLES, at_once):
        counts = np.empty((min(at_once, RESAMPLES - start), dialogues), dtype=np.uint8)
        for row in counts:
            row[:] = np.bincount(rng.integers(dialogues, size=dialogues), minlength=dialogues)
        yield np.ascontiguousarray(counts.T)


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
    [found] = estimates_of_groups(tallies, dialogue, dialogues, figures, [np.arange(len(tallies))], lambda _: counts)
    return found


def estimates_of_groups(
    tallies: Floats,
    dialogue: Ints,
    dialogues: int,
    figures: Mapping[Name, FigureOf],
    groups: Sequence[Ints],
    counts: Callable[[Floats], Mapping[Name, int]],
) -> list[dict[Name, Estimate]]:
    """The same for each group of rows, of whose tallies ``counts`` tells what each figure counts."""
    return [
        found
        for i in range(0, len(groups), TOGETHER)
        for found in _together(tallies, dialogue, dialogues, figures, groups[i : i + TOGETHER], counts)
    ]


def _together(
    tallies: Floats,
    dialogue: Ints,
    dialogues: int,
    figures: Mapping[Name, FigureOf],
    groups: Sequence[Ints],
    counts: Callable[[Floats], Mapping[Name, int]],
) -> list[dict[Name, Estimate]]:
    """A few groups at once, so that a figure is one computation on all their resamples."""
    # 1. What each dialogue adds to each group: (D, C), D dialogues one group after the other, which ``first`` divides.
    own = [np.unique(dialogue[rows], return_inverse=True) for rows in groups]
    sums = np.concatenate(
        [
            np.stack([np.bincount(at, column, minlength=len(mine)) for column in tallies[rows].T], axis=1)
            for rows, (mine, at) in zip(groups, own, strict=True)
        ]
    )
    first = np.cumsum([0, *(len(mine) for mine, _ in own)])
    # 2. The sums of each group, (G, C), and of its resamples, (G, RESAMPLES, C), each column in one piece of memory.
    total = np.stack([sums[a:b].sum(axis=0) for a, b in pairwise(first)])
    parts = [sums[a:b].T.astype(np.float32) for a, b in pairwise(first)]
    resampled, done = np.empty((tallies.shape[1], len(groups), RESAMPLES)), 0
    for draws in drawn(dialogues):
        now = slice(done, done := done + draws.shape[1])
        for number, (mine, _) in enumerate(own):
            resampled[:, number, now] = parts[number] @ draws[mine].astype(np.float32)
    columns_last = np.moveaxis(resampled, 0, -1)
    # 3. Every figure of each group, with the bounds that its resamples give.
    n = [counts(tallies[rows]) for rows in groups]
    found = {name: _bounded(figure, total, columns_last, sums, first) for name, figure in figures.items()}
    return [{name: _estimate(*found[name][i], n[i][name]) for name in figures} for i in range(len(groups))]


def _bounded(
    figure: FigureOf, total: Floats, resampled: Floats, sums: Floats, first: Ints
) -> list[tuple[float, float, float]]:
    """The figure of each group and its bounds, which are no numbers where fewer than two dialogues have it."""
    defined = np.concatenate([[0], np.cumsum(~np.isnan(figure(sums)))])
    tell_it = np.diff(defined[first]) > 1
    bounds = np.full((len(total), len(LEVELS)), np.nan)
    bounds[tell_it] = _quantiles(figure(resampled[tell_it]))
    return [(value, low, high) for value, (low, high) in zip(figure(total).tolist(), bounds.tolist(), strict=True)]


def _quantiles(resampled: Floats) -> Floats:
    """Of (G, RESAMPLES) the bounds of each group, (G, 2); resamples in which the figure is undefined are left out."""
    found = np.full((len(resampled), len(LEVELS)), np.nan)
    undefined = np.isnan(resampled)
    whole = ~undefined.any(axis=1)
    if whole.any():
        found[whole] = np.quantile(resampled[whole], LEVELS, axis=1).T
    for row in np.flatnonzero(~whole & ~undefined.all(axis=1)):
        found[row] = np.quantile(resampled[row][~undefined[row]], LEVELS)
    return found


def _estimate(value: float, low: float, high: float, n: int) -> Estimate:
    if np.isnan(value):
        return UNDEFINED
    return Estimate(value, None, None, n) if np.isnan(low) else Estimate(value, low, high, n)


def ratio(numerator: int, denominator: int) -> FigureOf:
    """The figure that one column of sums divided by another is."""

    def figure(sums: Floats) -> Floats:
        return divide(sums[..., numerator], sums[..., denominator])

    return figure


def divide(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Floats:
    """Division that is not a number where there is nothing to divide by."""
    above, below = np.broadcast_arrays(np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float))
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0))
