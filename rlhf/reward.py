"""Training the reward model: the medical base, LoRA, a linear head; all pairs of a turn in one loss.

The loss of a step is the sum over its turns of -1/C(n, 2) * sum of log sigmoid(better - worse), divided by its turns
with at least one strict pair, over all processes and micro-batches. Each response is one forward row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import TaskType
from torch import Tensor
from transformers import set_seed
from trl import RewardConfig as TrlRewardConfig
from trl import RewardTrainer

from rlhf import networks
from rlhf.config import EvaluateConfig, RewardConfig
from rlhf.data import Snapshot, Turn
from rlhf.evaluate import disagreements, evaluate_reward, write_evaluation
from rlhf.losses import pairwise_loss_sum
from rlhf.scoring import collate, score_sequences, scores_of
from rlhf.sequences import Encoder, Fitted, fit
from rlhf.stage import Stage
from rlhf.trainer import StageTrainer, common_arguments


@dataclass(frozen=True)
class Row:
    """A turn ready to be scored: the ids of each response's sequence and its strict pairs."""

    sequences: list[list[int]]
    pairs: list[list[int]]

    @classmethod
    def of(cls, turn: Turn, fitted: Fitted) -> Row:
        """The row of a turn."""
        return cls(fitted.sequences, [[pair.better, pair.worse] for pair in turn.pairs])


