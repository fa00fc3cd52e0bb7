"""PPO's mathematics, all of it together, against numbers worked out one token at a time."""

from __future__ import annotations

import math
from statistics import fmean, pstdev, stdev
from typing import Any

import pytest
import torch
from torch import Tensor

from rlhf.config import PpoConfig
from rlhf.losses import adapted, divergence, group_advantages, policy_loss_sum, token_weights, value_loss_sum
from rlhf.rollout import Said, credit

Rows = list[list[float]]


def batch(seed: int, rows: int = 6, width: int = 9) -> tuple[Said, Tensor, Tensor]:
    """What four networks might say of ragged responses, in float64; which tokens stand; which responses ended."""
    drawn = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, width + 1, (rows,), generator=drawn)
    mask = torch.arange(int(lengths.max()))[None, :] < lengths[:, None]
    log_probs, reference, values = (
        torch.randn(mask.shape, generator=drawn, dtype=torch.float64) * mask for _ in range(3)
    )
    scores = torch.randn(rows, generator=drawn, dtype=torch.float64)
    return Said(log_probs, reference, values, scores), mask, torch.rand(rows, generator=drawn) < 0.6


def ragged(values: Tensor, mask: Tensor) -> Rows:
    """The numbers at response tokens, as lists."""
    return [row[kept].tolist() for row, kept in zip(values, mask, strict=True)]


def estimate(kind: str, policy: float, reference: float) -> float:
    r = math.exp(reference - policy)
    return {"k1": -math.log(r), "k2": math.log(r) ** 2 / 2, "k3": r - 1 - math.log(r)}[kind]


def whitened(rows: Rows, *, shift: bool) -> Rows:
    every = [value for row in rows for value in row]
    mean, scale = fmean(every), math.sqrt(pstdev(every) ** 2 + 1e-8)
    return [[(value - mean) / scale + (0 if shift else mean) for value in row] for row in rows]


def by_hand(said: Said, mask: Tensor, ended: Tensor, config: PpoConfig, price: float) -> tuple[Rows, Rows]:
    """Advantages and returns of each response token."""
    log_probs, reference, values = (ragged(each, mask) for each in (said.log_probs, said.reference, said.values))
    rewards = [
        [-price * estimate(config.kl_estimator, p, q) for p, q in zip(ps, qs, strict=True)]
        for ps, qs in zip(log_probs, reference, strict=True)
    ]
    for row, score, closed in zip(rewards, said.scores.tolist(), ended.tolist(), strict=True):
        row[-1] += score - (0 if closed else config.missing_end_penalty)
    if config.whiten_rewards:
        rewards = whitened(rewards, shift=False)
    advantages, returns = [], []
    for r, v in zip(rewards, values, strict=True):
        errors = [r[t] + config.gamma * (v[t + 1] if t + 1 < len(v) else 0) - v[t] for t in range(len(v))]
        decay = config.gamma * config.gae_lambda
        own = [sum(decay ** (k - t) * errors[k] for k in range(t, len(v))) for t in range(len(v))]
        advantages.append(own)
        returns.append([a + b for a, b in zip(own, v, strict=True)])
    return (whitened(advantages, shift=True) if config.whiten_advantages else advantages), returns


