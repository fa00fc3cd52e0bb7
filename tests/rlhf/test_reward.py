"""Training the reward model: its loss, what it trains, what it keeps, how it resumes."""

from __future__ import annotations

import json
from math import comb
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import TaskType
from safetensors.torch import load_file

from annotation import snapshot as files
from rlhf import checkpoints, networks, reward
from rlhf.checkpoints import Lineage
from rlhf.config import RewardConfig
from rlhf.data import DataError
from rlhf.records import Records
from rlhf.scoring import collate, pad_right, score_sequences, scores_of
from rlhf.sequences import Encoder
from rlhf.stage import Stage
from tests.rlhf.conftest import trainable_names
from tests.rlhf.material import turn_row

FAST = RewardConfig(epochs=2, batch_size=4, micro_batch_size=2, save_every=2, lora_rank=2, learning_rate=1e-2)
ROWS = [
    {"sequences": [[5, 6, 7], [5, 6, 8, 9], [5, 6], [5, 9]], "pairs": [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3]]},
    {"sequences": [[5, 7], [5, 8]], "pairs": []},
    {"sequences": [[5, 3], [5, 4, 4]], "pairs": [[1, 0]]},
]


def stage_of(folder: Path, base: Path, snapshot: Path) -> Stage:
    return Stage("reward", folder, {"base": base, "snapshot": snapshot}, Records(folder))


def scorer(base: Path, encoder: Encoder, dropout: float = 0.0) -> Any:
    torch.manual_seed(1)
    config = FAST.model_copy(update={"lora_dropout": dropout})
    model = networks.load_scorer(base, "float32", encoder.pad_id)
    return networks.with_adapter(model, networks.lora(config, TaskType.SEQ_CLS, modules_to_save=["score"]))


def test_a_batch_weighs_each_pair_by_its_turn_and_counts_turns_with_a_pair() -> None:
    batch = collate(ROWS, pad_id=0, strict_only=False)
    assert batch["input_ids"].shape == (8, 4)
    assert batch["score_positions"].tolist() == [2, 3, 1, 1, 1, 1, 1, 2]
    assert list(zip(batch["better"].tolist(), batch["worse"].tolist(), strict=True)) == [
        (0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (7, 6),
    ]  # fmt: skip
    assert batch["weights"].tolist() == pytest.approx([1 / comb(4, 2)] * 5 + [1 / comb(2, 2)])
    assert batch["turns"].item() == 2


def test_a_setting_averages_over_the_strict_pairs_instead() -> None:
    assert collate(ROWS, pad_id=0, strict_only=True)["weights"].tolist() == pytest.approx([1 / 5] * 5 + [1.0])


def test_the_score_is_read_at_the_last_token_whatever_fills_the_row(base: Path, encoder: Encoder) -> None:
    model = scorer(base, encoder).eval()
    short = [[5, 6, 7, encoder.end_id]]
    alone = scores_of(model, pad_right(short, encoder.pad_id))
    for pad in (encoder.pad_id, encoder.end_id, 7):
        beside_a_longer_one = pad_right([*short, [5] * 9], pad)
        assert torch.allclose(scores_of(model, beside_a_longer_one)[:1], alone, atol=1e-6)


def test_scores_come_in_the_order_of_the_sequences(base: Path, encoder: Encoder) -> None:
    model = scorer(base, encoder).eval()
    sequences = [[5] * n for n in (7, 2, 9, 4, 1)]
    one_by_one = [scores_of(model, pad_right([ids], 0)).item() for ids in sequences]
    assert score_sequences(model, sequences, 0, 2, torch.device("cpu")) == pytest.approx(one_by_one, abs=1e-6)


def trainer_of(model: Any, base: Path, encoder: Encoder, folder: Path, config: RewardConfig) -> Any:
    """A trainer on the three turns."""
    trainer = reward.KWiseRewardTrainer(
        model=model,
        args=reward._arguments(config, folder),
        processing_class=networks.load_tokenizer(base),
        train_dataset=Dataset.from_list(ROWS),
        eval_dataset=Dataset.from_list(ROWS),
        data_collator=lambda rows: collate(rows, encoder.pad_id, strict_only=False),
    )
    trainer.begin(folder, Records(folder), Lineage("reward", {}, {}), config, "test")
    return trainer


def trained_step(base: Path, encoder: Encoder, tmp_path: Path, micro_batch_size: int) -> tuple[float, dict[str, Any]]:
    """Loss and weights after one optimiser step on the same three turns."""
    config = FAST.model_copy(update={"batch_size": 4, "micro_batch_size": micro_batch_size, "epochs": 1.0})
    trainer = trainer_of(scorer(base, encoder), base, encoder, tmp_path / f"micro-{micro_batch_size}", config)
    trainer.train_or_resume()
    loss = next(row["loss"] for row in trainer.state.log_history if "loss" in row)
    return loss, {n: p.detach().clone() for n, p in trainer.model.named_parameters() if p.requires_grad}


def test_the_loss_of_a_step_does_not_depend_on_how_it_is_cut_into_micro_batches(
    base: Path, encoder: Encoder, tmp_path: Path
) -> None:
    model = scorer(base, encoder)
    scores = scores_of(model, collate(ROWS, encoder.pad_id, strict_only=False)).tolist()

    def log_sigmoid(margin: float) -> float:
        return torch.nn.functional.logsigmoid(torch.tensor(margin)).item()

    first = -sum(log_sigmoid(scores[b] - scores[w]) for b, w in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3))) / 6
    third = -log_sigmoid(scores[7] - scores[6]) / 1
    by_hand = (first + third) / 2  # the second turn has no pair, so it leaves the denominator
    results = [trained_step(base, encoder, tmp_path, size) for size in (1, 2, 4)]
    for loss, weights in results:
        assert loss == pytest.approx(by_hand, abs=1e-5)
        for name, weight in weights.items():
            assert torch.allclose(weight, results[0][1][name], atol=1e-6), name


