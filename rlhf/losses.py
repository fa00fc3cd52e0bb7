"""The mathematics of the training, as pure functions of tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Estimator = Literal["k1", "k2", "k3"]
Average = Literal["tokens", "responses"]
Group = Literal["rloo", "grpo"]


def pairwise_loss_sum(
    scores: Tensor, better: Tensor, worse: Tensor, weights: Tensor, margins: Tensor | None = None
) -> Tensor:
    """Sum over pairs of -weight * log sigmoid(score of the better - score of the worse - margin).

    scores (N,) of all responses; better, worse (P,) indices into it; weights (P,), the weight of the pair's turn over
    its C(n, 2); margins (P,), by how much the better has to lead, 0 without.
    Source: the Zhongjing paper, reward modelling; InstructGPT (Ouyang et al. 2022), equation 1; for the margin Llama 2
    (Touvron et al. 2023), equation 2.
    """
    leads = scores[better] - scores[worse]
    return -(functional.logsigmoid(leads if margins is None else leads - margins) * weights).sum()


def centring_sum(scores: Tensor, turns: Tensor, weights: Tensor) -> Tensor:
    """Sum over turns of weight * (2 * mean score of the turn's responses) ** 2.

    A loss over pairs leaves open where the scores of a turn lie; this draws them to zero and says nothing of how far
    apart they are. scores (N,); turns (N,) the number of each score's turn; weights (T,).
    Source: Eisenstein et al. 2023 (Helping or Herding), who square the sum of a pair's two scores; of two responses
    twice the mean is their sum, so that for K = 2 it is that.
    """
    sums = torch.zeros_like(weights).index_add(0, turns, scores)
    counts = torch.zeros_like(weights).index_add(0, turns, torch.ones_like(scores))
    return (weights * (2 * sums / counts) ** 2).sum()


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of the values where the mask is True; 0 where it never is."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


def whiten(values: Tensor, mask: Tensor, *, shift: bool = True) -> Tensor:
    """Scales the masked values to unit variance and, with ``shift``, to zero mean; zero elsewhere.

    Source: Schulman et al. 2017 and the implementation details of Huang et al. 2024 (N implementation details).
    """
    mean = masked_mean(values, mask)
    variance = masked_mean((values - mean) ** 2, mask)
    scaled = (values - mean) * torch.rsqrt(variance + 1e-8)
    return (scaled if shift else scaled + mean) * mask


def divergence(log_probs: Tensor, reference: Tensor, estimator: Estimator) -> Tensor:
    """Estimates of the divergence from the reference at sampled tokens, each of the shape of its arguments.

    With r = reference / policy: k1 is -log r, unbiased and of either sign; k2 is (log r)^2 / 2, biased and never
    negative; k3 is (r - 1) - log r, unbiased and never negative. Source: Schulman 2020, approximating KL divergence.
    """
    log_ratio = reference - log_probs
    if estimator == "k1":
        return -log_ratio
    return 0.5 * log_ratio**2 if estimator == "k2" else log_ratio.exp() - 1 - log_ratio


def shaped_rewards(scores: Tensor, divergences: Tensor, mask: Tensor, kl_coefficient: float) -> Tensor:
    """Rewards (B, T): at each response token minus the price of its divergence, at the last one also the score.

    scores (B,); divergences (B, T) as ``divergence`` estimates them; mask (B, T) True where a response token stands.
    """
    rewards = -kl_coefficient * divergences * mask
    last = mask.sum(dim=1).long() - 1
    rows = torch.arange(len(scores), device=scores.device)
    return rewards.index_put((rows, last), scores.to(rewards.dtype), accumulate=True)


def adapted(coefficient: float, measured: float, target: float, responses: int, horizon: int) -> float:
    """The price of divergence after a rollout of so many responses, so that their mean divergence nears the target.

    Source: Ziegler et al. 2019, section 2.2: a proportional controller in log space, its error clipped to 0.2.
    """
    error = min(max(measured / target - 1, -0.2), 0.2)
    return coefficient * (1 + error * min(responses / horizon, 1.0))


def token_weights(mask: Tensor, average_over: Average) -> Tensor:
    """What each token (B, T) counts in a sum over a step: alike, or each response alike however long it is."""
    if average_over == "tokens":
        return mask.float()
    return mask / mask.sum(dim=1, keepdim=True).clamp(min=1)


def advantages_and_returns(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation over response tokens, each (B, T), zero where the mask is False.

    Responses stand at the left of their rows. Source: Schulman et al. 2016, equation 16; returns = advantages + values.
    """
    values, rewards = values * mask, rewards * mask
    following = torch.zeros_like(values[:, 0])
    running = torch.zeros_like(following)
    reversed_advantages = []
    for t in reversed(range(values.shape[1])):
        delta = rewards[:, t] + gamma * following - values[:, t]
        running = (delta + gamma * lam * running) * mask[:, t]
        reversed_advantages.append(running)
        following = values[:, t]
    advantages = torch.stack(reversed_advantages[::-1], dim=1)
    return advantages, (advantages + values) * mask


def group_advantages(rewards: Tensor, n: int, rule: Group) -> Tensor:
    """What each response (S,) is worth beside the others to its prompt; rewards (S,), n responses a prompt in a row.

    rloo: minus the mean of the others (Ahmadian et al. 2024, equation 8). grpo: minus the mean of all, over their
    standard deviation (Shao et al. 2024, section 4.1).
    """
    groups = rewards.reshape(-1, n)
    centred = groups - groups.mean(dim=1, keepdim=True)
    if rule == "rloo":
        return (centred * (n / (n - 1))).flatten()
    return (centred / (groups.std(dim=1, keepdim=True) + 1e-4)).flatten()


@dataclass(frozen=True)
class PolicyLoss:
    """The sum of the clipped policy loss over tokens, and what is worth watching about it."""

    total: Tensor
    clipped: Tensor
    divergence: Tensor


def policy_loss_sum(
    log_probs: Tensor, old: Tensor, advantages: Tensor, weights: Tensor, clip_range: float
) -> PolicyLoss:
    """PPO's clipped surrogate, summed over the tokens by their weights, each argument (N,).

    ``clipped`` counts tokens where the clip decides; ``divergence`` sums (r - 1) - log r, which is never negative.
    Source: Schulman et al. 2017, equation 7; the estimator is "k3" of Schulman 2020.
    """
    log_ratio = log_probs - old
    ratio = log_ratio.exp()
    surrogate = -advantages * ratio
    clipped = -advantages * ratio.clamp(1 - clip_range, 1 + clip_range)
    with torch.no_grad():
        clips = (clipped > surrogate).sum()
        divergence = (ratio - 1 - log_ratio).sum()
    return PolicyLoss((torch.maximum(surrogate, clipped) * weights).sum(), clips, divergence)


def value_loss_sum(values: Tensor, old: Tensor, returns: Tensor, weights: Tensor, clip_range: float) -> Tensor:
    """Half the squared error of the values, clipped around the old ones, summed by the weights, each argument (N,).

    Source: the implementation details of Huang et al. 2022 (37 implementation details of PPO), number 9.
    """
    near = old + (values - old).clamp(-clip_range, clip_range)
    return 0.5 * (torch.maximum((values - returns) ** 2, (near - returns) ** 2) * weights).sum()
