"""Answered prompts in rows and on tries: what networks say of them, and what they learn, is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rlhf import prompt_sharing
from rlhf.answered import Answered, in_rows, lay, on_tries
from rlhf.attention import Attention
from rlhf.config import PpoConfig
from rlhf.losses import policy_loss_sum, value_loss_sum
from rlhf.quartet import Quartet
from rlhf.rollout import RolloutLoader, judge
from tests.rlhf.material import four_networks

CPU = torch.device("cpu")
END = 2
CONFIG = PpoConfig(responses=3, micro_batch_size=2, batch_size=2, rollout_size=4, lora_rank=2)
ANSWERED = Answered(
    ((5, 6, 7, 8, 9), (10, 11), (12,), (5, 6, 7)),
    (
        ((20, 21, END), (20, 21, 22, 23), (24, END)),
        ((30, END), (30, END), (31, 32, 33, 34, 35, END)),  # two responses may be the same
        ((40,), (41, 42), (40, 43, END)),
        ((8, 9), (8, END), (9, 9, 9)),
    ),
    END,
    0,
)


@pytest.fixture(scope="module")
def quartet(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Quartet:
    """Four networks that say different things."""
    return four_networks(base, tmp_path_factory.mktemp("answered-reward"), CONFIG)


def attention(quartet: Quartet) -> Attention:
    return Attention.of(quartet.causal.config)


def test_tries_hold_fewer_tokens_than_rows_and_the_same_targets(quartet: Quartet) -> None:
    rows, tries = in_rows(ANSWERED, CPU), on_tries(ANSWERED, attention(quartet), CPU)
    assert rows.inputs["input_ids"].shape == (12, 9)
    assert tries.inputs["input_ids"].shape == (4, 12)  # 5 of the prompt, then 20 21, END, 22 23, and 24 END
    assert torch.equal(rows.targets, tries.targets)
    for laid in (rows, tries):
        ids = laid.inputs["input_ids"].flatten()
        assert ids[laid.lasts].tolist() == [response[-1] for _, response in ANSWERED.flat]
        assert ids[laid.before[[0, 1, 2]]].tolist() == [9, 20, 21]


def test_one_response_a_prompt_stands_in_rows_without_a_mask(quartet: Quartet) -> None:
    single = Answered(ANSWERED.prompts, tuple(own[:1] for own in ANSWERED.responses), END, 0)
    assert lay(single, attention(quartet), CPU).inputs.keys() == {"input_ids"}


def test_what_fills_a_row_changes_nothing(quartet: Quartet) -> None:
    alone = [quartet("policy", in_rows(ANSWERED.part([i]), CPU)) for i in range(4)]
    assert torch.allclose(quartet("policy", in_rows(ANSWERED, CPU)), torch.cat(alone), atol=1e-5)


def test_losses_and_gradients_on_tries_are_those_in_rows(quartet: Quartet) -> None:
    rollout, _, scores = judge(quartet, ANSWERED, CONFIG)
    shared, _, scores_shared = judge(quartet, ANSWERED, CONFIG, attention=attention(quartet))
    assert torch.allclose(scores, scores_shared, atol=1e-5)
    for name in ("log_probs", "values", "advantages", "returns"):
        assert torch.allclose(getattr(rollout, name), getattr(shared, name), atol=1e-5), name

    moved = torch.randn(int(rollout.token_mask.sum())) * 0.3

    def outcome(how: Attention | None) -> tuple[list[float], dict[str, Tensor]]:
        quartet.zero_grad(set_to_none=True)
        quartet.train()
        laid, told = lay(ANSWERED, how, CPU), rollout.token_mask
        old, weights = rollout.log_probs[told] + moved, rollout.weights[told]
        policy = policy_loss_sum(quartet("policy", laid), old, rollout.advantages[told], weights, 0.2).total
        policy.backward()
        critic = value_loss_sum(quartet("critic", laid), rollout.values[told], rollout.returns[told], weights, 0.2)
        critic.backward()
        grads = {name: p.grad.clone() for name, p in quartet.named_parameters() if p.grad is not None}
        return [policy.item(), critic.item()], grads

    (losses, expected), (losses_shared, found) = outcome(None), outcome(attention(quartet))
    assert losses_shared == pytest.approx(losses, abs=1e-4)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert (found[name] - gradient).norm() <= 1e-4 * gradient.norm() + 1e-9, name


def test_the_check_takes_tries_where_they_are_right_and_leaves_no_gradient(quartet: Quartet) -> None:
    found = prompt_sharing.check(quartet, ANSWERED, CPU)
    assert found.attention == attention(quartet)
    assert found.said["on"] == "token tries"
    assert found.said["difference"] < 1e-4
    assert all(p.grad is None for p in quartet.parameters())


def test_the_check_falls_back_to_rows_where_a_model_ignores_the_mask(
    quartet: Quartet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Attention, "mask", lambda *_: None)
    found = prompt_sharing.check(quartet, ANSWERED, CPU)
    assert found.attention is None
    assert "differs" in found.said["why"]


def test_the_check_falls_back_to_rows_for_an_architecture_that_is_not_known(
    quartet: Quartet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quartet.causal.config, "model_type", "bloom")
    assert "not known" in prompt_sharing.check(quartet, ANSWERED, CPU).said["why"]


def test_chance_says_which_prompts_form_a_step_and_length_how_they_go_through(quartet: Quartet) -> None:
    rollout, _, _ = judge(quartet, ANSWERED, CONFIG)
    config = CONFIG.model_copy(update={"batch_size": 4, "ppo_epochs": 1})
    batches = [batch["rollout"].answered for batch in RolloutLoader(lambda: rollout, 1, config, seed=1)]
    assert [batch.prompts for batch in batches] == [((12,), (5, 6, 7)), ((10, 11), (5, 6, 7, 8, 9))]
    assert batches[0].responses[1] == ANSWERED.responses[3]


def test_part_of_a_rollout_keeps_each_prompt_with_what_was_said_of_its_responses(quartet: Quartet) -> None:
    rollout, _, _ = judge(quartet, ANSWERED, CONFIG)
    part: Any = rollout.part([2, 0])
    assert part.answered.prompts == ((12,), (5, 6, 7, 8, 9))
    assert torch.equal(part.values, rollout.values[[6, 7, 8, 0, 1, 2]])
