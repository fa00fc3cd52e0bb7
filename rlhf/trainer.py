"""What every training stage adds to a ``transformers.Trainer``: trusted checkpoints, records, mended spikes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlhf import checkpoints
from rlhf.checkpoints import Lineage
from rlhf.config import ConfigError, Optimising
from rlhf.records import N_, Records
from rlhf.sharding import sharded
from rlhf.stage import processes

TRAINER_STATE = "trainer_state.json"
RUNNING = "running.json"
KEPT = 2
SMOOTHING = 0.9
WARM_AFTER = 10
HIDDEN_METRICS = ("total_flos", "train_runtime", "train_samples_per_second", "train_steps_per_second", "epoch")


def common_arguments(config: Optimising, folder: Path, micro_batch_size: int) -> dict[str, Any]:
    """The training arguments that every stage takes from its config.

    ``micro_batch_size`` is how many turns a process is given at a time. Raises ConfigError where the processes cannot
    share a batch evenly.
    """
    together = micro_batch_size * processes()
    if config.batch_size % together:
        raise ConfigError(
            f"batch_size {config.batch_size} is no multiple of micro_batch_size {micro_batch_size} times "
            f"{processes()} processes: change one of them"
        )
    return {
        "output_dir": str(folder),
        "seed": config.seed,
        "data_seed": config.seed,
        "learning_rate": config.learning_rate,
        "num_train_epochs": config.epochs,
        "per_device_train_batch_size": micro_batch_size,
        "gradient_accumulation_steps": config.batch_size // together,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "warmup_steps": config.warmup_share,  # below 1 it is a share of the steps
        "lr_scheduler_type": "cosine",
        "gradient_checkpointing": config.gradient_checkpointing,
        "fp16": config.dtype == "float16",
        "bf16": config.dtype == "bfloat16",
        "use_cpu": not torch.cuda.is_available(),
        "logging_steps": config.log_every,
        "save_strategy": "steps",
        "save_steps": config.save_every,
        "logging_nan_inf_filter": False,
        "remove_unused_columns": False,
        "report_to": "none",
        "disable_tqdm": True,
        **sharded(config.parallel),
    }


class Recording(TrainerCallback):
    """Writes progress and metrics into the run's records."""

    def __init__(self, records: Records, phase: str) -> None:
        """``phase`` is what the progress says the run is doing."""
        self._records, self._phase = records, phase

    def on_step_end(
        self, _args: TrainingArguments, state: TrainerState, _control: TrainerControl, **_kwargs: Any
    ) -> None:
        """Says how far the run is."""
        self._records.progress(state.global_step, state.max_steps, self._phase)

    def on_log(
        self,
        _args: TrainingArguments,
        state: TrainerState,
        _control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_kwargs: Any,
    ) -> None:
        """Says what was measured."""
        shown = {key: value for key, value in (logs or {}).items() if key not in HIDDEN_METRICS}
        if shown:
            self._records.metrics(state.global_step, shown)


