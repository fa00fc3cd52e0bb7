"""One side of the comparison of reward-model training, in a process of its own: ours, or TRL's trainer on pairs.

``python -m bench.reward_side`` reads a ``Job`` as JSON on standard input and writes what came of it.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
import torch
from datasets import Dataset
from peft import TaskType
from transformers import AutoModelForSequenceClassification, TrainerCallback
from trl import RewardConfig as TrlRewardConfig
from trl import RewardTrainer

from rlhf import networks, reward
from rlhf.attention import Attention
from rlhf.checkpoints import Lineage
from rlhf.config import RewardConfig
from rlhf.records import Records
from rlhf.scoring import Layout, score_turns

Side = Literal["ours", "trl"]


@dataclass(frozen=True)
class Job:
    """What to train on and how: ``rows`` and ``held_out`` are files of turns as ids, a JSON object a line.

    ``forward`` is the tokens of a pack on our side, the pairs of a micro-batch on the other.
    """

    side: Side
    base: str
    rows: str
    held_out: str
    turns_a_step: int
    steps: int
    forward: int
    dtype: Literal["float32", "bfloat16"]
    threads: int


@dataclass
class Trained:
    """Seconds of training, the loss of each step, memory in MiB at the peak and above what stood before, accuracy."""

    seconds: float
    losses: list[float]
    peak_mib: float
    above_mib: float
    accuracy: float


def train(job: Job) -> Trained:
    """Trains one side from the same weights on the same turns in each step."""
    torch.set_num_threads(job.threads)
    rows = [json.loads(line) for line in Path(job.rows).read_text(encoding="utf-8").splitlines()]
    with tempfile.TemporaryDirectory(prefix="zhongjing-bench-") as folder:
        trainer = (_ours if job.side == "ours" else _theirs)(job, rows, Path(folder))
        _same_start(trainer.model)
        losses = _Losses()
        trainer.add_callback(losses)
        before = psutil.Process().memory_info().rss
        start = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Trained(seconds, losses.found, peak / 2**20, (peak - before) / 2**20, _accuracy(trainer.model, job))


class _Losses(TrainerCallback):  # type: ignore[misc]
    """What each step's loss was."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def on_log(self, *_args: Any, logs: dict[str, Any] | None = None, **_kwargs: Any) -> None:
        if logs and "loss" in logs:
            self.found.append(logs["loss"])


def _settings(job: Job) -> RewardConfig:
    return RewardConfig(
        batch_size=job.turns_a_step,
        pack_tokens=max(job.forward, 16),
        lora_dropout=0.0,
        dtype=job.dtype,
        epochs=1,
        save_every=10_000,
        learning_rate=1e-3,
    )


def _ours(job: Job, rows: list[dict[str, Any]], folder: Path) -> Any:
    config, base = _settings(job), Path(job.base)
    tokenizer = networks.load_tokenizer(base)
    model = networks.load_scorer(base, job.dtype, tokenizer.pad_token_id, networks.attention_for(config))
    adapter = networks.lora(config, TaskType.SEQ_CLS, modules_to_save=["score"])
    arguments = reward._arguments(config, folder)
    arguments.max_steps, arguments.load_best_model_at_end, arguments.eval_strategy = job.steps, False, "no"
    arguments.save_strategy = "no"
    trainer = reward.KWiseRewardTrainer(
        model=networks.with_adapter(model, adapter),
        args=arguments,
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(rows),
        data_collator=list,
    )
    trainer.begin(folder, Records(folder), Lineage("reward", {}, {}), config, "training the reward model")
    trainer.lay_out(Layout(tokenizer.pad_token_id, job.forward, Attention.of(trainer.model.config)), strict_only=False)
    return trainer


def _theirs(job: Job, rows: list[dict[str, Any]], folder: Path) -> Any:
    """The six pairs of each turn, in the order in which our sampler takes the turns."""
    config, base = _settings(job), Path(job.base)
    tokenizer = networks.load_tokenizer(base)
    ordered = [rows[i] for i in reward.DialogueSampler([row["dialogue"] for row in rows], 0)]
    pairs = [
        {"chosen_ids": row["sequences"][better], "rejected_ids": row["sequences"][worse]}
        for row in ordered
        for better, worse in row["pairs"]
    ]
    model = AutoModelForSequenceClassification.from_pretrained(
        str(base), num_labels=1, dtype=getattr(torch, job.dtype), use_safetensors=True
    )
    pairs_a_step = job.turns_a_step * len(rows[0]["pairs"])
    arguments = TrlRewardConfig(
        output_dir=str(folder),
        per_device_train_batch_size=job.forward,
        gradient_accumulation_steps=pairs_a_step // job.forward,
        max_steps=job.steps,
        max_length=None,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=config.warmup_share,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        seed=config.seed,
        gradient_checkpointing=False,
        bf16=job.dtype == "bfloat16",
        use_cpu=not torch.cuda.is_available(),
        train_sampling_strategy="sequential",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    return RewardTrainer(
        model=model,
        args=arguments,
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(pairs),
        peft_config=networks.lora(config, TaskType.SEQ_CLS, modules_to_save=["score"]),
    )


def _same_start(model: Any) -> None:
    """What is trained, drawn by its name: both sides begin with the same weights."""
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            draw = torch.Generator().manual_seed(sum(name.encode()))
            scale = 0.0 if "lora_B" in name else weight.shape[-1] ** -0.5
            weight.data = (torch.randn(weight.shape, generator=draw) * scale).to(weight.device, torch.float32)


def _accuracy(model: Any, job: Job) -> float:
    """The share of held-out pairs in the right order, by the same code on both sides."""
    rows = [json.loads(line) for line in Path(job.held_out).read_text(encoding="utf-8").splitlines()]
    networks.read_scores_where_told(model.get_base_model())
    layout = Layout(model.config.get_text_config().pad_token_id, 4096, Attention.of(model.config))
    device = next(model.parameters()).device
    scores = score_turns(model.eval(), layout, [r["sequences"] for r in rows], [r["dialogue"] for r in rows], device)
    right = [given[b] > given[w] for row, given in zip(rows, scores, strict=True) for b, w in row["pairs"]]
    return float(sum(right) / len(right))


def main() -> None:
    """Reads a job and writes what came of it."""
    job = Job(**json.load(sys.stdin))
    with contextlib.redirect_stdout(sys.stderr):  # the library prints its log
        found = train(job)
    json.dump(asdict(found), sys.stdout)


if __name__ == "__main__":
    main()
