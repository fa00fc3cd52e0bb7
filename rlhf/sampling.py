"""Answering prompts with a model: batches of like length, padded on the left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig


@dataclass(frozen=True)
class SamplingRule:
    """How tokens are drawn; a temperature of 0 takes the likeliest."""

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0

    def generation_config(self, end_id: int, pad_id: int) -> GenerationConfig:
        """The library's configuration, for use ``without_defaults``."""
        drawn = {"do_sample": True, "temperature": self.temperature, "top_p": self.top_p, "top_k": 0}
        return GenerationConfig(
            max_new_tokens=self.max_new_tokens,
            eos_token_id=end_id,
            pad_token_id=pad_id,
            **(drawn if self.temperature > 0 else {"do_sample": False}),
        )


def pad_left(prompts: Sequence[Sequence[int]], pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Prompts as input_ids and attention_mask (B, P), filled on the left."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[pad_id] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    mask = torch.arange(longest, device=device)[None, :] >= (longest - lengths)[:, None]
    return ids, mask.long()


@contextmanager
def without_defaults(model: Any) -> Iterator[None]:
    """What came with a model, such as a penalty on repetitions, fills every gap of a configuration: not here.

    Tokens have to be drawn from the distribution in which they are scored later.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    came_with, base.generation_config = base.generation_config, GenerationConfig()
    try:
        yield
    finally:
        base.generation_config = came_with


@torch.no_grad()
def sample(
    model: Any,
    prompts: Sequence[Sequence[int]],
    rule: SamplingRule,
    *,
    end_id: int,
    pad_id: int,
    batch_size: int,
) -> list[list[int]]:
    """A response to each prompt, as ids, closed by the end token where the model ended it.

    Prompts of like length are answered together, which wastes least.
    """
    model.eval()
    device = next(model.parameters()).device
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    responses: list[list[int]] = [[] for _ in prompts]
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        ids, mask = pad_left([prompts[i] for i in chosen], pad_id, device)
        config = rule.generation_config(end_id, pad_id)
        with without_defaults(model):
            sampled = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
        for i, row in zip(chosen, sampled[:, ids.shape[1] :].tolist(), strict=True):
            responses[i] = up_to_end(row, end_id)
    return responses


def up_to_end(ids: list[int], end_id: int) -> list[int]:
    """The ids up to the first end token, that one included."""
    return ids[: ids.index(end_id) + 1] if end_id in ids else ids
