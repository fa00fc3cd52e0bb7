"""Alarms of a PPO run: what a rollout looks like where the policy has begun to please the reward model alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rlhf.config import PpoConfig


@dataclass(frozen=True)
class Alarm:
    """One that went off: ``event`` as the run's records name it, what was measured, and the limit that it crossed."""

    event: str
    measured: float
    limit: float


@dataclass
class Watch:
    """Compares each rollout with the first one of the run; what it remembers goes into checkpoints."""

    config: PpoConfig
    first: dict[str, Any] = field(default_factory=dict)
    in_a_row: int = 0

    def see(self, watched: Mapping[str, float], scores: Sequence[float]) -> list[Alarm]:
        """The alarms of the next rollout; ``watched`` is what ``judge`` says of it, and ``scores`` are its own."""
        if not self.first:
            kept = {name: watched[name] for name in ("surprise", "response_tokens")}
            self.first = {**kept, "scores": sorted(scores)}
        alarms = [alarm for alarm in self._all(watched, scores) if alarm is not None]
        self.in_a_row = self.in_a_row + 1 if alarms else 0
        return alarms

    @property
    def enough(self) -> bool:
        """Whether the run is to stop."""
        return 0 < self.config.abort_after <= self.in_a_row

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"first": self.first, "in_a_row": self.in_a_row}

    def take_up(self, state: Mapping[str, Any]) -> None:
        """Goes on from what a checkpoint kept."""
        self.first, self.in_a_row = dict(state["first"]), state["in_a_row"]

    def _all(self, watched: Mapping[str, float], scores: Sequence[float]) -> Iterator[Alarm | None]:
        config, tokens = self.config, self.first["response_tokens"]
        yield _above("KL alarm", watched["kl"], config.alarm_kl)
        if config.alarm_entropy:
            limit = config.alarm_entropy * self.first["surprise"]
            yield Alarm("entropy alarm", watched["surprise"], limit) if watched["surprise"] < limit else None
        if config.alarm_length:
            yield _above("length alarm", watched["response_tokens"], config.alarm_length * tokens)
            least = tokens / config.alarm_length
            yield (
                Alarm("length alarm", watched["response_tokens"], least) if watched["response_tokens"] < least else None
            )
        yield _above("score shift alarm", shift(self.first["scores"], scores), config.alarm_score_shift)


def shift(first: Sequence[float], now: Sequence[float]) -> float:
    """How far the distribution of as many scores has moved: the mean distance of its quantiles (Wasserstein 1)."""
    return float(np.abs(np.sort(first) - np.sort(now)).mean())


def _above(event: str, measured: float, limit: float) -> Alarm | None:
    return Alarm(event, measured, limit) if limit and measured > limit else None
