"""The check before anything relies on a token trie: a model that is wrong on it gets a row a sequence, and says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import TaskType

from rlhf import networks, reward, sharing
from rlhf.config import RewardConfig
from rlhf.packing import Sequences
from rlhf.records import FILE, Records, read_rows
from rlhf.scoring import Layout
from rlhf.sequences import Encoder
from rlhf.stage import Stage

CPU = torch.device("cpu")
TURNS: list[Sequences] = [
    [[5, 6, 7, 8, 2], [5, 6, 7, 9, 9, 2]],
    [[9, 9, 4, 2], [9, 9, 5, 5, 2]],
    [[5, 6, 7, 8, 2, 11, 12, 2], [5, 6, 7, 8, 2, 11, 13, 14, 2]],
]
DIALOGUES = ["d1", "d2", "d1"]


@pytest.fixture
def scorer(base: Path, encoder: Encoder) -> Any:
    """A model to train, with dropout that the check has to leave as it was."""
    torch.manual_seed(1)
    model = networks.load_scorer(base, "float32", encoder.pad_id)
    config = RewardConfig(lora_rank=2, lora_dropout=0.3)
    return networks.with_adapter(model, networks.lora(config, TaskType.SEQ_CLS, modules_to_save=["score"])).train()


def checked(model: Any, encoder: Encoder) -> sharing.Check:
    return sharing.check(model, Layout(encoder.pad_id, 64, None), TURNS, DIALOGUES, CPU)


def test_a_model_that_is_right_goes_on_tries_and_stays_as_it_was(scorer: Any, encoder: Encoder) -> None:
    before = {name: weight.clone() for name, weight in scorer.named_parameters()}
    found = checked(scorer, encoder)
    assert found.layout.attention is not None
    assert found.refused is None
    assert found.score_difference is not None
    assert found.score_difference < 1e-5
    assert found.gradient_cosine == pytest.approx(1.0, abs=1e-4)
    assert scorer.training
    assert all(weight.grad is None for weight in scorer.parameters())
    assert all(torch.equal(weight, before[name]) for name, weight in scorer.named_parameters())


def test_the_check_recomputes_what_the_training_recomputes(scorer: Any, encoder: Encoder) -> None:
    """Each layer goes forward once for the scores and once more for the gradients, and drops nothing."""
    block = scorer.get_base_model().model.layers[0].input_layernorm
    calls: list[bool] = []
    block.register_forward_hook(lambda module, *_: calls.append(module.training))
    plain = checked(scorer, encoder)
    once = len(calls)
    networks.recompute_activations(scorer)
    found = checked(scorer, encoder)
    assert len(calls) == 3 * once
    assert not any(calls)
    assert (found.score_difference, found.refused) == (plain.score_difference, None)
    assert all(module.training for module in scorer.modules())


def test_a_model_that_does_not_heed_the_mask_is_given_rows(
    scorer: Any, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that would see all that stands before a token, whichever sequence it is of."""
    monkeypatch.setattr(Layout, "scores", everything_before(Layout.scores))
    found = checked(scorer, encoder)
    assert found.layout.attention is None
    assert found.refused is not None
    assert "scores differ" in found.refused


def everything_before(original: Any) -> Any:
    def scores(self: Layout, model: Any, inputs: dict[str, Any]) -> Any:
        if "ends" in inputs:
            inputs = {**inputs, "ends": torch.full_like(inputs["ends"], inputs["ends"].shape[1])}
        return original(self, model, inputs)

    return scores


def test_positions_that_are_not_heeded_are_found_as_well(
    scorer: Any, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a model that looks at where something stands; one with random weights hardly does."""
    for name, weight in scorer.named_parameters():
        if name.endswith(("q_proj.base_layer.weight", "k_proj.base_layer.weight")):
            weight.data.mul_(40)
    assert checked(scorer, encoder).layout.attention is not None
    original = Layout.scores

    def counted_through(self: Layout, model: Any, inputs: dict[str, Any]) -> Any:
        if "ends" in inputs:
            inputs = {**inputs, "position_ids": torch.arange(inputs["ends"].shape[1])[None]}
        return original(self, model, inputs)

    monkeypatch.setattr(Layout, "scores", counted_through)
    found = checked(scorer, encoder)
    assert found.layout.attention is None


def test_an_architecture_that_is_not_known_is_given_rows(scorer: Any, encoder: Encoder) -> None:
    scorer.config.model_type = "bloom"
    found = checked(scorer, encoder)
    assert found.layout.attention is None
    assert found.said() == {
        "on": "rows", "why": "the architecture 'bloom' is not known to attend along a trie",
    }  # fmt: skip


@pytest.mark.parametrize("known", [True, False])
def test_a_run_says_how_its_sequences_are_laid_out(
    base: Path, snapshot_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    if not known:
        monkeypatch.setattr("rlhf.attention.ALLOWED", frozenset())
    stage = Stage("reward", tmp_path, {"base": base, "snapshot": snapshot_folder}, Records(tmp_path))
    result = reward.run(stage, RewardConfig(epochs=1, batch_size=4, lora_rank=2, learning_rate=1e-2))
    [said] = [row["values"] for row in read_rows(tmp_path / FILE) if row.get("event") == "layout"]
    assert said["on"] == ("token tries" if known else "rows")
    assert result["train_turns"] == 8