def test_validation_sums_over_all_turns_and_divides_once(base: Path, encoder: Encoder, tmp_path: Path) -> None:
    """One turn to a batch, so that means of means would differ: 6 strict pairs in 2 turns, and one turn without."""
    model = scorer(base, encoder)
    scores = scores_of(model.eval(), collate(ROWS, encoder.pad_id, strict_only=False))
    margins = torch.stack([scores[b] - scores[w] for b, w in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (7, 6))])
    losses = -torch.nn.functional.logsigmoid(margins)
    trainer = trainer_of(model, base, encoder, tmp_path, FAST.model_copy(update={"micro_batch_size": 1}))
    measured = trainer.evaluate()
    assert measured["eval_loss"] == pytest.approx(((losses[:5].sum() / 6 + losses[5]) / 2).item(), abs=1e-5)
    assert measured["eval_accuracy"] == pytest.approx((margins > 0).sum().item() / 6)


def test_only_the_adapter_and_the_head_are_trained_in_float32(base: Path, encoder: Encoder) -> None:
    model = networks.load_scorer(base, "bfloat16", encoder.pad_id)
    model = networks.with_adapter(model, networks.lora(FAST, TaskType.SEQ_CLS, modules_to_save=["score"]))
    names = trainable_names(model)
    assert all("lora_" in name or "score.modules_to_save" in name for name in names)
    assert any("score" in name for name in names)
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    assert torch.bfloat16 in {p.dtype for p in model.parameters() if not p.requires_grad}