SETTINGS: list[dict[str, Any]] = [
    {},
    {"kl_estimator": "k2", "gamma": 0.97, "gae_lambda": 0.8, "missing_end_penalty": 2.5},
    {"kl_estimator": "k3", "whiten_rewards": True, "average_over": "responses"},
    {"whiten_advantages": False, "gae_lambda": 0.0, "average_over": "responses"},
]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("settings", SETTINGS, ids=["as usual", "k2", "k3, rewards whitened", "not whitened"])
def test_advantages_and_returns_of_ragged_responses_are_those_worked_out_by_hand(
    settings: dict[str, Any], seed: int
) -> None:
    config = PpoConfig(**settings)
    said, mask, ended = batch(seed)
    advantages, returns = credit(said, mask, ended, config, 0.3)
    expected_advantages, expected_returns = by_hand(said, mask, ended, config, 0.3)
    for found, expected in ((advantages, expected_advantages), (returns, expected_returns)):
        assert torch.all(found[~mask] == 0)
        for row, own in zip(ragged(found, mask), expected, strict=True):
            assert row == pytest.approx(own, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("average_over", ["tokens", "responses"])
def test_losses_and_gradients_of_ragged_responses_are_those_worked_out_by_hand(average_over: Any, seed: int) -> None:
    said, mask, _ = batch(seed)
    drawn = torch.Generator().manual_seed(seed)
    advantages, returns = (torch.randn(mask.shape, generator=drawn, dtype=torch.float64) for _ in range(2))
    new, values = (torch.randn(mask.shape, generator=drawn, dtype=torch.float64) * 0.4 for _ in range(2))
    log_probs = (said.log_probs + new)[mask].requires_grad_()
    value = (said.values + values)[mask].requires_grad_()
    weights = token_weights(mask, average_over)[mask]
    total = weights.sum()
    policy = policy_loss_sum(log_probs, said.log_probs[mask], advantages[mask], weights, 0.2).total / total
    critic = value_loss_sum(value, said.values[mask], returns[mask], weights, 0.3) / total
    torch.autograd.backward([policy, critic])

    shares = [1 / mask.sum().item()] * int(mask.sum())
    if average_over == "responses":
        shares = [1 / (len(mask) * length) for length in mask.sum(1).tolist() for _ in range(length)]
    policy_by_hand = critic_by_hand = 0.0
    slopes: list[float] = []
    value_slopes: list[float] = []
    columns = (log_probs, said.log_probs[mask], advantages[mask], value, said.values[mask], returns[mask])
    for share, p, old, a, v, before, target in zip(shares, *(c.tolist() for c in columns), strict=True):
        ratio = math.exp(p - old)
        free, held = -a * ratio, -a * min(max(ratio, 0.8), 1.2)
        policy_by_hand += share * max(free, held)
        slopes.append(share * free if free >= held else 0.0)
        near = before + min(max(v - before, -0.3), 0.3)
        critic_by_hand += share * 0.5 * max((v - target) ** 2, (near - target) ** 2)
        value_slopes.append(share * (v - target) if (v - target) ** 2 >= (near - target) ** 2 else 0.0)
    assert policy.item() == pytest.approx(policy_by_hand, abs=1e-6)
    assert critic.item() == pytest.approx(critic_by_hand, abs=1e-6)
    assert log_probs.grad is not None
    assert log_probs.grad.tolist() == pytest.approx(slopes, abs=1e-6)
    assert value.grad is not None
    assert value.grad.tolist() == pytest.approx(value_slopes, abs=1e-6)


def test_the_estimators_of_divergence_mean_what_they_say() -> None:
    """Of two outcomes with probabilities 3/4 and 1/4 against 1/2 and 1/2, where the divergence is known."""
    p, q = torch.tensor([0.75, 0.25]), torch.tensor([0.5, 0.5])
    exact = (p * (p / q).log()).sum().item()
    mean = {kind: (p * divergence(p.log(), q.log(), kind)).sum().item() for kind in ("k1", "k2", "k3")}  # type: ignore[arg-type]
    assert mean["k1"] == pytest.approx(exact)
    assert mean["k3"] == pytest.approx(exact)
    assert mean["k2"] == pytest.approx(0.75 * math.log(1.5) ** 2 / 2 + 0.25 * math.log(0.5) ** 2 / 2)
    assert divergence(p.log(), q.log(), "k1").min() < 0 <= divergence(p.log(), q.log(), "k3").min()


def test_the_price_of_divergence_follows_how_far_it_is_from_its_target() -> None:
    assert adapted(0.1, measured=6.0, target=6.0, responses=100, horizon=1000) == pytest.approx(0.1)
    assert adapted(0.1, measured=6.6, target=6.0, responses=100, horizon=1000) == pytest.approx(0.1 * 1.01)
    assert adapted(0.1, measured=60, target=6.0, responses=100, horizon=1000) == pytest.approx(0.1 * 1.02)
    assert adapted(0.1, measured=0.0, target=6.0, responses=100, horizon=1000) == pytest.approx(0.1 * 0.98)


@pytest.mark.parametrize("seed", range(3))
def test_without_a_critic_a_response_is_measured_by_the_others_to_its_prompt(seed: int) -> None:
    said, mask, ended = batch(seed)
    penalised = [s - (0 if closed else 1.0) for s, closed in zip(said.scores.tolist(), ended.tolist(), strict=True)]
    paid = [
        score - 0.3 * sum(p - q for p, q in zip(ps, qs, strict=True))
        for score, ps, qs in zip(penalised, ragged(said.log_probs, mask), ragged(said.reference, mask), strict=True)
    ]
    for rule in ("rloo", "grpo"):
        config = PpoConfig(advantages=rule, responses=3)
        advantages, returns = credit(said, mask, ended, config, 0.3)
        for i, own in enumerate(paid):
            group = paid[i // 3 * 3 : i // 3 * 3 + 3]
            others = [each for j, each in enumerate(group) if j != i % 3]
            expected = own - fmean(others) if rule == "rloo" else (own - fmean(group)) / (stdev(group) + 1e-4)
            assert ragged(advantages, mask)[i] == pytest.approx([expected] * int(mask[i].sum()), abs=1e-6)
        assert not returns.any()


def test_the_baseline_of_rloo_leaves_the_mean_of_a_group_at_nothing() -> None:
    found = group_advantages(torch.tensor([1.0, 2.0, 6.0, 5.0, 5.0, 5.0]), 3, "rloo")
    assert found.tolist() == pytest.approx([-3.0, -1.5, 4.5, 0.0, 0.0, 0.0])
