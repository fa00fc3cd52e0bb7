"""PPO: the fine-tuned model, against the reward model, with a KL penalty towards where it started.

A step of the trainer is one optimiser step on ``batch_size`` answered prompts; a rollout of ``rollout_size`` prompts is
gone through ``ppo_epochs`` times. Checkpoints stand at rollout boundaries, so a resumed run goes on as it would have.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer, TrainingArguments, set_seed

from rlhf import gate, networks, prompt_sharing
from rlhf.alarms import Watch
from rlhf.answered import Answered, Laid, lay
from rlhf.attention import Attention
from rlhf.bases import base_of_reward
from rlhf.compare import compare
from rlhf.config import PpoConfig
from rlhf.data import prompts_to_train_on
from rlhf.engines import engine_of
from rlhf.losses import adapted, policy_loss_sum, value_loss_sum
from rlhf.quartet import Quartet
from rlhf.rollout import Rollout, RolloutLoader, answer, judge
from rlhf.sequences import Encoder, fit
from rlhf.stage import Stage, processes
from rlhf.timer import Timer, peak_memory
from rlhf.trainer import StageTrainer, common_arguments


class PpoTrainer(StageTrainer, Trainer):
    """A trainer whose data are rollouts that it makes itself."""

    def __init__(
        self, quartet: Quartet, encoder: Encoder, prompts: Sequence[Sequence[int]], config: PpoConfig, folder: Path
    ) -> None:
        """``prompts`` are ids; they are answered in an order drawn with the seed, again and again."""
        self.encoder, self.config = encoder, config
        self.prompts = [list(prompt) for prompt in prompts]
        self.rollouts = 1 if config.dry_run else _rollouts(config, len(prompts))
        self.loader = RolloutLoader(self._next_rollout, self.rollouts, config, config.seed)
        self.kl_coefficient = config.kl_coefficient
        self.watch, self.timer = Watch(config), Timer()
        self.engine = engine_of(config, quartet, encoder, folder)
        self.attention: Attention | None = None  # in rows, until a check has shown that tries are right
        self._checked = False
        self._sums: dict[str, float] = defaultdict(float)
        steps_a_rollout = config.ppo_epochs * (config.rollout_size // config.batch_size)
        self.steps_a_rollout = steps_a_rollout
        common = common_arguments(config, folder, config.micro_batch_size)
        common["save_steps"] = ceil(config.save_every / steps_a_rollout) * steps_a_rollout
        common["save_strategy"] = "no" if config.dry_run else "steps"
        common["adam_epsilon"] = config.adam_epsilon
        common["gradient_checkpointing"] = False  # the quartet sees to it by itself
        common["num_train_epochs"] = 1
        args = TrainingArguments(
            **common, max_steps=self.rollouts * steps_a_rollout, ignore_data_skip=True, label_names=["rollout"]
        )
        super().__init__(model=quartet, args=args, train_dataset=self.prompts)

    # 1. The data: rollouts.

    def get_train_dataloader(self) -> Any:
        """Rollouts instead of a data set; there is nothing to prepare for a device."""
        return self.loader

    def num_examples(self, _dataloader: Any) -> int:
        """Answered prompts."""
        return self.rollouts * self.config.rollout_size

    def _next_rollout(self) -> Rollout | None:
        """Answers and judges the next prompts, or stops the run where alarms have been going off for too long."""
        number, step = self.loader.done, self.state.global_step
        self.timer.begin("answering")
        self.records.progress(step, self.state.max_steps, "answering prompts")
        answered = answer(self.engine, self.encoder, self._prompts_of(number), self.config)
        self.timer.begin("judging")
        self.records.progress(step, self.state.max_steps, "updating the policy")
        self._see_whether_prompts_are_shared(answered)
        rollout, watched, scores = judge(self.model, answered, self.config, self.kl_coefficient, self.attention)
        watched["kl_coefficient"] = self.kl_coefficient
        self.records.metrics(step, {f"rollout/{name}": value for name, value in watched.items()})
        for alarm in self.watch.see(watched, scores.tolist()):
            self.records.event(alarm.event, step, measured=round(alarm.measured, 4), limit=round(alarm.limit, 4))
        if self.watch.enough:
            self.records.event("stopped by alarms", step, rollouts_with_alarms=self.watch.in_a_row)
            return None
        self._adapt_price(watched["kl"])
        self.timer.begin("updating")
        return rollout

    def _adapt_price(self, measured: float) -> None:
        config, responses = self.config, self.config.rollout_size * self.config.responses
        if config.kl_target:
            price = adapted(self.kl_coefficient, measured, config.kl_target, responses, config.kl_horizon)
            self.kl_coefficient = price

    def _see_whether_prompts_are_shared(self, answered: Answered) -> None:
        """Once a run, on its first answers: a resumed run has not seen them and looks again."""
        if self._checked or self.config.responses == 1 or not self.config.share:
            return
        self._checked = True
        found = prompt_sharing.check(self.model, answered, self.args.device)
        self.records.event("layout", self.state.global_step, **found.said)
        self.attention = found.attention

    def _prompts_of(self, rollout: int) -> list[list[int]]:
        """The prompts of a rollout: passes over all prompts in ever new orders, as if written one after the other."""
        start = rollout * self.config.rollout_size
        chosen = []
        for position in range(start, start + self.config.rollout_size):
            lap, place = divmod(position, len(self.prompts))
            order = random.Random(f"{self.config.seed}:{lap}").sample(range(len(self.prompts)), len(self.prompts))
            chosen.append(self.prompts[order[place]])
        return chosen

    # 2. The update: policy, then critic, each forward and backward before the other.

    def _prepare_inputs(self, inputs: dict[str, Rollout]) -> dict[str, Rollout]:
        return inputs  # made where they are used

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Rollout]], device: torch.device) -> Tensor:
        """What the tokens of the whole step weigh together."""
        total = sum((batch["rollout"].weights.sum() for batch in batch_samples), torch.zeros(()))  # none: stopped early
        return self.accelerator.reduce(total.to(device), "sum")

    def training_step(self, model: Any, inputs: dict[str, Rollout], num_items_in_batch: Any = None) -> Tensor:
        """The gradients of one micro-batch: of the policy's loss, then of the critic's."""
        model.train()
        rollout = inputs["rollout"]
        laid = lay(rollout.answered, self.attention, self.args.device)
        scale = self.accelerator.num_processes / num_items_in_batch
        with self.accelerator.no_sync(model):
            policy_loss = self._policy_loss(model, rollout, laid) * scale
            self.accelerator.backward(policy_loss)
        self._sums["policy_loss"] += policy_loss.item()
        self._sums["micro_batches"] += 1
        if self.config.advantages != "gae":
            return policy_loss.detach()
        value_loss = self._value_loss(model, rollout, laid) * scale
        self.accelerator.backward(value_loss)
        self._sums["value_loss"] += value_loss.item()
        return (policy_loss + value_loss).detach()

    def _policy_loss(self, model: Any, rollout: Rollout, laid: Laid) -> Tensor:
        log_probs = model("policy", laid)
        old, advantages, weights = _of_tokens(rollout, rollout.log_probs, rollout.advantages, to=log_probs)
        loss = policy_loss_sum(log_probs, old, advantages, weights, self.config.clip_range)
        self._sums["tokens"] += len(log_probs)
        self._sums["clipped"] += loss.clipped.item()
        self._sums["divergence"] += loss.divergence.item()
        return loss.total

    def _value_loss(self, model: Any, rollout: Rollout, laid: Laid) -> Tensor:
        values = model("critic", laid)
        old, returns, weights = _of_tokens(rollout, rollout.values, rollout.returns, to=values)
        return value_loss_sum(values, old, returns, weights, self.config.value_clip_range)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds what the steps since the last log summed up."""
        sums, self._sums = self._sums, defaultdict(float)
        if sums["tokens"]:
            steps = sums["micro_batches"] / self.args.gradient_accumulation_steps
            logs |= {
                "policy_loss": sums["policy_loss"] / steps,
                "value_loss": sums["value_loss"] / steps,
                "clipped_share": sums["clipped"] / sums["tokens"],
                "update_divergence": sums["divergence"] / sums["tokens"],
            }
        super().log(logs, start_time)

    # 3. Rates of their own, and checkpoints of all that is trained.

    def create_optimizer(self, model: Any = None) -> Any:
        """AdamW with one group for the policy and one for the critic."""
        quartet = self.model if model is None else model
        optimizer = getattr(self, "optimizer", None)
        if optimizer is None:
            groups = [
                {"params": quartet.trained("policy"), "lr": self.config.learning_rate},
                {"params": quartet.trained("critic"), "lr": self.config.critic_learning_rate},
            ]
            optimizer = torch.optim.AdamW(groups, eps=self.config.adam_epsilon, weight_decay=self.config.weight_decay)
            self.optimizer = optimizer
        return optimizer

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Writes the trained adapters and the critic's head."""
        if self.args.should_save:
            self.model.save(Path(output_dir or self.args.output_dir))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self.model.load(Path(resume_from_checkpoint))

    def _running(self) -> dict[str, Any]:
        own = {"rollouts_done": self.loader.done, "kl_coefficient": self.kl_coefficient, "watch": self.watch.state()}
        return {**super()._running(), **own}

    def _load_running(self, state: dict[str, Any]) -> None:
        super()._load_running(state)
        self.loader.done, self.kl_coefficient = state["rollouts_done"], state["kl_coefficient"]
        self.watch.take_up(state["watch"])


