"""The mathematics of the training, as pure functions of tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


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


def token_log_probs(hidden: Tensor, targets: Tensor, head: torch.nn.Module, temperature: float, chunk: int) -> Tensor:
    """Log-probabilities (N,) of the target tokens (N,) given the hidden states (N, d) before them.

    The vocabulary is never materialised for more than ``chunk`` tokens at once.
    """
    parts = []
    for states, wanted in zip(torch.split(hidden, chunk), torch.split(targets, chunk), strict=True):
        logits = head(states).float() / temperature
        parts.append(logits.gather(-1, wanted[:, None]).squeeze(-1) - logits.logsumexp(-1))
    return torch.cat(parts) if parts else hidden.new_zeros(0)


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


def shaped_rewards(scores: Tensor, log_probs: Tensor, reference: Tensor, mask: Tensor, kl_coefficient: float) -> Tensor:
    """Rewards (B, T): at each response token minus the price of its divergence, at the last one also the score.

    scores (B,); log_probs, reference (B, T) of the sampled tokens; mask (B, T) True where a response token stands.
    The divergence is estimated by log p - log q ("k1" of Schulman 2020).
    """
    rewards = -kl_coefficient * (log_probs - reference) * mask
    last = mask.sum(dim=1).long() - 1
    rows = torch.arange(len(scores), device=scores.device)
    return rewards.index_put((rows, last), scores, accumulate=True)


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


@dataclass(frozen=True)
class PolicyLoss:
    """The sum of the clipped policy loss over tokens, and what is worth watching about it."""

    total: Tensor
    clipped: Tensor
    divergence: Tensor


def policy_loss_sum(log_probs: Tensor, old: Tensor, advantages: Tensor, clip_range: float) -> PolicyLoss:
    """PPO's clipped surrogate, summed over the tokens, each argument (N,).

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
    return PolicyLoss(torch.maximum(surrogate, clipped).sum(), clips, divergence)


def value_loss_sum(values: Tensor, old: Tensor, returns: Tensor, clip_range: float) -> Tensor:
    """Half the squared error of the values, clipped around the old ones, summed over the tokens, each argument (N,).

    Source: the implementation details of Huang et al. 2022 (37 implementation details of PPO), number 9.
    """
    near = old + (values - old).clamp(-clip_range, clip_range)
    return 0.5 * torch.maximum((values - returns) ** 2, (near - returns) ** 2).sum()
