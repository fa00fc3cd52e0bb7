"""When requests are due, and what their latencies amount to. Pure."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """The moments, from 0, at which requests are due: a Poisson process of ``rate`` a second, drawn once.

    They do not depend on when answers come: an open loop, in which a slow answer makes the next ones wait, not stay
    away.
    """
    rng, moments, at = random.Random(seed), [], 0.0
    while (at := at + rng.expovariate(rate)) < seconds:
        moments.append(at)
    return moments


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all is not above (nearest rank); 0 < share <= 1."""
    ordered = sorted(values)
    return ordered[math.ceil(share * len(ordered)) - 1]
