"""How much a turn counts in the training, and by how much a pair's better answer has to lead: all off by default."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from rlhf.config import RewardConfig
from rlhf.data import Snapshot, Turn

TOO_FAST = 0.25
"""A ranking made in less than this share of the median time is hasty; the campaign's statistics say so too."""


@dataclass(frozen=True)
class Weighting:
    """What rankings are worth. ``hasty`` counts, by dialogue and number of a turn, the hasty ones that settled it."""

    margin: float = 0.0
    disputed_weight: float = 1.0
    hasty_weight: float = 1.0
    hasty: dict[tuple[str, int], int] = field(default_factory=dict)

    @classmethod
    def of(cls, config: RewardConfig, snapshot: Snapshot) -> Self:
        """What a config says, of the rankings of a snapshot."""
        return cls(config.margin, config.disputed_weight, config.hasty_weight, hasty_rankings(snapshot))

    def margins(self, turn: Turn) -> list[float]:
        """One number a pair: the margin where doctors called the difference clear, else 0.

        A pair is clear across at least one clear boundary, if everybody who ordered it so and spoke of it says so; two
        clear boundaries count once, for strength was said to be slight or clear and not how many times.
        """
        return [self.margin if pair.strength == "clear" else 0.0 for pair in turn.pairs]

    def weight(self, turn: Turn) -> float:
        """disputed_weight where a third expert decided, times hasty_weight for each hasty ranking; 1 for any other."""
        disputed = self.disputed_weight if turn.settled_by == "adjudicated" else 1.0
        return float(disputed * self.hasty_weight ** self.hasty.get((turn.dialogue, turn.number), 0))


PLAIN = Weighting()
"""Every turn counts 1, and no pair has a margin."""


def hasty_rankings(snapshot: Snapshot) -> dict[tuple[str, int], int]:
    """How many of the rankings that settled a turn are hasty; those whose time was not measured are not."""
    measured = [given.seconds for each in snapshot.judgements.values() for given in each if given.seconds > 0]
    limit = TOO_FAST * float(np.median(measured)) if measured else 0.0
    counts = {turn: sum(0 < given.seconds < limit for given in each) for turn, each in snapshot.judgements.items()}
    return {turn: count for turn, count in counts.items() if count}
