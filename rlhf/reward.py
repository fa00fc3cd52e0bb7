"""Training the reward model: the medical base, LoRA, a linear head; all pairs of a turn in one loss.

The loss of a step is the sum over its turns of -1/C(n, 2) * sum of log sigmoid(better - worse), divided by its turns
with at least one strict pair, over all processes and packs. Where turns have weights, each term is multiplied by its
turn's, and the divisor is the sum of the weights of those turns: a mean still, which only says whom to listen to more.
A step's turns stand on token tries, those of a dialogue on one, so that what they share is computed once (``packing``);
how they are packed changes nothing of the loss.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import DistributedType, broadcast_object_list
from datasets import Dataset
from peft import TaskType
from torch import Tensor
from torch.utils.data import Sampler
from transformers import set_seed
from trl import RewardConfig as TrlRewardConfig
from trl import RewardTrainer

from rlhf import networks
from rlhf.config import RewardConfig
from rlhf.data import Snapshot, Turn
from rlhf.evaluate import disagreements, evaluate_reward, write_evaluation
from rlhf.losses import centring_sum, pairwise_loss_sum
from rlhf.scoring import AT_ONCE, Layout, collate, score_turns
from rlhf.sequences import Encoder, Fitted, fit
from rlhf.sharing import check
from rlhf.stage import Stage, processes
from rlhf.trainer import StageTrainer, common_arguments
from rlhf.weighting import PLAIN, Weighting


@dataclass(frozen=True)
class Row:
    """A turn ready to be scored: its dialogue, the ids of each response's sequence and its strict pairs.

    ``margins`` has one number a pair; ``weight`` is how much the turn counts.
    """

    dialogue: str
    sequences: list[list[int]]
    pairs: list[list[int]]
    margins: list[float]
    weight: float

    @classmethod
    def of(cls, turn: Turn, fitted: Fitted, weighting: Weighting = PLAIN) -> Row:
        """The row of a turn."""
        pairs = [[pair.better, pair.worse] for pair in turn.pairs]
        return cls(turn.dialogue, fitted.sequences, pairs, weighting.margins(turn), weighting.weight(turn))


class DialogueSampler(Sampler[int]):
    """Turns in an order drawn anew for each epoch, with those of a dialogue beside each other, in theirs."""

    def __init__(self, dialogues: Sequence[str], seed: int) -> None:
        """``dialogues`` has the name of each turn's dialogue."""
        self._seed, self._epoch = seed, 0
        self._own: dict[str, list[int]] = defaultdict(list)
        for number, dialogue in enumerate(dialogues):
            self._own[dialogue].append(number)

    def set_epoch(self, epoch: int) -> None:
        """Which order to draw."""
        self._epoch = epoch

    def __len__(self) -> int:
        """How many turns there are."""
        return sum(map(len, self._own.values()))

    def __iter__(self) -> Iterator[int]:
        """The numbers of the turns."""
        names = list(self._own)
        random.Random(f"{self._seed}:{self._epoch}").shuffle(names)
        return chain.from_iterable(self._own[name] for name in names)