class StageTrainer:
    """Mixed into a ``Trainer`` before it, and tied to its run by ``begin``."""

    run_folder: Path
    records: Records
    lineage: Lineage
    settings: Optimising
    _norm_average: float | None = None
    _norms_seen: int = 0
    _decided: tuple[int, float] | None = None
    _watched: Any = None

    def begin(self, run_folder: Path, records: Records, lineage: Lineage, settings: Optimising, phase: str) -> None:
        """Ties the trainer to its run; to be called once, after construction."""
        self.run_folder, self.records, self.lineage, self.settings = run_folder, records, lineage, settings
        self.add_callback(Recording(records, phase))  # type: ignore[attr-defined]

    def train_or_resume(self) -> Any:
        """Trains from the last complete checkpoint of the run, or from the start."""
        trainer: Any = self
        if trainer.args.should_save:
            checkpoints.sweep(self.run_folder)
        trainer.accelerator.wait_for_everyone()
        complete = checkpoints.complete_ones(self.run_folder)
        if not complete:
            return trainer.train()
        newest = complete[-1]
        self.records.event("resumed", checkpoints.step_of(newest))
        self._load_running(json.loads((newest / RUNNING).read_text(encoding="utf-8")))
        return trainer.train(resume_from_checkpoint=str(newest))

    # --- checkpoints ---

    def _save_checkpoint(self, _model: Any, _trial: Any) -> None:
        """Writes everything a run needs to go on, aside and then in place; every process takes part."""
        trainer: Any = self
        step = trainer.state.global_step
        folder = checkpoints.step_folder(self.run_folder, step)
        if checkpoints.is_complete(folder):
            return
        aside = folder.with_name(f".{folder.name}.writing")
        if trainer.args.should_save:
            aside.mkdir(parents=True, exist_ok=True)
        trainer.accelerator.wait_for_everyone()
        self._write_checkpoint(aside, step)
        trainer.accelerator.wait_for_everyone()
        if trainer.args.should_save:
            checkpoints.seal(aside, folder)
            best = trainer.state.best_model_checkpoint
            checkpoints.rotate(self.run_folder, keep=KEPT, best=Path(best) if best else None)
            self.records.event("checkpoint", step, folder=folder.name)
        trainer.accelerator.wait_for_everyone()

    def _write_checkpoint(self, folder: Path, step: int) -> None:
        trainer: Any = self
        trainer.save_model(str(folder), _internal_call=True)
        trainer._save_optimizer_and_scheduler(str(folder))
        trainer._save_scaler(str(folder))
        trainer._save_rng_state(str(folder))
        if trainer.state.best_global_step:
            best = checkpoints.step_folder(self.run_folder, trainer.state.best_global_step)
            trainer.state.best_model_checkpoint = str(best)
        if trainer.args.should_save:
            (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle that nothing reads
            trainer.state.stateful_callbacks["TrainerControl"] = trainer.control.state()
            trainer.state.save_to_json(str(folder / TRAINER_STATE))
            (folder / RUNNING).write_text(json.dumps(self._running()) + "\n", encoding="utf-8")
            replace(self.lineage, step=step).write(folder)

    def _running(self) -> dict[str, Any]:
        """What else the run has to remember; a stage adds its own."""
        return {"norm_average": self._norm_average, "norms_seen": self._norms_seen}

    def _load_running(self, state: dict[str, Any]) -> None:
        """Takes up what ``_running`` kept."""
        self._norm_average, self._norms_seen = state["norm_average"], state["norms_seen"]

    # --- gradient spikes ---

    def _clip_grad_norm(self, model: Any) -> Any:
        """Clips, then mends a spike: skips a step that is not finite, halves one far beyond the running norm."""
        trainer: Any = self
        norm = super()._clip_grad_norm(model)  # type: ignore[misc]
        if not trainer.is_deepspeed_enabled:
            _mend(trainer.optimizer.param_groups, self._share_of(float(norm)))
        return norm

    def create_optimizer(self, model: Any = None) -> Any:
        """The library's, which may be asked for it twice.

        DeepSpeed clips inside its step and says the norm after it: there a step is mended as it begins.
        """
        trainer: Any = self
        optimizer = super().create_optimizer(model)  # type: ignore[misc]
        if trainer.is_deepspeed_enabled and self._watched is not optimizer:
            optimizer.register_step_pre_hook(self._mend_shard)
            self._watched = optimizer
        return optimizer

    def _mend_shard(self, optimizer: Any, *_args: Any) -> None:
        """DeepSpeed steps once for each group of parameters; what becomes of a step is decided once for all."""
        trainer: Any = self
        step = trainer.state.global_step
        if self._decided is None or self._decided[0] != step:
            self._decided = (step, self._share_of(float(trainer.deepspeed.optimizer._global_grad_norm)))
        _mend(optimizer.param_groups, self._decided[1])

    def _share_of(self, norm: float) -> float:
        """How much of a step's gradient is used: all, half where it is a spike, nothing where it is not finite."""
        trainer: Any = self
        if not math.isfinite(norm):
            self.records.event("step skipped", trainer.state.global_step, reason=N_("the gradient is not finite"))
            return 1.0 if trainer.accelerator.scaler is not None else 0.0  # a loss scaler skips by itself, and halves
        if self._is_spike(norm):
            self._lower_rate(trainer, norm)
            return 0.5
        self._remember(norm)
        return 1.0

    def _is_spike(self, norm: float) -> bool:
        warm = self._norm_average is not None and self._norms_seen >= WARM_AFTER
        return warm and norm > self.settings.spike_factor * (self._norm_average or 0.0)

    def _remember(self, norm: float) -> None:
        self._norms_seen += 1
        before = norm if self._norm_average is None else self._norm_average
        self._norm_average = SMOOTHING * before + (1 - SMOOTHING) * norm

    def _lower_rate(self, trainer: Any, norm: float) -> None:
        scheduler = getattr(trainer.lr_scheduler, "scheduler", trainer.lr_scheduler)  # DeepSpeed's stands around it
        factor = self.settings.spike_rate_factor
        scheduler.base_lrs = [rate * factor for rate in scheduler.base_lrs]
        self.records.event(
            "gradient spike", trainer.state.global_step, norm=norm, running_norm=self._norm_average, rate_factor=factor
        )


def _mend(groups: list[dict[str, Any]], share: float) -> None:
    """Leaves a share of the gradients; without gradients the optimiser changes nothing."""
    for parameter in (each for group in groups for each in group["params"] if each.grad is not None):
        if share == 0.0:
            parameter.grad = None
        elif share < 1.0:
            parameter.grad.mul_(share)