class KWiseRewardTrainer(StageTrainer, RewardTrainer):
    """TRL's reward trainer with K responses a turn instead of pairs."""

    loss_is_scaled_for_ga = True  # compute_loss divides by the turns of the whole step

    def _prepare_dataset(self, dataset: Dataset, *_args: Any, **_kwargs: Any) -> Dataset:
        """Rows come as ids: nothing is tokenised here, and nothing is dropped for its length."""
        return dataset

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = ["sequences", "pairs"]

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Tensor:
        """The turns with at least one pair in the whole step, over all processes; at least 1."""
        turns = torch.stack([batch["turns"] for batch in batch_samples]).sum().to(device)
        return self.accelerator.reduce(turns, "sum").clamp(min=1)

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """This micro-batch's share of the loss of its step."""
        scores = scores_of(model, inputs)
        loss = pairwise_loss_sum(scores, inputs["better"], inputs["worse"], inputs["weights"])
        with torch.no_grad():
            right = (scores[inputs["better"]] > scores[inputs["worse"]]).float()
            self._metrics["train"]["accuracy"] += right.tolist()
        # Processes average their gradients, so each counts its share as often as there are processes.
        return loss * self.accelerator.num_processes / num_items_in_batch

    @torch.no_grad()
    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Loss and pair accuracy, as sums over all processes divided once."""
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        mine = dataset.shard(self.accelerator.num_processes, self.accelerator.process_index)
        self.model.eval()
        totals = torch.zeros(4, dtype=torch.float64)
        for start in range(0, len(mine), self.args.per_device_eval_batch_size):
            stop = min(start + self.args.per_device_eval_batch_size, len(mine))
            totals += torch.tensor(self._sums_of([mine[i] for i in range(start, stop)]), dtype=torch.float64)
        loss, turns, right, pairs = self.accelerator.reduce(totals.to(self.args.device), "sum").tolist()
        metrics = {
            f"{metric_key_prefix}_loss": loss / max(turns, 1),
            f"{metric_key_prefix}_accuracy": right / max(pairs, 1),
        }
        self.log(metrics)
        self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _sums_of(self, rows: list[dict[str, Any]]) -> tuple[float, float, float, float]:
        """Loss, turns with a pair, pairs in the right order and pairs of some rows."""
        batch = self._prepare_inputs(self.data_collator(rows))
        scores = scores_of(self.model, batch)
        loss = pairwise_loss_sum(scores, batch["better"], batch["worse"], batch["weights"])
        right = (scores[batch["better"]] > scores[batch["worse"]]).sum()
        return loss.item(), batch["turns"].item(), right.item(), float(len(batch["better"]))


@dataclass(frozen=True)
class Material:
    """What a run learns from: turns, how they fit, and the same as rows, by the name of their split."""

    turns: dict[str, list[Turn]]
    fitted: dict[str, list[Fitted]]
    rows: dict[str, list[dict[str, Any]]]


def run(stage: Stage, config: RewardConfig) -> dict[str, Any]:
    """Trains a reward model on a snapshot and returns what was measured. Resumes where an earlier attempt stood."""
    set_seed(config.seed)
    snapshot, base = stage.snapshot(), stage.input("base")
    tokenizer = networks.load_tokenizer(base)
    encoder = Encoder.of(tokenizer)

    # 1. The turns with something to learn, as ids; what had to be cut is reported.
    material = _material(stage, encoder, snapshot, config.max_length)

    # 2. The base with an adapter and a head, trained; the best checkpoint by validation is kept.
    trainer = _trainer(stage, config, base, tokenizer, encoder, material)
    trainer.train_or_resume()

    # 3. How the scores lie, on every process; then the model's folder, written by one.
    scores = _training_scores(trainer, encoder, material, config)
    if not trainer.args.should_save:
        return {}
    evaluation = _save(stage, config, trainer, tokenizer, encoder, snapshot, material, scores)
    return {**evaluation, **_measured(trainer, config, material)}


def _material(stage: Stage, encoder: Encoder, snapshot: Snapshot, max_length: int) -> Material:
    """The turns with a strict pair of the two splits that training uses; refuses where one has none."""
    parts = {split: [turn for turn in snapshot.part(split) if turn.pairs] for split in ("train", "validation")}
    for split, turns in parts.items():
        if not turns:
            stage.refuse(
                "The snapshot has no {split} turn with a preference: settle more dialogues, then freeze again.",
                split=split,
            )
    fitted = {s: [fit(encoder, t.prompt, t.responses, max_length) for t in turns] for s, turns in parts.items()}
    stage.report_cuts([f for part in fitted.values() for f in part])
    rows = {s: [vars(Row.of(t, f)) for t, f in zip(parts[s], fitted[s], strict=True)] for s in parts}
    return Material(parts, fitted, rows)


def _trainer(
    stage: Stage, config: RewardConfig, base: Path, tokenizer: Any, encoder: Encoder, material: Material
) -> KWiseRewardTrainer:
    """The trainer of a new adapter and head on the base, tied to its run."""
    model = networks.load_scorer(base, config.dtype, encoder.pad_id)
    adapter = networks.lora(config, TaskType.SEQ_CLS, modules_to_save=["score"])
    trainer = KWiseRewardTrainer(
        model=networks.with_adapter(model, adapter),
        args=_arguments(config, stage.folder),
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(material.rows["train"]),
        eval_dataset=Dataset.from_list(material.rows["validation"]),
        data_collator=lambda batch: collate(batch, encoder.pad_id, strict_only=config.average_over == "strict pairs"),
    )
    trainer.begin(stage.folder, stage.records, stage.lineage(config), config, "training the reward model")
    return trainer


def _training_scores(trainer: KWiseRewardTrainer, encoder: Encoder, material: Material, config: RewardConfig) -> Tensor:
    """The score (N,) of every response of the training split."""
    sequences = [ids for each in material.fitted["train"] for ids in each.sequences]
    model, batch_size = trainer.model.eval(), config.micro_batch_size * 4
    return torch.tensor(score_sequences(model, sequences, encoder.pad_id, batch_size, trainer.args.device))


def _by_turn(turns: list[Turn], scores: Tensor) -> list[list[float]]:
    """The scores (N,) of the responses of all turns, a list a turn."""
    return [part.tolist() for part in torch.split(scores, [len(turn.responses) for turn in turns])]


def _save(
    stage: Stage,
    config: RewardConfig,
    trainer: KWiseRewardTrainer,
    tokenizer: Any,
    encoder: Encoder,
    snapshot: Snapshot,
    material: Material,
    scores: Tensor,
) -> dict[str, Any]:
    """Writes the model's folder with its scale, its lineage and its held-out evaluation; returns the latter."""
    state = trainer.state
    with stage.model_folder() as folder:
        trainer.model.save_pretrained(str(folder))
        tokenizer.save_pretrained(str(folder))
        networks.write_scale(folder, scores.mean().item(), scores.std().item())
        stage.lineage(config, step=state.best_global_step or state.global_step).write(folder)
        stage.records.progress(state.global_step, state.max_steps, "measuring")
        held_out = EvaluateConfig(max_length=config.max_length)
        evaluation = evaluate_reward(trainer.model, encoder, snapshot, held_out, trainer.args.device)
        evaluation["disagreements"] += disagreements(material.turns["train"], _by_turn(material.turns["train"], scores))
        write_evaluation(folder, evaluation)
    return evaluation


def _measured(trainer: KWiseRewardTrainer, config: RewardConfig, material: Material) -> dict[str, Any]:
    """What the run's result says of the training."""
    return {
        "steps": trainer.state.global_step,
        "best_step": trainer.state.best_global_step,
        f"validation_{config.select_by}": trainer.state.best_metric,
        "train_turns": len(material.rows["train"]),
        "validation_turns": len(material.rows["validation"]),
        "trained_parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
    }


def _arguments(config: RewardConfig, folder: Path) -> TrlRewardConfig:
    return TrlRewardConfig(
        **common_arguments(config, folder),
        eval_strategy="steps",
        eval_steps=config.save_every,
        per_device_eval_batch_size=config.micro_batch_size,
        load_best_model_at_end=True,
        metric_for_best_model=f"eval_{config.select_by}",
        greater_is_better=config.select_by == "accuracy",
        disable_dropout=False,
        max_length=None,
    )
