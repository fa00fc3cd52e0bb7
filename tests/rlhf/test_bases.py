"""A fine-tuned model that was merged: the policy stands on it, the reward model on the base that it knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rlhf import checkpoints, networks, ppo, pretrain
from rlhf.answered import Answered, in_rows
from rlhf.bases import base_of_reward
from rlhf.checkpoints import CheckpointError, Lineage
from rlhf.config import PpoConfig
from rlhf.data import DataError
from rlhf.export import merge
from rlhf.quartet import Quartet
from rlhf.records import Records, read_rows
from rlhf.stage import Stage
from tests.rlhf.conftest import trainable_names
from tests.rlhf.material import SENTENCES, reward_model_in, scores_alone

CONFIG = PpoConfig(
    rollout_size=4, batch_size=4, micro_batch_size=2, ppo_epochs=1, epochs=0.5, max_new_tokens=4, max_length=64,
    lora_rank=2, learning_rate=1e-2, compared=1, despite_gate=True,
)  # fmt: skip
ANSWERED = Answered(((5, 6, 7), (8, 9)), (((10, 11, 2),), ((12, 13),)), 2, 0)


@pytest.fixture(scope="module")
def merged(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base with a fine-tuning merged into it."""
    torch.manual_seed(4)
    folder = tmp_path_factory.mktemp("fine-tuned")
    model = networks.with_adapter(networks.load_causal(base, "float32"), networks.lora(CONFIG, "CAUSAL_LM"))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(str(folder))
    return merge(folder, folder.parent / "merged-base", base)


@pytest.fixture(scope="module")
def reward(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reward model that says on which base it stands."""
    folder = tmp_path_factory.mktemp("bases-reward")
    reward_model_in(folder, base, CONFIG)
    Lineage("reward", {"base": {"path": str(base), "sha256": checkpoints.hash_folder(base)}}, {}).write(folder)
    return folder


def stage_of(folder: Path, **paths: Path) -> Stage:
    return Stage("ppo", folder, paths, Records(folder))


def test_one_base_carries_all_where_the_reward_model_was_trained_on_it(
    base: Path, reward: Path, tmp_path: Path
) -> None:
    assert base_of_reward(stage_of(tmp_path, base=base, reward=reward), CONFIG) is None
    assert not list(tmp_path.iterdir())


def test_policy_and_reference_stand_on_the_merged_model_and_the_scores_are_those_on_the_old_base(
    base: Path, merged: Path, reward: Path
) -> None:
    quartet, laid = Quartet(merged, None, reward, CONFIG, base), in_rows(ANSWERED, torch.device("cpu"))
    plain = networks.load_causal(merged, "float32").eval()
    logits = plain(input_ids=torch.tensor([[5, 6, 7, 10, 11, 2]])).logits[0, 2:-1]
    expected = torch.log_softmax(logits, -1).gather(-1, torch.tensor([[10], [11], [2]])).flatten()
    for adapter in ("policy", "reference"):
        assert torch.allclose(quartet(adapter, laid)[:3], expected, atol=1e-5)  # type: ignore[arg-type]
    scorer = networks.load_reward_model(base, reward, "float32", 0)
    alone = torch.tensor(scores_alone(scorer, [[5, 6, 7, 10, 11, 2], [8, 9, 12, 13]]))
    assert torch.allclose(quartet.scores(laid), alone, atol=1e-4)
    on_merged = Quartet(merged, None, reward, CONFIG)
    assert not torch.allclose(on_merged.scores(laid), alone, atol=1e-2)


def test_over_two_bases_policy_and_critic_alone_are_trained_and_both_come_back(
    base: Path, merged: Path, reward: Path, tmp_path: Path
) -> None:
    quartet, laid = Quartet(merged, None, reward, CONFIG, base), in_rows(ANSWERED, torch.device("cpu"))
    trained = {name.split(".")[-2] for name in trainable_names(quartet) if "lora_" in name}
    assert trained == {"policy", "critic"}
    for adapter in ("critic", "reward", "policy", "reference", "critic"):
        quartet.use(adapter)  # type: ignore[arg-type]
    for parameter in (*quartet.trained("policy"), *quartet.trained("critic")):
        parameter.data.add_(0.1)
    quartet.save(tmp_path)
    other = Quartet(merged, None, reward, CONFIG, base)
    said: list[Tensor] = [quartet(adapter, laid) for adapter in ("policy", "critic")]  # type: ignore[arg-type]
    assert not torch.allclose(other("critic", laid), said[1], atol=1e-3)
    other.load(tmp_path)
    assert torch.equal(other("policy", laid), said[0])
    assert torch.equal(other("critic", laid), said[1])


@pytest.fixture
def run(base: Path, merged: Path, reward: Path, snapshot_folder: Path, tmp_path: Path) -> dict[str, Any]:
    """A short run from the merged model."""
    stage = stage_of(tmp_path / "run", base=merged, reward=reward, snapshot=snapshot_folder)
    return ppo.run(stage, CONFIG)


def test_a_run_from_a_merged_model_says_that_two_bases_are_in_memory(
    run: dict[str, Any], base: Path, merged: Path, tmp_path: Path
) -> None:
    assert (run["steps"], run["kl_before"]) == (1, 0)
    [said] = [row["values"] for row in read_rows(tmp_path / "run" / "records.jsonl") if row.get("event") == "two bases"]
    assert said == {"base": str(merged), "of_the_reward_model": str(base)}
    left = tmp_path / "run" / checkpoints.MODEL
    assert networks.load_policy(merged, left, "float32") is not None
    assert json.loads((left / "lineage.json").read_text())["inputs"]["base"]["path"] == str(merged)


def test_a_reward_model_whose_base_is_not_as_it_was_is_refused(merged: Path, reward: Path, tmp_path: Path) -> None:
    named = {"path": str(tmp_path / "gone"), "sha256": "aaaa"}
    away = tmp_path / "reward"
    away.mkdir()
    Lineage("reward", {"base": named}, {}).write(away)
    with pytest.raises(CheckpointError, match="was trained on the base"):
        base_of_reward(stage_of(tmp_path, base=merged, reward=away), CONFIG)


def test_a_reward_model_that_reads_other_tokens_is_refused(reward: Path, tmp_path: Path) -> None:
    tokenizer = pretrain.new_tokenizer(SENTENCES, 300)
    folder = tmp_path / "other-words"
    model = pretrain.new_model(pretrain.PretrainConfig(hidden_size=16, layers=1, heads=2, vocabulary=300), tokenizer)
    pretrain.save_base(model, tokenizer, folder)
    with pytest.raises(DataError, match="another tokenizer"):
        base_of_reward(stage_of(tmp_path, base=folder, reward=reward), CONFIG)
