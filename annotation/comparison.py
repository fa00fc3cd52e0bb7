"""Rankings of the same turn set against each other, whoever made them and why: what the figures of agreement take."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from annotation.abilities import Ability
from annotation.agreement import Grouping, Statistic, agreement, agreement_by
from annotation.bootstrap import Estimate
from annotation.columns import Doubles, Judgements, Turns, pack
from annotation.ranking import Ranking

Figures = dict[Statistic, Estimate]


@dataclass(frozen=True)
class Comparison:
    """Two rankings of one turn; ``dialogue`` names what the bootstrap resamples."""

    dialogue: Hashable
    first: Ranking
    second: Ranking


def figures(comparisons: Sequence[Comparison], k: int) -> Figures:
    """Every statistic of agreement over these comparisons, of K responses each; undefined where there are none."""
    return agreement(_doubles(comparisons, k), _dialogues(comparisons))


def figures_by_ability(comparisons: Sequence[Comparison], k: int) -> dict[Ability, Figures]:
    """The same for the pairs that each ability decides for one of the two, the most important ability first."""
    by = agreement_by(_doubles(comparisons, k), _dialogues(comparisons), Grouping.ABILITY)
    return {ability: found for ability, found in by.items() if isinstance(ability, Ability)}


def _dialogues(comparisons: Sequence[Comparison]) -> int:
    return len({each.dialogue for each in comparisons})


def _doubles(comparisons: Sequence[Comparison], k: int) -> Doubles:
    """As columns: the rankings of a comparison one after the other, each comparison a turn of its own."""
    number = {dialogue: i for i, dialogue in enumerate(dict.fromkeys(each.dialogue for each in comparisons))}
    rankings = [ranking for each in comparisons for ranking in (each.first, each.second)]
    packed = b"".join(pack(ranking.to_json(), range(k), k) for ranking in rankings)
    count = len(comparisons)
    judgements = Judgements(
        k=k,
        packed=np.frombuffer(packed, dtype=np.int8).reshape(-1, 3 * k),
        turn=np.repeat(np.arange(count), 2),
        dialogue=np.repeat(np.array([number[each.dialogue] for each in comparisons], dtype=np.int64), 2),
        annotator=np.zeros(2 * count, dtype=np.int64),
        guideline=np.zeros(2 * count, dtype=np.int64),
        seconds=np.zeros(2 * count),
        at=np.zeros(2 * count, dtype="datetime64[s]"),
    )
    turns = Turns(
        id=np.arange(count),
        department=np.zeros(count, dtype=np.str_),
        depth=np.zeros(count, dtype=np.int64),
        source=np.full(count, -1, dtype=np.int8),
        reviewed=np.zeros(count, dtype=np.bool_),
    )
    return Doubles(turns, judgements, np.arange(2 * count).reshape(-1, 2))
