"""How well numbers order the responses of a turn: whether the best comes first, and Kendall's tau."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from rlhf.data import Turn
from rlhf.intervals import mean_over

Scores = Sequence[float]
Places = Sequence[float]
"""Where each response stands: the smaller the better."""

Figure = Callable[[Scores, Places], float]


def places_of(turn: Turn) -> Places | None:
    """The settled places of a turn's responses, a rewrite above them all; None where it has no whole order."""
    if turn.places is None:
        return None
    return (*turn.places, -1) if turn.rewritten else turn.places


def top1(scores: Scores, places: Places) -> float:
    """The share of the responses with the highest score that stand in the best place."""
    first = np.asarray(scores) == max(scores)
    return float((np.asarray(places) == min(places))[first].mean())


def tau_b(scores: Scores, places: Places) -> float:
    """Kendall's tau-b of higher scores with better places; not a number where all are level on either side."""
    return float(kendalltau(scores, [-place for place in places]).statistic)


FIGURES: dict[str, Figure] = {"top1": top1, "tau": tau_b}


def orders(turns: Sequence[Turn], by_turn: Sequence[Scores]) -> dict[str, dict[str, Any]]:
    """Each of the figures, its mean over the turns with a whole order, with its interval."""
    ordered = [(t, s, p) for t, s in zip(turns, by_turn, strict=True) if (p := places_of(t)) is not None]
    return {
        name: _mean([(turn.dialogue, figure(scores, places)) for turn, scores, places in ordered])
        for name, figure in FIGURES.items()
    }


def orders_of_experts(turns: Sequence[Turn], given: Sequence[Sequence[Places]]) -> dict[str, dict[str, Any]]:
    """The same of two experts beside each other, of the turns whose two rankings have an order.

    ``given`` has the places that each expert of a turn gave the K; each is taken as the scores of the other, and the
    mean of both counts.
    """
    both = [(turn.dialogue, each[0], each[1]) for turn, each in zip(turns, given, strict=True) if len(each) == 2]
    return {
        name: _mean([(d, (figure(_scores(a), b) + figure(_scores(b), a)) / 2) for d, a, b in both])
        for name, figure in FIGURES.items()
    }


def _scores(places: Places) -> Scores:
    return [-place for place in places]


def _mean(found: Sequence[tuple[str, float]]) -> dict[str, Any]:
    defined = [(dialogue, value) for dialogue, value in found if not np.isnan(value)]
    return mean_over([dialogue for dialogue, _ in defined], [value for _, value in defined])
