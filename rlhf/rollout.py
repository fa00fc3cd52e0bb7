"""A rollout: prompts answered by the policy, scored, and turned into advantages before any update."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rlhf.answered import Answered, lay
from rlhf.attention import Attention
from rlhf.config import PpoConfig
from rlhf.engines import Engine, mismatch
from rlhf.losses import (
    advantages_and_returns,
    divergence,
    group_advantages,
    masked_mean,
    shaped_rewards,
    token_weights,
    whiten,
)
from rlhf.quartet import Adapter, Quartet
from rlhf.sampling import SamplingRule
from rlhf.sequences import Encoder


@dataclass(frozen=True)
class Rollout:
    """Judged answers. Each tensor (S, R): per response token, at the left, zero where ``token_mask`` is False."""

    answered: Answered
    token_mask: Tensor
    log_probs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    weights: Tensor

    def part(self, prompts: Sequence[int]) -> Rollout:
        """That of some of its prompts."""
        n = len(self.answered.responses[0])
        rows = torch.tensor([prompt * n + i for prompt in prompts for i in range(n)])
        tensors = (self.token_mask, self.log_probs, self.values, self.advantages, self.returns, self.weights)
        return Rollout(self.answered.part(prompts), *(tensor[rows] for tensor in tensors))


def answer(engine: Engine, encoder: Encoder, prompts: Sequence[Sequence[int]], config: PpoConfig) -> Answered:
    """Samples the responses to each prompt with the policy as it is."""
    rule = SamplingRule(config.max_new_tokens, config.temperature)
    sampled = engine.answer(prompts, config.responses, rule)
    answered = grouped(prompts, [each.ids for each in sampled], encoder)
    said = [each.log_probs for each in sampled if each.log_probs is not None]
    if len(said) < len(sampled):
        return answered
    return replace(answered, engine_log_probs=tuple(each for own in said for each in own))


def grouped(prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]], encoder: Encoder) -> Answered:
    """Prompts with the responses to each, given one prompt's behind the other's."""
    n = len(responses) // len(prompts)
    own = tuple(tuple(responses[start : start + n]) for start in range(0, len(responses), n))
    return Answered(tuple(prompts), own, encoder.end_id, encoder.pad_id)


@dataclass(frozen=True)
class Said:
    """What the four networks say: log_probs, reference, values (S, R) of the response tokens, scores (S,)."""

    log_probs: Tensor
    reference: Tensor
    values: Tensor
    scores: Tensor


@torch.no_grad()
def judge(
    quartet: Quartet,
    answered: Answered,
    config: PpoConfig,
    kl_coefficient: float | None = None,
    attention: Attention | None = None,
) -> tuple[Rollout, dict[str, float], Tensor]:
    """Scores the responses and computes what the update needs; also what is worth watching, and the scores (S,).

    ``kl_coefficient`` is by default that of the config. With ``attention``, prompts are computed once.
    """
    quartet.eval()
    names: tuple[Adapter, ...] = ("policy", "reference", *(("critic",) if config.advantages == "gae" else ()))
    by_name, scores = ask(quartet, answered, names, config.micro_batch_size, attention)
    nothing = torch.zeros_like(by_name["policy"])
    said = Said(by_name["policy"], by_name["reference"], by_name.get("critic", nothing), scores)
    mask, ended = answered.token_mask, answered.ended
    price = config.kl_coefficient if kl_coefficient is None else kl_coefficient
    advantages, returns = credit(said, mask, ended, config, price)
    weights = token_weights(mask, config.average_over)
    rollout = Rollout(answered, mask, said.log_probs, said.values, advantages, returns, weights)
    watched = _watch(rollout, said, ended)
    if answered.engine_log_probs is not None:
        watched |= mismatch(answered.engine_log_probs, said.log_probs[mask])
    return rollout, watched, said.scores


def credit(said: Said, mask: Tensor, ended: Tensor, config: PpoConfig, kl_coefficient: float) -> tuple[Tensor, Tensor]:
    """Advantages and returns (S, R) of response tokens; mask (S, R) True where one stands, ended (S,).

    A response that did not end loses the penalty; the advantages of a critic are whitened, those of a group are as
    they are.
    """
    penalised = said.scores - config.missing_end_penalty * (~ended)
    divergences = divergence(said.log_probs, said.reference, config.kl_estimator)
    rewards = shaped_rewards(penalised, divergences, mask, kl_coefficient)
    if config.advantages != "gae":
        groups = group_advantages(rewards.sum(dim=1), config.responses, config.advantages)
        return groups[:, None] * mask, torch.zeros_like(rewards)
    if config.whiten_rewards:
        rewards = whiten(rewards, mask, shift=False)
    advantages, returns = advantages_and_returns(rewards, said.values, mask, config.gamma, config.gae_lambda)
    return (whiten(advantages, mask) if config.whiten_advantages else advantages), returns


@torch.no_grad()
def ask(
    quartet: Quartet, answered: Answered, names: Sequence[Adapter], size: int, attention: Attention | None = None
) -> tuple[dict[Adapter, Tensor], Tensor]:
    """What each of the named says of the response tokens, as (S, R), and the scores (S,) of the responses.

    ``size`` prompts of like length go through together.
    """
    mask, n = answered.token_mask, len(answered.responses[0])
    order = answered.by_length(range(len(answered)))
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    laid = [lay(answered.part(part), attention, next(quartet.parameters()).device) for part in parts]
    rows = [torch.tensor([prompt * n + i for prompt in part for i in range(n)]) for part in parts]
    said = {name: torch.zeros(mask.shape) for name in names}
    for name, spread in said.items():
        for own, each in zip(rows, laid, strict=True):
            filled = torch.zeros(mask[own].shape)
            filled[mask[own]] = quartet(name, each).float().cpu()
            spread[own] = filled
    scores = torch.zeros(len(mask))
    for own, each in zip(rows, laid, strict=True):
        scores[own] = quartet.scores(each).cpu()
    return said, scores


def _watch(rollout: Rollout, said: Said, ended: Tensor) -> dict[str, float]:
    mask = rollout.token_mask
    log_ratio = said.log_probs - said.reference
    spread = masked_mean((rollout.returns - masked_mean(rollout.returns, mask)) ** 2, mask)
    unexplained = masked_mean((rollout.returns - rollout.values) ** 2, mask)
    return {
        "score": said.scores.mean().item(),
        "score_deviation": said.scores.std(correction=0).item(),
        "kl": (log_ratio * mask).sum(dim=1).mean().item(),
        "kl_per_token": masked_mean(log_ratio, mask).item(),
        "kl_k3_per_token": masked_mean(divergence(said.log_probs, said.reference, "k3"), mask).item(),
        "surprise": -masked_mean(said.log_probs, mask).item(),
        "response_tokens": mask.sum(dim=1).float().mean().item(),
        "ended": ended.float().mean().item(),
        "value_explained": (1 - unexplained / spread).item() if spread > 1e-6 else float("nan"),
    }


class RolloutLoader:
    """Feeds a trainer micro-batches: rollouts, each gone through ``ppo_epochs`` times in new orders.

    ``make`` answers and judges the next prompts, or says with None that there is to be no further rollout; it is called
    when the trainer asks for the first micro-batch of a rollout, so with the policy as it then is. Chance says which
    prompts form a step; within it those of like length go together, which wastes least.
    """

    def __init__(self, make: Callable[[], Rollout | None], rollouts: int, config: PpoConfig, seed: int) -> None:
        """A loader of ``rollouts`` rollouts; ``seed`` draws what forms each step."""
        self._make, self._rollouts, self._config = make, rollouts, config
        self.done = 0
        self._seed = seed

    def __len__(self) -> int:
        config = self._config
        return self._rollouts * config.ppo_epochs * (config.rollout_size // config.micro_batch_size)

    def __iter__(self) -> Iterator[dict[str, Rollout]]:
        while self.done < self._rollouts:
            rollout = self._make()
            if rollout is None:
                return
            generator = torch.Generator().manual_seed(hash((self._seed, self.done)) % 2**63)
            self.done += 1
            for _ in range(self._config.ppo_epochs):
                order = torch.randperm(len(rollout.answered), generator=generator)
                for step in torch.split(order, self._config.batch_size):
                    for chosen in self._micro_batches(rollout, step.tolist()):
                        yield {"rollout": rollout.part(chosen)}

    def _micro_batches(self, rollout: Rollout, step: list[int]) -> list[list[int]]:
        size, ordered = self._config.micro_batch_size, rollout.answered.by_length(step)
        return [ordered[start : start + size] for start in range(0, len(ordered), size)]
