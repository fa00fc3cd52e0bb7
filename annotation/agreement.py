"""When two rankings agree, and how far the annotators of a campaign do.

Every figure is computed on rank vectors and on the relations of pairs, never on orderings of names.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import TypeVar

import krippendorff
import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau

from annotation.abilities import Ability
from annotation.ranking import Pair, Ranking, Relation


def agree(first: Ranking, second: Ranking) -> bool:
    """Whether the outcome and all C(K, 2) relations of the two are the same."""
    return first.none_acceptable == second.none_acceptable and first.relations() == second.relations()


def contested_pairs(first: Ranking, second: Ranking) -> list[Pair]:
    """The pairs whose relations differ; all of them where only one of the two has an order."""
    ours, theirs = first.relations(), second.relations()
    return [pair for pair in sorted(ours.keys() | theirs.keys()) if ours.get(pair) != theirs.get(pair)]


@dataclass(frozen=True)
class DoubleRanking:
    """One turn as its two annotators ranked it; ``dialogue`` names what the bootstrap resamples."""

    dialogue: Hashable
    first: Ranking
    second: Ranking

    @property
    def ordered(self) -> bool:
        """Whether both annotators gave an order."""
        return self.first.has_order and self.second.has_order


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval over dialogues; None where it is undefined. ``n`` counts turns."""

    value: float | None
    low: float | None
    high: float | None
    n: int


Key = TypeVar("Key", bound=Hashable)
Tally = tuple[float, float]
"""What one turn adds to a mean: to the sum, and to the count."""

NOTHING: Tally = (0.0, 0.0)


def pairs_alike(turn: DoubleRanking) -> Tally:
    """Pairs of responses with the same relation, of all pairs; a tie is a relation of its own."""
    if not turn.ordered:
        return NOTHING
    ours, theirs = turn.first.relations(), turn.second.relations()
    return float(sum(ours[pair] == theirs[pair] for pair in ours)), float(len(ours))


def pairs_alike_decided_by(ability: Ability) -> Callable[[DoubleRanking], Tally]:
    """Like ``pairs_alike``, of the pairs between which this ability decides for at least one of the two."""

    def measure(turn: DoubleRanking) -> Tally:
        if not turn.ordered:
            return NOTHING
        ours, theirs = turn.first.relations(), turn.second.relations()
        named = [
            pair for pair in ours if ability in (turn.first.deciding_ability(pair), turn.second.deciding_ability(pair))
        ]
        return float(sum(ours[pair] == theirs[pair] for pair in named)), float(len(named))

    return measure


def order_alike(turn: DoubleRanking) -> Tally:
    """Whether the outcome and the whole order are the same."""
    return float(agree(turn.first, turn.second)), 1.0


def best_alike(turn: DoubleRanking) -> Tally:
    """Whether the best group is the same."""
    return (float(turn.first.groups[0] == turn.second.groups[0]), 1.0) if turn.ordered else NOTHING


def tau_b(turn: DoubleRanking) -> Tally:
    """Kendall's tau-b of the two rank vectors; a turn that one of the two tied throughout has none."""
    if not turn.ordered:
        return NOTHING
    tau = _tau_b(tuple(turn.first.ranks()), tuple(turn.second.ranks()))
    return NOTHING if np.isnan(tau) else (tau, 1.0)


@cache
def _tau_b(first: tuple[int, ...], second: tuple[int, ...]) -> float:
    return float(kendalltau(first, second, variant="b").statistic)


MEANS: dict[str, Callable[[DoubleRanking], Tally]] = {
    "pair_agreement": pairs_alike,
    "exact_agreement": order_alike,
    "top1_agreement": best_alike,
    "tau_b": tau_b,
}