class KWiseRewardTrainer(StageTrainer, RewardTrainer):
    """TRL's reward trainer with K responses a turn instead of pairs; a step's turns come at once and go in packs."""

    loss_is_scaled_for_ga = True  # compute_loss divides by the turns of the whole step
    layout: Layout
    settings: RewardConfig
    _without_gain: int = 0

    def lay_out(self, layout: Layout, *, strict_only: bool) -> None:
        """How turns are laid out, and what the divisor of a turn's loss is; to be said before training."""
        self.layout = layout
        self.data_collator = partial(collate, layout=layout, strict_only=strict_only)

    def _prepare_dataset(self, dataset: Dataset, *_args: Any, **_kwargs: Any) -> Dataset:
        """Rows come as ids: nothing is tokenised here, and nothing is dropped for its length."""
        return dataset

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = [field.name for field in fields(Row)]

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int]:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        return DialogueSampler(dataset["dialogue"], self.args.seed)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Tensor:
        """The weights of the turns with at least one pair in the whole step, over all processes; 1 where none has."""
        turns = torch.stack([batch["turns"] for batch in batch_samples]).sum().to(device)
        total: Tensor = self.accelerator.reduce(turns, "sum")
        return total.masked_fill(total == 0, 1)

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """The gradients of all turns of the step, pack after pack; processes exchange theirs with the last one."""
        model.train()
        packs = self._as_many_as_others(self._prepare_inputs(inputs)["packs"])
        total = torch.zeros((), device=self.args.device)
        for number, (pack, counts) in enumerate(packs, start=1):
            with self._exchanging(model, last=number == len(packs)), self.compute_loss_context_manager():
                loss = self.compute_loss(model, pack, num_items_in_batch=num_items_in_batch) * counts
                self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def _as_many_as_others(self, packs: list[Any]) -> list[tuple[Any, float]]:
        """The packs with what each counts: 1, or 0 for the last one again where other processes have more.

        DeepSpeed's processes exchange with every pack and wait for one another, so all of them have to have as many.
        """
        counted = [(pack, 1.0) for pack in packs]
        if self.accelerator.distributed_type is not DistributedType.DEEPSPEED:
            return counted
        numbers = self.accelerator.gather(torch.tensor([len(packs)], device=self.args.device))
        return counted + [(packs[-1], 0.0)] * (int(numbers.max()) - len(packs))

    @contextmanager
    def _exchanging(self, model: Any, *, last: bool) -> Iterator[None]:
        """Gradients stay with each process until the last pack; DeepSpeed is told so in its own way."""
        self.accelerator.gradient_state._set_sync_gradients(last)
        apart = not last and self.accelerator.distributed_type is not DistributedType.DEEPSPEED
        with self.accelerator.no_sync(model) if apart else nullcontext():
            yield

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """This pack's share of the loss of its step."""
        scores = self.layout.scores(model, inputs["inputs"])
        loss = pairwise_loss_sum(scores, inputs["better"], inputs["worse"], inputs["weights"], inputs["margins"])
        if self.settings.centring:
            loss = loss + self.settings.centring * centring_sum(scores, inputs["members"], inputs["turn_weights"])
        with torch.no_grad():
            right = (scores[inputs["better"]] > scores[inputs["worse"]]).float()
            self._metrics["train"]["accuracy"] += right.tolist()
        # Processes average their gradients, so each counts its share as often as there are processes.
        return loss * self.accelerator.num_processes / num_items_in_batch

    @torch.no_grad()
    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Loss and pair accuracy, as sums over all processes divided once.

        The loss is that of the rankings alone: no margin and no centring, so that settings can be compared by it.
        """
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        mine = dataset.shard(self.accelerator.num_processes, self.accelerator.process_index, contiguous=True)
        self.model.eval()
        totals = torch.zeros(4, dtype=torch.float64)
        for start in range(0, len(mine), AT_ONCE):
            rows = [mine[i] for i in range(start, min(start + AT_ONCE, len(mine)))]
            totals += torch.tensor(self._sums_of(rows), dtype=torch.float64)
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
        loss = right = pairs = 0.0
        for pack in batch["packs"]:
            scores = self.layout.scores(self.model, pack["inputs"])
            loss += pairwise_loss_sum(scores, pack["better"], pack["worse"], pack["weights"]).item()
            right += (scores[pack["better"]] > scores[pack["worse"]]).sum().item()
            pairs += len(pack["better"])
        return loss, batch["turns"].item(), right, pairs

    # --- early stop ---

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """Whether this validation is the best so far; where too many were not, the training ends with this step."""
        best: bool = super()._determine_best_metric(metrics=metrics, trial=trial)
        self._without_gain = 0 if best else self._without_gain + 1
        if self._out_of_patience:
            self.records.event("stopped early", self.state.global_step, best_step=self.state.best_global_step)
            self.control.should_training_stop = True
        return best

    @property
    def _out_of_patience(self) -> bool:
        return 0 < self.settings.patience <= self._without_gain

    def _run_epoch(self, **given: Any) -> None:
        """An epoch, unless the run was over when it was cut short: what is resumed then is only its end."""
        if self._out_of_patience:
            self.control.should_training_stop = True
        else:
            super()._run_epoch(**given)

    def _running(self) -> dict[str, Any]:
        return {**super()._running(), "without_gain": self._without_gain}

    def _load_running(self, state: dict[str, Any]) -> None:
        super()._load_running(state)
        self._without_gain = state["without_gain"]


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
    material = _material(stage, encoder, snapshot, config)

    # 2. The base with an adapter and a head, trained; the best checkpoint by validation is kept.
    trainer = _trainer(stage, config, base, tokenizer, encoder, material)
    trainer.train_or_resume()

    # 3. How the scores lie, on every process; then the model's folder, written by one.
    scores = _training_scores(trainer, material)
    if not trainer.args.should_save:
        return {}
    evaluation = _save(stage, config, trainer, tokenizer, encoder, snapshot, material, scores)
    return {**evaluation, **_measured(trainer, config, material)}


def _material(stage: Stage, encoder: Encoder, snapshot: Snapshot, config: RewardConfig) -> Material:
    """The turns with a strict pair of the two splits that training uses; refuses where one has none."""
    parts = {split: [turn for turn in snapshot.part(split) if turn.pairs] for split in ("train", "validation")}
    for split, turns in parts.items():
        if not turns:
            stage.refuse(
                "The snapshot has no {split} turn with a preference: settle more dialogues, then freeze again.",
                split=split,
            )
    fitted = {s: [fit(encoder, t.prompt, t.responses, config.max_length) for t in ts] for s, ts in parts.items()}
    stage.report_cuts([f for part in fitted.values() for f in part])
    weighting = {"train": Weighting.of(config, snapshot), "validation": PLAIN}
    rows = {s: [vars(Row.of(t, f, weighting[s])) for t, f in zip(parts[s], fitted[s], strict=True)] for s in parts}
    return Material(parts, fitted, rows)


def _trainer(
    stage: Stage, config: RewardConfig, base: Path, tokenizer: Any, encoder: Encoder, material: Material
) -> KWiseRewardTrainer:
    """The trainer of a new adapter and head on the base, tied to its run."""
    attention = networks.attention_for(config)
    model = networks.load_scorer(base, config.dtype, encoder.pad_id, attention, four_bit=config.four_bit)
    adapter = networks.lora(config, TaskType.SEQ_CLS, modules_to_save=["score"])
    trainer = KWiseRewardTrainer(
        model=networks.with_adapter(model, adapter),
        args=_arguments(config, stage.folder),
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(material.rows["train"]),
        eval_dataset=Dataset.from_list(material.rows["validation"]),
        data_collator=list,  # until the layout is known
    )
    trainer.begin(stage.folder, stage.records, stage.lineage(config), config, "training the reward model")
    if config.gradient_checkpointing:
        networks.recompute_activations(trainer.model)  # before the layout is checked, which computes gradients
    layout = _layout(stage, config, trainer, encoder.pad_id, material)
    trainer.lay_out(layout, strict_only=config.average_over == "strict pairs")
    return trainer


def _layout(stage: Stage, config: RewardConfig, trainer: KWiseRewardTrainer, pad_id: int, material: Material) -> Layout:
    """The token trie where the model is exact on it, as the first process finds, else rows; the records say which."""
    turns = [fitted.sequences for fitted in material.fitted["train"]]
    dialogues = [turn.dialogue for turn in material.turns["train"]]
    rows = Layout(pad_id, config.pack_tokens, None)
    if not config.share:
        return rows
    [found] = broadcast_object_list([check(trainer.model, rows, turns, dialogues, trainer.args.device)])
    stage.records.event("layout", 0, **found.said())
    return found.layout


def _training_scores(trainer: KWiseRewardTrainer, material: Material) -> Tensor:
    """The score (N,) of every response of the training split."""
    turns = [fitted.sequences for fitted in material.fitted["train"]]
    dialogues = [turn.dialogue for turn in material.turns["train"]]
    scores = score_turns(trainer.model.eval(), trainer.layout, turns, dialogues, trainer.args.device)
    return torch.tensor([score for turn in scores for score in turn])


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
        evaluation = evaluate_reward(
            trainer.model, trainer.layout, encoder, snapshot, config.max_length, trainer.args.device
        )
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
        **common_arguments(config, folder, config.batch_size // processes()),
        eval_strategy="steps",
        eval_steps=config.save_every,
        load_best_model_at_end=True,
        metric_for_best_model=f"eval_{config.select_by}",
        greater_is_better=config.select_by == "accuracy",
        disable_dropout=False,
        max_length=None,
    )