@pytest.fixture(scope="module")
def finished(
    base: Path, snapshot_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A whole run on the tiny model."""
    folder = tmp_path_factory.mktemp("reward") / "run"
    return folder, reward.run(stage_of(folder, base, snapshot_folder), FAST)


def test_a_run_learns_what_the_rankings_say(finished: tuple[Path, dict[str, Any]]) -> None:
    _, result = finished
    assert (result["train_turns"], result["validation_turns"], result["steps"]) == (8, 2, 4)
    assert result["validation_accuracy"] > 0.9
    assert result["accuracy"]["value"] > 0.9
    assert result["accuracy"]["n"] == 10


def test_training_turns_that_the_model_contradicts_are_named_beside_held_out_ones(
    base: Path, snapshot_folder: Path, tmp_path: Path
) -> None:
    upside_down = [{"better": 3, "worse": 0, "ability": 1, "provenance": "adjudicated"}]
    rows = [turn_row(n, **({"pairs": upside_down} if n in (3, 11) else {})) for n in range(12)]
    files.write(tmp_path / "s", {"snapshot": "1-1"}, [(files.TURNS, row) for row in rows])
    result = reward.run(stage_of(tmp_path / "run", base, tmp_path / "s"), FAST)
    named = {(each["dialogue"], each["split"]): each for each in result["disagreements"]}
    assert {("d3", "train"), ("d11", "report")} <= named.keys()
    assert (named["d3", "train"]["better"], named["d3", "train"]["worse"]) == (3, 0)
    assert all(each["margin"] > 0 for each in named.values())


def test_a_run_leaves_a_model_that_other_tools_load(finished: tuple[Path, dict[str, Any]], base: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    model = finished[0] / checkpoints.MODEL
    assert checkpoints.is_complete(model)
    plain = AutoModelForSequenceClassification.from_pretrained(str(base), num_labels=1)
    plain.config.pad_token_id = 0
    loaded = PeftModel.from_pretrained(plain, str(model)).eval()
    ids = [5, 6, 7, 2]
    theirs = loaded(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, 4)).logits.item()
    ours = networks.load_reward_model(base, model, "float32", 0)
    assert scores_of(ours, pad_right([ids], 0)).item() == pytest.approx(theirs, abs=1e-5)


def test_a_model_says_where_it_comes_from(
    finished: tuple[Path, dict[str, Any]], base: Path, snapshot_folder: Path
) -> None:
    lineage = Lineage.read(finished[0] / checkpoints.MODEL)
    assert lineage.inputs["base"]["sha256"] == checkpoints.hash_folder(base)
    assert lineage.inputs["snapshot"]["sha256"] == checkpoints.hash_file(snapshot_folder / files.MANIFEST)
    assert lineage.config["seed"] == FAST.seed
    assert lineage.stage == "reward"


def test_the_scale_of_the_scores_is_kept_with_the_model(finished: tuple[Path, dict[str, Any]]) -> None:
    mean, deviation = networks.read_scale(finished[0] / checkpoints.MODEL)
    assert deviation > 0
    assert abs(mean) < 100


def test_the_records_tell_how_it_went(finished: tuple[Path, dict[str, Any]]) -> None:
    rows = [json.loads(line) for line in (finished[0] / "records.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row.get("values", {})] == [1, 2, 3, 4]
    assert any("eval_accuracy" in row.get("values", {}) for row in rows)
    assert max(row["progress"]["step"] for row in rows if "progress" in row) == 4


class KilledError(Exception):
    """Stands for a kill at a certain step."""


def test_a_killed_run_resumes_and_ends_as_if_nothing_had_happened(
    base: Path,
    snapshot_folder: Path,
    finished: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = reward.KWiseRewardTrainer.compute_loss

    def dies_in_the_third_step(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == 3:
            raise KilledError
        return original(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(reward.KWiseRewardTrainer, "compute_loss", dies_in_the_third_step)
        with pytest.raises(KilledError):
            reward.run(stage_of(tmp_path, base, snapshot_folder), FAST)
    assert [each.name for each in checkpoints.complete_ones(tmp_path)] == ["step-0000002"]
    reward.run(stage_of(tmp_path, base, snapshot_folder), FAST)
    assert "resumed" in (tmp_path / "records.jsonl").read_text()
    name = networks.ADAPTER_WEIGHTS
    undisturbed = load_file(finished[0] / checkpoints.MODEL / name)
    resumed = load_file(tmp_path / checkpoints.MODEL / name)
    assert all(torch.equal(resumed[key], weight) for key, weight in undisturbed.items())


def test_a_snapshot_without_validation_is_refused(base: Path, tmp_path: Path) -> None:
    files.write(tmp_path / "s", {}, [(files.TURNS, turn_row(0))])
    with pytest.raises(DataError, match="no validation turn"):
        reward.run(stage_of(tmp_path / "run", base, tmp_path / "s"), FAST)


def test_what_is_too_long_is_cut_and_counted(base: Path, snapshot_folder: Path, tmp_path: Path) -> None:
    short = FAST.model_copy(update={"max_length": 48, "epochs": 1.0})
    reward.run(stage_of(tmp_path, base, snapshot_folder), short)
    rows = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    [cut] = [row["values"] for row in rows if row.get("event") == "sequences cut"]
    assert cut["turns"] == 10
    assert cut["turns_cut"] + cut["responses_cut"] > 0
