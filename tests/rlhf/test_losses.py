"""The mathematics against slow and obvious oracles."""

from __future__ import annotations

import math
from math import comb

import pytest
import torch
from torch import Tensor

from rlhf.losses import (
    advantages_and_returns,
    centring_sum,
    masked_mean,
    pairwise_loss_sum,
    policy_loss_sum,
    shaped_rewards,
    value_loss_sum,
    whiten,
)


def ragged(rows: int = 5, width: int = 7) -> Tensor:
    """A mask of responses of different lengths, at the left of their rows."""
    lengths = torch.randint(1, width + 1, (rows,))
    return torch.arange(width)[None, :] < lengths[:, None]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(3)


def test_the_loss_of_four_ranked_responses_is_the_mean_over_their_six_pairs() -> None:
    scores = torch.randn(4, dtype=torch.float64)
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    by_hand = -sum(math.log(1 / (1 + math.exp(-(scores[b] - scores[w]).item()))) for b, w in pairs) / comb(4, 2)
    better, worse = (torch.tensor(side) for side in zip(*pairs, strict=True))
    weights = torch.full((6,), 1 / 6, dtype=torch.float64)
    assert pairwise_loss_sum(scores, better, worse, weights).item() == pytest.approx(by_hand, abs=1e-12)


def test_a_margin_has_to_be_led_by_on_top() -> None:
    scores = torch.tensor([1.0, 0.25, -0.5])
    better, worse = torch.tensor([0, 0, 1]), torch.tensor([1, 2, 2])
    weights, margins = torch.tensor([0.5, 0.25, 0.25]), torch.tensor([0.0, 2.0, 0.5])
    leads = [1.0 - 0.25, 1.0 + 0.5 - 2.0, 0.25 + 0.5 - 0.5]
    by_hand = sum(w * math.log(1 + math.exp(-lead)) for w, lead in zip((0.5, 0.25, 0.25), leads, strict=True))
    assert pairwise_loss_sum(scores, better, worse, weights, margins).item() == pytest.approx(by_hand, abs=1e-6)


def test_centring_squares_twice_the_mean_of_each_turn_whatever_its_spread() -> None:
    """Means 2, -1 and 3 of turns with two, three and one response: 0.5 * 16 + 1 * 4 + 0 * 36."""
    scores = torch.tensor([5.0, -1.0, 0.0, -1.0, -2.0, 3.0])
    turns, weights = torch.tensor([0, 0, 1, 1, 1, 2]), torch.tensor([0.5, 1.0, 0.0])
    assert centring_sum(scores, turns, weights).item() == pytest.approx(12.0)


def test_centring_of_two_responses_is_the_square_of_their_sum() -> None:
    scores = torch.randn(2, dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    found = centring_sum(scores, torch.zeros(2, dtype=torch.long), one)
    assert found.item() == pytest.approx((scores[0] + scores[1]).item() ** 2, abs=1e-12)


def test_rewards_are_the_price_of_divergence_and_the_score_at_the_last_token() -> None:
    mask = torch.tensor([[True, True, True], [True, False, False]])
    log_probs, reference = torch.randn(2, 3), torch.randn(2, 3)
    rewards = shaped_rewards(torch.tensor([2.0, -1.0]), log_probs - reference, mask, 0.1)
    divergence = -0.1 * (log_probs - reference)
    expected = torch.tensor(
        [[divergence[0, 0], divergence[0, 1], divergence[0, 2] + 2.0], [divergence[1, 0] - 1.0, 0.0, 0.0]]
    )
    assert torch.allclose(rewards, expected)


def test_advantages_equal_the_sum_over_later_errors() -> None:
    gamma, lam = 0.97, 0.9
    mask = ragged()
    rewards, values = torch.randn(5, 7, dtype=torch.float64), torch.randn(5, 7, dtype=torch.float64)
    advantages, returns = advantages_and_returns(rewards, values, mask, gamma, lam)
    for row in range(5):
        length = int(mask[row].sum())
        errors = [
            rewards[row, t] + (gamma * values[row, t + 1] if t + 1 < length else 0.0) - values[row, t]
            for t in range(length)
        ]
        for t in range(7):
            expected = (
                sum((gamma * lam) ** (later - t) * errors[later] for later in range(t, length)) if t < length else 0.0
            )
            assert float(advantages[row, t]) == pytest.approx(float(expected), abs=1e-6)
            assert float(returns[row, t]) == pytest.approx(
                float(expected + values[row, t]) if t < length else 0.0, abs=1e-6
            )


def test_whitening_gives_zero_mean_and_unit_variance_over_the_mask_only() -> None:
    mask = ragged()
    values = torch.randn(5, 7) * 3 + 2
    white = whiten(values, mask)
    chosen = white[mask]
    assert chosen.mean().item() == pytest.approx(0, abs=1e-5)
    assert chosen.var(correction=0).item() == pytest.approx(1, abs=1e-4)
    assert torch.all(white[~mask] == 0)
    unshifted = whiten(values, mask, shift=False)[mask]
    assert unshifted.mean().item() == pytest.approx(values[mask].mean().item(), abs=1e-5)


def test_the_masked_mean_of_nothing_is_zero() -> None:
    assert masked_mean(torch.ones(2, 2), torch.zeros(2, 2)).item() == 0


def test_the_policy_loss_is_the_clipped_surrogate() -> None:
    log_probs, old, advantages = torch.randn(50), torch.randn(50), torch.randn(50)
    expected = clips = 0.0
    for new, before, advantage in zip(log_probs.tolist(), old.tolist(), advantages.tolist(), strict=True):
        ratio = math.exp(new - before)
        clipped = min(max(ratio, 0.8), 1.2)
        expected += max(-advantage * ratio, -advantage * clipped)
        clips += -advantage * clipped > -advantage * ratio
    loss = policy_loss_sum(log_probs, old, advantages, torch.ones(50), 0.2)
    assert loss.total.item() == pytest.approx(expected, rel=1e-5)
    assert loss.clipped.item() == clips > 0
    assert loss.divergence.item() >= 0


def test_an_unchanged_policy_has_no_divergence_and_the_plain_gradient() -> None:
    log_probs = torch.randn(20, requires_grad=True)
    advantages = torch.randn(20)
    loss = policy_loss_sum(log_probs, log_probs.detach(), advantages, torch.ones(20), 0.2)
    assert loss.divergence.item() == pytest.approx(0, abs=1e-6)
    loss.total.backward()
    assert log_probs.grad is not None
    assert torch.allclose(log_probs.grad, -advantages)


def test_the_value_loss_does_not_reward_moving_beyond_the_clip() -> None:
    old, returns = torch.tensor([0.0, 0.0]), torch.tensor([1.0, 1.0])
    inside, beyond = (
        value_loss_sum(torch.tensor([0.1, 0.1]), old, returns, torch.ones(2), 0.2),
        0.5 * 2 * (0.1 - 1) ** 2,
    )
    assert inside.item() == pytest.approx(beyond)
    clipped = value_loss_sum(torch.tensor([0.9, 0.9]), old, returns, torch.ones(2), 0.2)
    assert clipped.item() == pytest.approx(0.5 * 2 * (0.2 - 1) ** 2)