def mean_over_turns(
    measure: Callable[[DoubleRanking], Tally],
    turns: Sequence[DoubleRanking],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """The measure's mean with a percentile bootstrap over dialogues, whose turns depend on one another."""
    tallies = np.array([measure(turn) for turn in turns]).reshape(-1, 2)
    sums = _sum_by_dialogue(tallies, [turn.dialogue for turn in turns])
    total, count = sums.sum(axis=0)
    if count == 0:
        return Estimate(None, None, None, 0)
    n = int(np.count_nonzero(tallies[:, 1]))
    if len(sums) < 2:
        return Estimate(float(total / count), None, None, n)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=resamples)
    drawn = weights @ sums
    means = drawn[drawn[:, 1] > 0]
    low, high = np.quantile(means[:, 0] / means[:, 1], [0.025, 0.975])
    return Estimate(float(total / count), float(low), float(high), n)


def alpha_of_relations(turns: Sequence[DoubleRanking], *, resamples: int = 100, seed: int = 0) -> Estimate:
    """Krippendorff's alpha, ordinal over worse < tie < better, each pair of responses being a unit.

    Source: Krippendorff, Content Analysis (2004), chapter 11. Undefined where every relation is the same.
    """
    by_dialogue: dict[Hashable, list[npt.NDArray[np.int64]]] = {}
    for turn in turns:
        if turn.ordered:
            by_dialogue.setdefault(turn.dialogue, []).append(_relation_counts(turn))
    units = [np.concatenate(counts) for counts in by_dialogue.values()]
    n = sum(turn.ordered for turn in turns)
    value = _alpha(units)
    if value is None or len(units) < 2:
        return Estimate(value, None, None, n)
    rng = np.random.default_rng(seed)
    drawn = [_alpha([units[i] for i in rng.integers(len(units), size=len(units))]) for _ in range(resamples)]
    low, high = np.quantile([alpha for alpha in drawn if alpha is not None], [0.025, 0.975])
    return Estimate(value, float(low), float(high), n)


def pair_agreement_by(keyed: Iterable[tuple[Key, DoubleRanking]]) -> dict[Key, Estimate]:
    """Pair agreement of each group of turns, the largest group first."""
    groups: dict[Key, list[DoubleRanking]] = {}
    for key, turn in keyed:
        groups.setdefault(key, []).append(turn)
    ordered = sorted(groups.items(), key=lambda group: len(group[1]), reverse=True)
    return {key: mean_over_turns(pairs_alike, turns) for key, turns in ordered}


def pair_agreement_by_ability(turns: Sequence[DoubleRanking]) -> dict[Ability, Estimate]:
    """Pair agreement by what decides, the most important ability first; abilities that never decide are left out."""
    found = {ability: mean_over_turns(pairs_alike_decided_by(ability), turns) for ability in Ability}
    return {ability: estimate for ability, estimate in found.items() if estimate.n}


def summary(turns: Sequence[DoubleRanking]) -> dict[str, Estimate]:
    """Every figure of agreement for these turns, by name."""
    figures = {name: mean_over_turns(measure, turns) for name, measure in MEANS.items()}
    return {**figures, "alpha": alpha_of_relations(turns)}


def _sum_by_dialogue(tallies: npt.NDArray[np.float64], dialogues: list[Hashable]) -> npt.NDArray[np.float64]:
    number = {dialogue: i for i, dialogue in enumerate(dict.fromkeys(dialogues))}
    sums = np.zeros((len(number), 2))
    np.add.at(sums, [number[dialogue] for dialogue in dialogues], tallies)
    return sums


def _relation_counts(turn: DoubleRanking) -> npt.NDArray[np.int64]:
    """How often each relation was given to each pair of responses: (pairs, 3)."""
    scale = {Relation.WORSE: 0, Relation.TIE: 1, Relation.BETTER: 2}
    counts = np.zeros((len(turn.first.relations()), len(scale)), dtype=np.int64)
    for relations in (turn.first.relations(), turn.second.relations()):
        for unit, relation in enumerate(relations.values()):
            counts[unit, scale[relation]] += 1
    return counts


def _alpha(units: Sequence[npt.NDArray[np.int64]]) -> float | None:
    counts = np.array(list(chain.from_iterable(units)))
    if len(counts) == 0 or np.count_nonzero(counts.sum(axis=0)) < 2:
        return None
    return float(krippendorff.alpha(value_counts=counts, level_of_measurement="ordinal"))
