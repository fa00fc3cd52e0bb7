"""Curves drawn by the server, because the page may hold no script and no style of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor

from annotation.bootstrap import Estimate

WIDTH, WIDE, HEIGHT = 560, 1120, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 28
TICKS = 4
LABELS = 6
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
At = Callable[[int, float], tuple[float, float]]
"""Where a value of a label stands in the picture."""


@dataclass(frozen=True)
class Line:
    """One curve; ``points`` and ``band`` as SVG wants them, the band empty where there are no intervals."""

    name: str
    points: str
    band: str
    last: tuple[float, float]


@dataclass(frozen=True)
class Chart:
    """Curves in a picture, with the places of the marks on both axes."""

    lines: Sequence[Line]
    x_marks: Sequence[tuple[float, str]]
    y_marks: Sequence[tuple[float, float]]
    width: int
    height: int = HEIGHT


def chart(
    labels: Sequence[str], series: Mapping[str, Sequence[Estimate]], *, zero: bool = False, width: int = WIDTH
) -> Chart | None:
    """A chart of series over the same labels; ``zero`` lets the axis begin there. None where there is no curve."""
    bounds = [
        bound
        for found in series.values()
        for each in found
        for bound in (each.value, each.low, each.high)
        if bound is not None
    ]
    if len(labels) < 2 or not bounds:
        return None
    step = _step(0.0 if zero else min(bounds), max(bounds))
    low = 0.0 if zero else step * floor(min(bounds) / step + 1e-9)
    high = max(low + step, step * ceil(max(bounds) / step - 1e-9))
    ticks = [low + step * i for i in range(round((high - low) / step) + 1)]

    def at(i: int, value: float) -> tuple[float, float]:
        x = LEFT + (width - LEFT - RIGHT) * i / (len(labels) - 1)
        return round(x, 1), round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low), 1)

    every = max(1, -(-len(labels) // LABELS))
    return Chart(
        lines=[_line(name, found, at) for name, found in series.items() if any(e.value is not None for e in found)],
        x_marks=[(at(i, low)[0], label) for i, label in enumerate(labels) if i % every == 0],
        y_marks=[(at(0, tick)[1], tick) for tick in ticks],
        width=width,
    )


def plane(
    series: Mapping[str, Sequence[tuple[float, float]]], across: tuple[float, float], up: tuple[float, float]
) -> Chart:
    """Curves through points (x, y) between two ends of each axis, with five steps on either."""

    def at(x: float, y: float) -> tuple[float, float]:
        left = (WIDTH - LEFT - RIGHT) * (x - across[0]) / (across[1] - across[0])
        below = (HEIGHT - TOP - BOTTOM) * (y - up[0]) / (up[1] - up[0])
        return round(LEFT + left, 1), round(HEIGHT - BOTTOM - below, 1)

    places = {name: [at(x, y) for x, y in points] for name, points in series.items()}
    return Chart(
        lines=[Line(name, _points(found), "", found[-1]) for name, found in places.items()],
        x_marks=[(at(x, up[0])[0], f"{x:.1f}") for x in _fifths(*across)],
        y_marks=[(at(across[0], y)[1], y) for y in _fifths(*up)],
        width=WIDTH,
    )


def _fifths(low: float, high: float) -> list[float]:
    return [low + (high - low) * i / 5 for i in range(6)]


def _line(name: str, found: Sequence[Estimate], at: At) -> Line:
    known = [at(i, each.value) for i, each in enumerate(found) if each.value is not None]
    upper = [at(i, each.high) for i, each in enumerate(found) if each.high is not None and each.low is not None]
    lower = [at(i, each.low) for i, each in enumerate(found) if each.high is not None and each.low is not None]
    return Line(name, _points(known), _points([*upper, *reversed(lower)]), known[-1])


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in places)


def _step(low: float, high: float) -> float:
    """A round distance between the marks of an axis, of which there are about TICKS."""
    rough = max((high - low) / TICKS, 1e-9)
    power = 1.0
    while power > rough:
        power /= 10
    while power * 10 <= rough:
        power *= 10
    return next(power * step for step in STEPS if power * step >= rough * 0.999)
