"""The same held-out prompts answered before and after the training, side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from transformers import set_seed

from rlhf.config import PpoConfig
from rlhf.data import Turn
from rlhf.quartet import Adapter, Quartet
from rlhf.records import Records
from rlhf.rollout import ask, grouped
from rlhf.sampling import SamplingRule, sample
from rlhf.sequences import Encoder, fit

SAMPLES = "samples.jsonl"
PENALTY = 0.01
SIDES: dict[str, Adapter] = {"before": "reference", "after": "policy"}


def compare(
    quartet: Quartet, encoder: Encoder, turns: Sequence[Turn], config: PpoConfig, folder: Path, records: Records
) -> dict[str, Any]:
    """The same held-out prompts answered by the reference and by the policy, with score, length and divergence.

    Both draw with the same seed. Samples go to ``samples.jsonl``, those whose score changed most first.
    """
    chosen = list(turns)[: config.compared]
    if not chosen:
        return {}
    room = max(config.max_length - config.max_new_tokens, config.max_length // 2)
    prompts = [fit(encoder, turn.prompt, (), room).prompt for turn in chosen]
    sides: dict[str, Side] = {}
    for name, adapter in SIDES.items():
        records.progress(len(sides), len(SIDES), f"answering held-out prompts {name} the training")
        sides[name] = _answered_by(quartet, adapter, encoder, prompts, config)
    rows: list[dict[str, Any]] = [
        {
            "dialogue": turn.dialogue,
            "number": turn.number,
            "department": turn.department,
            "history": [list(exchange) for exchange in turn.prompt.history],
            "message": turn.prompt.message,
            **{name: side.row(i) for name, side in sides.items()},
        }
        for i, turn in enumerate(chosen)
    ]
    rows.sort(key=lambda row: -abs(row["after"]["score"] - row["before"]["score"]))
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / SAMPLES).write_text(text, encoding="utf-8")
    wins = np.array([(1 + np.sign(row["after"]["score"] - row["before"]["score"])) / 2 for row in rows])
    longer = np.array([row["after"]["tokens"] - row["before"]["tokens"] for row in rows], dtype=float)
    measured = {f"{what}_{name}": value for name, side in sides.items() for what, value in side.means().items()}
    won = {"win_rate": float(wins.mean()), "win_rate_at_equal_length": at_equal_length(wins, longer)}
    return {"compared_prompts": len(rows), **won, **measured}


def at_equal_length(wins: NDArray[np.float64], longer: NDArray[np.float64]) -> float:
    """The win rate that is left where both answers have the same length.

    wins (N,) 1, 0, or 0.5 for equal scores; longer (N,) by how many tokens the answer after is longer. A logistic
    regression of winning on the difference in length, read where that is 0; the small penalty keeps it finite where
    length decides everything. Source: Dubois et al. 2024 (length-controlled AlpacaEval), equation 2, one model pair.
    """
    spread = longer.std()
    if spread == 0:
        return float(wins.mean())
    design = np.column_stack([np.ones_like(longer), np.tanh(longer / spread)])

    def cost(weights: NDArray[np.float64]) -> float:
        logits = design @ weights
        return float((np.logaddexp(0, logits) - wins * logits).sum() + PENALTY * (weights**2).sum())

    return float(expit(minimize(cost, np.zeros(2)).x[0]))


@dataclass(frozen=True)
class Side:
    """What one adapter answered: texts, scores, tokens, whether each ended, nats of divergence from the reference."""

    texts: list[str]
    scores: list[float]
    tokens: list[int]
    ended: list[bool]
    divergence: list[float]

    def row(self, i: int) -> dict[str, Any]:
        """One answer."""
        return {
            "text": self.texts[i],
            "score": round(self.scores[i], 4),
            "tokens": self.tokens[i],
            "ended": self.ended[i],
            "kl": round(self.divergence[i], 4),
        }

    def means(self) -> dict[str, float]:
        """The means over all answers."""
        return {
            "score": float(np.mean(self.scores)),
            "tokens": float(np.mean(self.tokens)),
            "ended": float(np.mean(self.ended)),
            "kl": float(np.mean(self.divergence)),
        }


@torch.no_grad()
def _answered_by(
    quartet: Quartet, adapter: Adapter, encoder: Encoder, prompts: Sequence[Sequence[int]], config: PpoConfig
) -> Side:
    quartet.eval()
    quartet.use(adapter)
    set_seed(config.seed)
    rule = SamplingRule(config.max_new_tokens, config.temperature)
    responses = sample(
        quartet.model, prompts, rule, end_id=encoder.end_id, pad_id=encoder.pad_id,
        batch_size=config.generate_batch_size,
    )  # fmt: skip
    answered = grouped(prompts, responses, encoder)
    said, scores = ask(quartet, answered, (adapter, "reference"), config.micro_batch_size)
    return Side(
        [encoder.decode(response) for response in responses],
        scores.tolist(),
        [len(response) for response in responses],
        [response[-1] == encoder.end_id for response in responses],
        (said[adapter] - said["reference"]).sum(dim=1).tolist(),
    )
