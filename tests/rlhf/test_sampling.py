"""Responses are drawn from the distribution in which they are scored."""

from __future__ import annotations

from pathlib import Path

from rlhf import networks
from rlhf.sampling import SamplingRule, sample
from rlhf.sequences import Encoder


def test_what_a_model_came_with_does_not_change_what_it_says(base: Path, encoder: Encoder) -> None:
    model = networks.load_causal(base, "float32")
    prompts, rule = [[5, 6, 7, 8], [9, 10]], SamplingRule(max_new_tokens=12, temperature=0)
    plain = sample(model, prompts, rule, end_id=encoder.end_id, pad_id=encoder.pad_id, batch_size=2)
    model.generation_config.repetition_penalty = 50.0
    came_with = model.generation_config
    again = sample(model, prompts, rule, end_id=encoder.end_id, pad_id=encoder.pad_id, batch_size=2)
    assert again == plain
    assert model.generation_config is came_with