def run(stage: Stage, config: PpoConfig) -> dict[str, Any]:
    """Trains the policy and returns what was measured. Resumes where an earlier attempt stood."""
    set_seed(config.seed)
    if processes() > 1:
        stage.refuse("PPO runs in one process in this version: start it without torchrun.")
    base, reward = stage.input("base"), stage.input("reward")
    gate.require(reward, stage, despite=config.despite_gate)
    tokenizer = networks.load_tokenizer(base)
    encoder = Encoder.of(tokenizer)
    snapshot = stage.snapshot()

    # 1. Prompts apart from what validates and reports.
    prompts = prompts_to_train_on(snapshot, stage.optional("data"))
    room = max(config.max_length - config.max_new_tokens, config.max_length // 2)
    ids = [fit(encoder, prompt, (), room).prompt for prompt in prompts]

    # 2. Four networks over one base, or two, which are theirs and stay as they are.
    quartet = Quartet(base, stage.optional("policy"), reward, config, base_of_reward(stage, config))
    trainer = PpoTrainer(quartet, encoder, ids, config, stage.folder)
    trainer.begin(stage.folder, stage.records, stage.lineage(config), config, "updating the policy")
    trainer.train_or_resume()

    # 3. What was measured; the policy's folder, and the same prompts answered before and after.
    result = {"steps": trainer.state.global_step, "prompts": len(ids), "rollouts": trainer.loader.done}
    result |= trainer.timer.said() | ({"stopped_early": True} if trainer.watch.enough else {})
    if config.dry_run:
        return {"dry_run": True, "rollouts_of_whole_run": _rollouts(config, len(ids)), **result, **peak_memory()}
    if trainer.args.should_save:
        with stage.model_folder() as folder:
            quartet.save_adapter("policy", folder)
            quartet.save_adapter("critic", folder / "critic")
            tokenizer.save_pretrained(str(folder))
            stage.lineage(config, step=trainer.state.global_step).write(folder)
    return result | compare(quartet, encoder, snapshot.part("report"), config, stage.folder, stage.records)


def _rollouts(config: PpoConfig, prompts: int) -> int:
    """How many rollouts a whole run makes."""
    return max(ceil(config.epochs * prompts / config.rollout_size), 1)


def _of_tokens(rollout: Rollout, first: Tensor, second: Tensor, to: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Two tensors (S, R) and the weights as (N,) over the response tokens, where another tensor is."""
    told, device = rollout.token_mask, to.device
    return first[told].to(device), second[told].to(device), rollout.weights[told].to(device)
