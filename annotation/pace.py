"""How fast the work goes: seconds a ranking, rankings a day, when it is done, and whether adjudication keeps up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from annotation.bootstrap import LEVELS, RESAMPLES, SEED
from annotation.columns import Floats, Ints, Judgements, Times

TOO_FAST = 0.25
"""Below this share of the campaign's median a ranking counts as too fast."""

WINDOW = 28
"""A projection looks back over so many days, not counting today, which is not over."""

FEWEST_DAYS = 7
"""With fewer days behind it a projection has no interval."""

HORIZON = 3650
"""A projection beyond so many days is none."""


@dataclass(frozen=True)
class Seconds:
    """Active seconds a ranking: quartiles, and the share under a quarter of the campaign's median."""

    lower: float
    median: float
    upper: float
    too_fast: float
    n: int


def seconds(judgements: Judgements) -> dict[int, Seconds]:
    """For each annotator, and under 0 for all of them; rankings whose time was not measured are left out."""
    measured = judgements.seconds > 0
    if not measured.any():
        return {}
    limit = TOO_FAST * float(np.median(judgements.seconds[measured]))
    people = np.unique(judgements.annotator[measured]).tolist()
    chosen = {0: measured, **{each: measured & (judgements.annotator == each) for each in people}}
    return {each: _seconds(judgements.seconds[rows], limit) for each, rows in chosen.items()}


def _seconds(found: Floats, limit: float) -> Seconds:
    lower, median, upper = np.quantile(found, [0.25, 0.5, 0.75])
    return Seconds(float(lower), float(median), float(upper), float((found < limit).mean()), len(found))


def by_day(times: Times, first: date, days: int) -> Ints:
    """How often something happened on each of so many days from ``first`` on, in UTC: (days,)."""
    offsets = (times.astype("datetime64[D]") - np.datetime64(first, "D")).astype(np.int64)
    return np.bincount(offsets[(offsets >= 0) & (offsets < days)], minlength=days)


def looking_back(today: date, *series: Times, most: int = WINDOW) -> tuple[date, int]:
    """The first of the whole days before today to look at, and how many they are: none before the first event."""
    began = [times.min().astype("datetime64[D]").item() for times in series if len(times)]
    first = max(min(began, default=today), today - timedelta(days=most))
    return first, max((today - first).days, 0)


@dataclass(frozen=True)
class Throughput:
    """Somebody's rankings: in all, in the last seven days, and on a day on which they ranked at all."""

    rankings: int
    last_week: int
    days: int
    a_working_day: float


def throughput(judgements: Judgements, today: date) -> dict[int, Throughput]:
    """For each annotator."""
    days = judgements.at.astype("datetime64[D]")
    since = np.datetime64(today - timedelta(days=7), "D")
    found = {}
    for person in np.unique(judgements.annotator).tolist():
        mine = days[judgements.annotator == person]
        worked = len(np.unique(mine))
        found[person] = Throughput(len(mine), int((mine > since).sum()), worked, len(mine) / worked)
    return found


@dataclass(frozen=True)
class Projection:
    """How many days from now until nothing is left: the likely number, and between which two it lies in 95 of 100.

    ``days`` is None where the work does not come to an end at this pace, ``high`` also where that may well be so.
    ``a_day`` is None before the first whole day is over: then there is no pace.
    """

    left: int
    a_day: float | None
    days: float | None
    low: float | None
    high: float | None


def projection(left: int, before: Ints) -> Projection:
    """When ``left`` is worked off, going by the net work of each of the days before: (D,).

    The pace is a Brownian motion whose drift is that of resampled days and whose variance is theirs, so the time until
    it has come so far follows Wald's distribution (inverse Gaussian); the interval holds both doubts.
    Source: Chhikara and Folks, The Inverse Gaussian Distribution (1989), chapter 2.
    """
    pace = float(before.mean()) if len(before) else None
    if left <= 0:
        return Projection(0, pace, 0.0, 0.0, 0.0)
    if pace is None:
        return Projection(left, None, None, None, None)
    days = left / pace if pace * HORIZON > left else None
    if len(before) < FEWEST_DAYS or days is None:
        return Projection(left, pace, days, None, None)
    rng = np.random.default_rng(SEED)
    drifts = rng.choice(before, size=(RESAMPLES, len(before))).mean(axis=1)
    spread = max(float(before.var(ddof=1)), 1e-9)
    times = np.full(RESAMPLES, np.inf)
    forward = drifts > 0
    times[forward] = rng.wald(left / drifts[forward], left**2 / spread)
    low, high = np.quantile(times, LEVELS, method="lower")
    return Projection(left, pace, days, float(low), float(high) if high < HORIZON else None)
