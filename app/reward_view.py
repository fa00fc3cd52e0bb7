"""What an evaluation of a reward model says, as its page shows it: tables, a curve, the spread over seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from annotation.run_tables import Run
from app.curves import Chart, plane

Result = Mapping[str, Any]

STRATA = ("gap", "ability", "department", "depth", "source")
JUDGES = ("", "longer_wins_", "experts_agree_")
SPREAD: dict[str, Callable[[Result], float | None]] = {
    "accuracy": lambda r: _value(r, "accuracy"),
    "top1": lambda r: _value(r, "orders", "model", "top1"),
    "tau_b": lambda r: _value(r, "orders", "model", "tau"),
    "log_loss": lambda r: ((r.get("calibration") or {}).get("raw") or {}).get("log_loss"),
    "calibration_error": lambda r: ((r.get("calibration") or {}).get("raw") or {}).get("error"),
}
"""What is compared over seeds."""


@dataclass(frozen=True)
class Stratum:
    """Pairs of one kind: what they are called in the result, and the shares of model, longer answer and experts."""

    key: str
    shares: Sequence[Mapping[str, Any] | None]


def strata(result: Result) -> dict[str, list[Stratum]]:
    """The tables of accuracy by kind of pair; a kind that the evaluation does not know is left out."""
    return {
        name: [Stratum(key, [(result.get(f"{judge}by_{name}") or {}).get(key) for judge in JUDGES]) for key in keys]
        for name in STRATA
        if (keys := result.get(f"by_{name}"))
    }


def calibration_curve(result: Result) -> Chart | None:
    """How often the model is right against how sure it is, as its scores stand and with the temperature."""
    found = result.get("calibration") or {}
    series = {
        name: [(each["predicted"], each["right"]) for each in found[key]["curve"]]
        for key, name in (("raw", "as scored"), ("fitted", "with the temperature"))
        if found.get(key)
    }
    if not series:
        return None
    low = 0.5 if min(right for points in series.values() for _, right in points) >= 0.5 else 0.0
    return plane({**series, "as sure as right": [(0.5, 0.5), (1.0, 1.0)]}, (0.5, 1.0), (low, 1.0))


@dataclass(frozen=True)
class Spread:
    """A figure over runs that differ in their seed alone; the deviation is that of a sample."""

    mean: float
    deviation: float
    least: float
    most: float


def over_seeds(runs: Sequence[Run]) -> dict[str, Spread]:
    """The spread of each figure that at least two of the runs have."""
    found = {name: [v for run in runs if (v := read(run.result or {})) is not None] for name, read in SPREAD.items()}
    return {name: Spread(mean(v), stdev(v), min(v), max(v)) for name, v in found.items() if len(v) > 1}


def figures_of(run: Run) -> dict[str, float | None]:
    """The figures of one run that are compared over seeds."""
    return {name: read(run.result or {}) for name, read in SPREAD.items()}


def _value(result: Result, *path: str) -> float | None:
    found: Any = result
    for name in path:
        found = (found or {}).get(name)
    return None if found is None else found.get("value")
