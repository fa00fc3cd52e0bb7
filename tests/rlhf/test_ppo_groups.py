"""Whole runs with several responses to a prompt: without a critic, in half precision, with activations recomputed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rlhf import ppo
from rlhf.config import PpoConfig
from rlhf.quartet import Quartet
from rlhf.records import Records, read_rows
from rlhf.stage import Stage
from tests.rlhf.material import reward_model_in

CONFIG = PpoConfig(
    rollout_size=2, batch_size=2, micro_batch_size=1, responses=3, ppo_epochs=2, epochs=2.0, max_new_tokens=4,
    lora_rank=2, learning_rate=1e-2, critic_learning_rate=1e-2,
)  # fmt: skip


def trained(folder: Path, base: Path, encoder: Any, **changes: Any) -> tuple[Quartet, dict[str, Any], dict[str, bool]]:
    """A short run; whether each trained parameter has changed, and what the run says of its layout."""
    config = CONFIG.model_copy(update=changes)
    reward_model_in(folder / "reward", base, config)
    quartet = Quartet(base, None, folder / "reward", config)
    trainer = ppo.PpoTrainer(quartet, encoder, [[5, 6, 7, 8], [9, 10]], config, folder)
    records = Records(folder)
    trainer.begin(folder, records, Stage("p", folder, {}, records).lineage(config), config, "t")
    before = {name: p.detach().clone() for name, p in quartet.named_parameters() if p.requires_grad}
    trainer.train_or_resume()
    [layout] = [row["values"] for row in read_rows(folder / "records.jsonl") if row.get("event") == "layout"]
    return quartet, layout, {n: not torch.equal(quartet.get_parameter(n), weight) for n, weight in before.items()}


def test_without_a_critic_the_policy_alone_is_trained(base: Path, encoder: Any, tmp_path: Path) -> None:
    _, layout, changed = trained(tmp_path, base, encoder, advantages="rloo")
    assert layout["on"] == "token tries"
    assert any(moved for name, moved in changed.items() if ".policy." in name)
    assert not any(moved for name, moved in changed.items() if ".policy." not in name)


@pytest.mark.parametrize(
    "changes", [{"dtype": "bfloat16"}, {"gradient_checkpointing": True}], ids=["bf16", "recomputed"]
)
def test_a_run_on_tries_trains_both_and_says_finite_numbers(
    changes: dict[str, Any], base: Path, encoder: Any, tmp_path: Path
) -> None:
    quartet, _, changed = trained(tmp_path, base, encoder, average_over="responses", **changes)
    assert any(moved for name, moved in changed.items() if ".policy." in name)
    assert any(moved for name, moved in changed.items() if ".critic." in name)
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in quartet.parameters() if p.requires_grad)
    values = [row["values"] for row in read_rows(tmp_path / "records.jsonl") if "loss" in row.get("values", {})]
    assert len(values) == 4
    assert all(each["policy_loss"] is not None and each["value_loss"] is not None for each in values)
