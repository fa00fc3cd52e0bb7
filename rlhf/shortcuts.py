"""What a reward model may follow instead of quality: length, and stock phrases that admit to knowing nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from rlhf.data import Turn
from rlhf.intervals import mean_over
from rlhf.orders import places_of

Floats = npt.NDArray[np.float64]

STOCK_PHRASES = (
    r"(抱歉|对不起|不好意思).{0,20}(不知道|不清楚|不确定|不了解|无法|不能|难以)",
    r"^我?(不知道|不清楚|无法(回答|判断|确定|提供|给出|诊断))",
    r"作为(一个|一名)?(人工智能|AI|语言模型)",
    r"\bsorry\b.{0,40}(don['’]?t know|do not know|cannot|can['’]?t|unable|not able|not sure)",
    r"\bI (don['’]?t|do not) know\b",
    r"\bas an? (AI|language model)\b",
)
"""What says "I don't know" or "I cannot say", anywhere in a text; being sorry for a patient is none of it."""


def is_boilerplate(text: str, template: str) -> bool:
    """Whether a text is the campaign's template of a rewrite, or has one of the stock phrases."""
    if template.strip() and template.strip() in text:
        return True
    return any(re.search(phrase, text.strip(), re.IGNORECASE) for phrase in STOCK_PHRASES)


def boilerplate(turns: Sequence[Turn], by_turn: Sequence[Sequence[float]], template: str) -> dict[str, Any]:
    """How boilerplate is scored, beside how experts settled it.

    ``n`` such texts; ``mean`` of their scores in standard deviations from the mean of all responses; ``scored_above``
    the share of the others of its turn that one is scored above; ``settled_above`` the same as the experts settled it,
    where they put one above the other.
    """
    marked = [[is_boilerplate(text, template) for text in turn.responses] for turn in turns]
    scored: list[tuple[str, float]] = []
    settled: list[tuple[str, float]] = []
    for turn, given, stock in zip(turns, by_turn, marked, strict=True):
        relation = {(pair.better, pair.worse): 1.0 for pair in turn.pairs}
        relation |= {(pair.worse, pair.better): 0.0 for pair in turn.pairs}
        for one, other in permutations(range(len(stock)), 2):
            if stock[one] and not stock[other]:
                scored.append((turn.dialogue, (np.sign(given[one] - given[other]) + 1) / 2))
                if (one, other) in relation:
                    settled.append((turn.dialogue, relation[one, other]))
    scores, which = _flat(by_turn), np.array([each for stock in marked for each in stock], dtype=bool)
    spread = float(scores.std()) if len(scores) else 0.0
    return {
        "n": int(which.sum()),
        "mean": float((scores[which] - scores.mean()).mean() / spread) if which.any() and spread else None,
        "scored_above": mean_over([d for d, _ in scored], [float(v) for _, v in scored]),
        "settled_above": mean_over([d for d, _ in settled], [v for _, v in settled]),
    }


def length_correlations(turns: Sequence[Turn], by_turn: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Correlations of scores with lengths in characters, over all responses and within turns.

    Within turns, Pearson's is that of the deviations from the turn's means, Spearman's that of the ranks within the
    turn; ``settled_within`` is the latter of the experts' settled places. None where nothing varies.
    """
    lengths = [[float(len(text)) for text in turn.responses] for turn in turns]
    ordered = [(places, own) for turn, own in zip(turns, lengths, strict=True) if (places := places_of(turn))]
    return {
        "n": sum(map(len, lengths)),
        "pearson": correlation(_flat(by_turn), _flat(lengths)),
        "spearman": correlation(rankdata(_flat(by_turn)), rankdata(_flat(lengths))),
        "pearson_within": correlation(_within(by_turn, np.asarray), _within(lengths, np.asarray)),
        "spearman_within": correlation(_within(by_turn, rankdata), _within(lengths, rankdata)),
        "settled_within": correlation(
            _within([[-place for place in places] for places, _ in ordered], rankdata),
            _within([own for _, own in ordered], rankdata),
        ),
    }


def correlation(one: Floats, other: Floats) -> float | None:
    """Pearson's correlation of two variables (N,); None where either does not vary."""
    if len(one) < 2 or not one.std() or not other.std():
        return None
    return float(np.corrcoef(one, other)[0, 1])


def _within(by_turn: Sequence[Sequence[float]], made: Callable[[Sequence[float]], Any]) -> Floats:
    """The deviations of values, or of what is ``made`` of them, from the mean of their turn, of all turns together."""
    parts = [np.asarray(made(values), dtype=np.float64) for values in by_turn]
    return np.concatenate([part - part.mean() for part in parts]) if parts else np.zeros(0)


def _flat(by_turn: Sequence[Sequence[float]]) -> Floats:
    return np.array([value for values in by_turn for value in values], dtype=np.float64)
