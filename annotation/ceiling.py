"""What the experts' agreement says about the best accuracy that a reward model can show.

A model, not a promise: every strict pair has a true winner, each expert names it with the same probability q whatever
the pair, and experts err independently. Then two of them agree with probability a = q^2 + (1 - q)^2. Disagreement that
comes from pairs without a true winner, or errors that experts share, break this: shared errors make it too high.
Source: the same relation underlies Dawid and Skene (1979) with two raters of equal, symmetric error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from annotation.agreement import Statistic, tallies
from annotation.bootstrap import Estimate, FigureOf, divide, estimates, ratio
from annotation.columns import Bools, Doubles, Floats


@dataclass(frozen=True)
class Ceiling:
    """The agreement on strict pairs, and what a model that knows every true winner would reach.

    ``fresh``: measured against one more expert. ``settled``: measured against settled labels.
    """

    agreement: Estimate
    fresh: Estimate
    settled: Estimate


def expert_accuracy(agree: Floats) -> Floats:
    """How often one expert is right: q of a = q^2 + (1 - q)^2, so (1 + sqrt(2a - 1)) / 2; undefined below a half."""
    within = np.where(np.asarray(agree) >= 0.5, agree, np.nan)
    return np.asarray((1 + np.sqrt(2 * within - 1)) / 2)


def settled_accuracy(expert: Floats) -> Floats:
    """How often a settled label is right: both are, or one is and a third expert of the same q: q^2 (3 - 2q)."""
    return np.asarray(expert**2 * (3 - 2 * expert))


def ceiling(doubles: Doubles, dialogues: int, pairs: Bools | None = None) -> Ceiling:
    """The ceilings that the agreement on strict pairs sets, with intervals over dialogues; n counts turns.

    ``pairs`` (N, P) restricts it to these. Undefined where experts agree on less than half.
    """
    table = tallies(doubles, pairs)[:, 8:10]
    rows = np.flatnonzero(table[:, 1])
    figures: dict[str, FigureOf] = {
        Statistic.STRICT: ratio(0, 1),
        "fresh": lambda sums: expert_accuracy(_agreement(sums)),
        "settled": lambda sums: settled_accuracy(expert_accuracy(_agreement(sums))),
    }
    found = estimates(table[rows], doubles.dialogue[rows], dialogues, figures, dict.fromkeys(figures, len(rows)))
    return Ceiling(found[Statistic.STRICT], found["fresh"], found["settled"])


def _agreement(sums: Floats) -> Floats:
    return divide(sums[..., 0], sums[..., 1])


def true_accuracy(measured: float, settled: float) -> float | None:
    """How often a reward model names the true winner, from its accuracy on settled labels that are right so often.

    measured = t s + (1 - t)(1 - s). None where labels are no better than chance; kept within 0 and 1.
    """
    if settled <= 0.5:
        return None
    return min(max((measured - (1 - settled)) / (2 * settled - 1), 0.0), 1.0)
