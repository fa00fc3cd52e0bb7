"""A rollout: prompts answered by the policy, scored, and turned into advantages before any update."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from rlhf.config import PpoConfig
from rlhf.losses import advantages_and_returns, masked_mean, shaped_rewards, whiten
from rlhf.quartet import Adapter, Quartet
from rlhf.sampling import SamplingRule, sample
from rlhf.sequences import Encoder


@dataclass(frozen=True)
class Rollout:
    """Answered prompts as tensors.

    ids, mask, response_mask (B, P + R): prompt filled on the left, response on the right; log_probs, values,
    advantages, returns (B, R): per response token, at the left, zero elsewhere.
    """

    ids: Tensor
    mask: Tensor
    response_mask: Tensor
    log_probs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor

    def rows(self, chosen: Tensor) -> Rollout:
        """Some of its rows."""
        return Rollout(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})


@dataclass(frozen=True)
class Answered:
    """Prompts with their sampled responses, as tensors."""

    ids: Tensor
    mask: Tensor
    response_mask: Tensor
    ended: Tensor
    prompt_width: int

    @property
    def token_mask(self) -> Tensor:
        """(B, R): True where a response token stands."""
        return self.response_mask[:, self.prompt_width :]


def answer(quartet: Quartet, encoder: Encoder, prompts: Sequence[Sequence[int]], config: PpoConfig) -> Answered:
    """Samples one response to each prompt with the policy as it is."""
    quartet.use("policy")
    rule = SamplingRule(config.max_new_tokens, config.temperature)
    responses = sample(
        quartet.model,
        prompts,
        rule,
        end_id=encoder.end_id,
        pad_id=encoder.pad_id,
        batch_size=config.generate_batch_size,
    )
    return assemble(prompts, responses, encoder, next(quartet.parameters()).device)


def assemble(
    prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]], encoder: Encoder, device: torch.device
) -> Answered:
    """Prompts and responses side by side, the boundary in one column."""
    width, room = max(map(len, prompts)), max(map(len, responses))
    ids, mask, told = [], [], []
    for prompt, response in zip(prompts, responses, strict=True):
        left, right = width - len(prompt), room - len(response)
        ids.append([encoder.pad_id] * left + [*prompt, *response] + [encoder.pad_id] * right)
        mask.append([0] * left + [1] * (len(prompt) + len(response)) + [0] * right)
        told.append([False] * width + [True] * len(response) + [False] * right)
    ended = [response[-1] == encoder.end_id for response in responses]
    return Answered(
        torch.tensor(ids, device=device),
        torch.tensor(mask, device=device),
        torch.tensor(told, device=device),
        torch.tensor(ended, device=device),
        width,
    )


@torch.no_grad()
def judge(quartet: Quartet, answered: Answered, config: PpoConfig) -> tuple[Rollout, dict[str, float]]:
    """Scores the responses and computes what the update needs; also what is worth watching about the rollout."""
    quartet.eval()
    log_probs = _spread(quartet, "policy", answered, config)
    reference = _spread(quartet, "reference", answered, config)
    values = _spread(quartet, "critic", answered, config)
    scores = torch.cat([quartet.scores(*part) for part in _parts(answered, config.micro_batch_size)])
    mask = answered.token_mask
    penalised = scores - config.missing_end_penalty * (~answered.ended)
    rewards = shaped_rewards(penalised, log_probs, reference, mask, config.kl_coefficient)
    if config.whiten_rewards:
        rewards = whiten(rewards, mask, shift=False)
    advantages, returns = advantages_and_returns(rewards, values, mask, config.gamma, config.gae_lambda)
    rollout = Rollout(
        answered.ids,
        answered.mask,
        answered.response_mask,
        log_probs,
        values,
        whiten(advantages, mask),
        returns,
    )
    return rollout, _watch(answered, scores, log_probs - reference, rollout)


def _watch(answered: Answered, scores: Tensor, log_ratio: Tensor, rollout: Rollout) -> dict[str, float]:
    mask = answered.token_mask
    spread = masked_mean((rollout.returns - masked_mean(rollout.returns, mask)) ** 2, mask)
    unexplained = masked_mean((rollout.returns - rollout.values) ** 2, mask)
    return {
        "score": scores.mean().item(),
        "score_deviation": scores.std(correction=0).item(),
        "kl": (log_ratio * mask).sum(dim=1).mean().item(),
        "kl_per_token": masked_mean(log_ratio, mask).item(),
        "surprise": -masked_mean(rollout.log_probs, mask).item(),
        "response_tokens": mask.sum(dim=1).float().mean().item(),
        "ended": answered.ended.float().mean().item(),
        "value_explained": (1 - unexplained / spread).item() if spread > 1e-6 else float("nan"),
    }


def _spread(quartet: Quartet, adapter: Adapter, answered: Answered, config: PpoConfig) -> Tensor:
    """What an adapter says about each response token, as (B, R)."""
    said = [quartet(adapter, *part) for part in _parts(answered, config.micro_batch_size)]
    spread = torch.zeros(answered.token_mask.shape, device=answered.ids.device)
    spread[answered.token_mask] = torch.cat(said)
    return spread


def _parts(answered: Answered, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    tensors = (answered.ids, answered.mask, answered.response_mask)
    return zip(*(torch.split(tensor, size) for tensor in tensors), strict=True)


class RolloutLoader:
    """Feeds a trainer micro-batches: rollouts, each gone through ``ppo_epochs`` times in new orders.

    ``make`` answers and judges the next prompts; it is called when the trainer asks for the first micro-batch of a
    rollout, so with the policy as it then is.
    """

    def __init__(self, make: Callable[[], Rollout], rollouts: int, config: PpoConfig, seed: int) -> None:
        """A loader of ``rollouts`` rollouts; ``seed`` orders their micro-batches."""
        self._make, self._rollouts, self._config = make, rollouts, config
        self.done = 0
        self._seed = seed

    def __len__(self) -> int:
        config = self._config
        return self._rollouts * config.ppo_epochs * (config.rollout_size // config.micro_batch_size)

    def __iter__(self) -> Iterator[dict[str, Rollout]]:
        while self.done < self._rollouts:
            rollout = self._make()
            generator = torch.Generator().manual_seed(hash((self._seed, self.done)) % 2**63)
            self.done += 1
            for _ in range(self._config.ppo_epochs):
                order = torch.randperm(len(rollout.ids), generator=generator)
                for chosen in torch.split(order, self._config.micro_batch_size):
                    yield {"rollout": rollout.rows(chosen)}
