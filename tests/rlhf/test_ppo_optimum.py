"""PPO where the best policy is known."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rlhf import ppo
from rlhf.answered import Laid
from rlhf.config import PpoConfig
from rlhf.data import Prompt
from rlhf.quartet import Quartet
from rlhf.records import Records
from rlhf.sequences import Encoder
from rlhf.stage import Stage
from tests.rlhf.material import reward_model_in


def test_ppo_reaches_the_known_optimum_of_a_bandit(
    base: Path, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every fourth token is worth 1, all others 0.

    At a price b of divergence the optimum is the reference times exp(worth / b), made to sum to 1.
    """

    def scores(_self: Quartet, laid: Laid) -> Tensor:
        return (laid.targets % 4 == 0).float()

    monkeypatch.setattr(Quartet, "scores", scores)
    config = PpoConfig(
        rollout_size=2,
        responses=64,
        batch_size=2,
        micro_batch_size=2,
        generate_batch_size=128,
        ppo_epochs=4,
        epochs=30.0,
        max_new_tokens=1,
        learning_rate=3e-3,
        critic_learning_rate=3e-2,
        kl_coefficient=0.5,
        missing_end_penalty=0.0,
        save_every=1000,
    )
    reward_model_in(tmp_path / "reward", base, config)
    quartet = Quartet(base, None, tmp_path / "reward", config)
    quartet.causal.get_input_embeddings().weight.data.mul_(5)  # so that one token can be nearly certain
    prompt = encoder.prompt(Prompt((), "头痛三天了。"))
    trainer = ppo.PpoTrainer(quartet, encoder, [prompt] * 2, config, tmp_path)
    trainer.begin(tmp_path, Records(tmp_path), Stage("p", tmp_path, {}, Records(tmp_path)).lineage(config), config, "t")

    def share() -> float:
        """How likely a token of worth is."""
        return torch.softmax(quartet.causal(torch.tensor([prompt])).logits[0, -1], -1)[::4].sum().item()

    before = share()
    optimum = before * math.exp(1 / 0.5) / (before * math.exp(1 / 0.5) + 1 - before)
    trainer.train_or_resume()
    quartet.use("policy")
    assert before < optimum - 0.3
    assert share() == pytest.approx(optimum, abs=0.05)
