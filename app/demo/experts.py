"""Simulated experts: they read the faults that the sample's authors put into each response, not always rightly.

Each expert overlooks some faults, a slight one more easily than a serious one, imagines one now and then, and ranks by
the nine abilities in strict priority. They are labelled as simulated wherever they appear.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from annotation.abilities import Ability
from annotation.adjudication import Answer, Asks, Question
from annotation.ranking import Boundary, Ranking, Relation, Strength

SERIOUS = 2
Severities = dict[Ability, int]


@dataclass(frozen=True)
class Expert:
    """How attentively somebody reads; the shares are of faults overlooked and of responses with an imagined one."""

    seed: int
    overlooks_slight: float = 0.3
    overlooks_serious: float = 0.14
    imagines: float = 0.12

    def perceive(self, turn: str, response: int, faults: Severities) -> Severities:
        """The faults this expert sees in a response; always the same ones for the same response."""
        rng = random.Random(f"{self.seed}:{turn}:{response}")
        seen = {a: s for a, s in faults.items() if rng.random() > self._overlooks(s)}
        if rng.random() < self.imagines:
            imagined = rng.choice([Ability.CLARITY, Ability.INITIATIVE, Ability.COHERENCE, Ability.WARM_TONE])
            seen.setdefault(imagined, 1)
        return seen

    def rank(self, turn: str, faults: list[Severities]) -> Ranking:
        """The expert's ranking of a turn."""
        return rank_by([self.perceive(turn, i, each) for i, each in enumerate(faults)])

    def _overlooks(self, severity: int) -> float:
        return self.overlooks_serious if severity >= SERIOUS else self.overlooks_slight


ANNOTATORS = tuple(Expert(seed) for seed in range(1, 7))
ADJUDICATOR = Expert(99, overlooks_slight=0.03, overlooks_serious=0.01, imagines=0.0)


@cache
def known_faults() -> dict[str, list[list[Severities]]]:
    """By dialogue, turn and response, the faults that the authors of the sample put there."""
    data = json.loads((Path(__file__).parent / "faults.json").read_text(encoding="utf-8"))
    return {
        dialogue: [[{Ability(a): s for a, s in faults} for faults in responses] for responses in turns]
        for dialogue, turns in data.items()
    }


def rank_by(seen: list[Severities]) -> Ranking:
    """The ranking that follows from perceived faults, compared ability by ability, the most important first.

    Where every response has a serious fault of accuracy or safety, none is acceptable.
    """
    vectors = [tuple(each.get(ability, 0) for ability in Ability) for each in seen]
    levels = sorted(set(vectors))
    groups = tuple(tuple(i for i, v in enumerate(vectors) if v == level) for level in levels)
    boundaries = tuple(_boundary(high, low) for high, low in pairwise(levels))
    none_acceptable = all(max(v[Ability.ACCURACY - 1], v[Ability.SAFETY - 1]) >= SERIOUS for v in vectors)
    return Ranking(groups, boundaries, {i: frozenset(each) for i, each in enumerate(seen)}, none_acceptable)


def say(question: Question, seen: list[Severities], answered: Relation | None, rewrite: str) -> bool | Answer | str:
    """What an adjudicator who sees these faults says to a question: an outcome, an answer about a pair, or a rewrite.

    ``answered`` is the relation that a pair has by now, where only its deciding ability is asked.
    """
    own = rank_by(seen)
    if question.asks is Asks.OUTCOME:
        return own.none_acceptable
    if question.asks is Asks.REWRITE:
        return rewrite
    assert question.pair is not None
    relation = answered or own.relations()[question.pair]
    return Answer(question.pair, relation, own.deciding_ability(question.pair) or Ability.CLARITY)


def _boundary(high: tuple[int, ...], low: tuple[int, ...]) -> Boundary:
    first = next(i for i in range(len(high)) if high[i] != low[i])
    clear = low[first] - high[first] >= SERIOUS
    return Boundary(Ability(first + 1), Strength.CLEAR if clear else Strength.SLIGHT)
