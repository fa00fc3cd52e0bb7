"""From sequences to scores: batches of turns, read at their last tokens."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import Any

import torch
from torch import Tensor


def pad_right(sequences: Sequence[Sequence[int]], pad_id: int) -> dict[str, Tensor]:
    """input_ids, attention_mask (N, T), filled on the right, and score_positions (N,), the last tokens."""
    longest = max(map(len, sequences))
    lengths = torch.tensor([len(ids) for ids in sequences])
    return {
        "input_ids": torch.tensor([[*ids, *[pad_id] * (longest - len(ids))] for ids in sequences]),
        "attention_mask": (torch.arange(longest)[None, :] < lengths[:, None]).long(),
        "score_positions": lengths - 1,
    }


def collate(rows: Sequence[dict[str, Any]], pad_id: int, *, strict_only: bool) -> dict[str, Tensor]:
    """A micro-batch of turns as tensors.

    What ``pad_right`` gives for all their N responses; better, worse (P,) the rows of each strict pair; weights (P,) 1
    over the divisor of its turn, which is C(n, 2), or its strict pairs with ``strict_only``; turns () that have a pair.
    """
    better: list[int] = []
    worse: list[int] = []
    weights: list[float] = []
    first = 0
    for row in rows:
        pairs, n = row["pairs"], len(row["sequences"])
        better += [first + pair[0] for pair in pairs]
        worse += [first + pair[1] for pair in pairs]
        weights += [1 / (len(pairs) if strict_only else comb(n, 2)) for _ in pairs]
        first += n
    return {
        **pad_right([ids for row in rows for ids in row["sequences"]], pad_id),
        "better": torch.tensor(better, dtype=torch.long),
        "worse": torch.tensor(worse, dtype=torch.long),
        "weights": torch.tensor(weights),
        "turns": torch.tensor(sum(bool(row["pairs"]) for row in rows)),
    }


def scores_of(model: Any, batch: dict[str, Tensor]) -> Tensor:
    """The scores (N,) of the sequences of a batch, read at their last tokens."""
    output = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        score_positions=batch["score_positions"],
    )
    return output.logits.squeeze(-1)


@torch.no_grad()
def score_sequences(
    model: Any, sequences: Sequence[Sequence[int]], pad_id: int, batch_size: int, device: torch.device
) -> list[float]:
    """The score of each sequence, read at its last token; those of like length are scored together."""
    by_length = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    found = [0.0] * len(sequences)
    for start in range(0, len(by_length), batch_size):
        chosen = by_length[start : start + batch_size]
        batch = pad_right([sequences[i] for i in chosen], pad_id)
        scores = scores_of(model, {name: tensor.to(device) for name, tensor in batch.items()})
        for i, score in zip(chosen, scores.tolist(), strict=True):
            found[i] = score
    return found
