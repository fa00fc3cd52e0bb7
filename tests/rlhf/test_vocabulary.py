"""Log-probabilities of tokens without the vocabulary in memory, in either pass."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM, CohereConfig, Gemma2Config, GPTNeoXConfig, GraniteConfig, Qwen2Config

from rlhf.checkpoints import CheckpointError
from rlhf.vocabulary import VocabularyHead, require_known_head, token_log_probs

SHAPE: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 40,
}
BODY = {**SHAPE, "head_dim": 8}
HEADS = {
    "plain": Qwen2Config(**SHAPE),
    "under another name": GPTNeoXConfig(**{k: v for k, v in SHAPE.items() if k != "num_key_value_heads"}),
    "bounded": Gemma2Config(**BODY, final_logit_softcapping=0.05),
    "multiplied": CohereConfig(**SHAPE, logit_scale=0.25),
    "divided": GraniteConfig(**SHAPE, logits_scaling=3.0),
}


@pytest.mark.parametrize("config", HEADS.values(), ids=HEADS.keys())
@pytest.mark.parametrize("chunk", [3, 100])
def test_token_log_probs_and_their_gradients_are_those_of_the_whole_softmax(config: Any, chunk: int) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    hidden = (torch.randn(8, 16) * 3).requires_grad_()
    targets, gradient = torch.randint(0, 40, (8,)), torch.randn(8)
    ours = token_log_probs(hidden, targets, VocabularyHead.of(model), 0.7, chunk)
    [found] = torch.autograd.grad(ours, hidden, gradient)
    said = SimpleNamespace(last_hidden_state=hidden[None], past_key_values=None, hidden_states=None, attentions=None)
    model.base_model.forward = lambda *_, **__: said
    logits = model(input_ids=targets[None]).logits[0] / 0.7
    whole = torch.log_softmax(logits, dim=-1)[torch.arange(8), targets]
    [expected] = torch.autograd.grad(whole, hidden, gradient)
    assert torch.allclose(ours, whole, atol=1e-6)
    assert torch.allclose(found, expected, atol=1e-6)


def test_no_tokens_have_no_log_probs() -> None:
    found = token_log_probs(torch.zeros(0, 6), torch.zeros(0, dtype=torch.long), VocabularyHead(torch.ones(11, 6)), 1.0)
    assert found.shape == (0,)


class Largest(TorchDispatchMode):
    """Remembers the most elements that any result had."""

    elements = 0

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for each in found if isinstance(found, (tuple, list)) else [found]:
            if isinstance(each, torch.Tensor):
                self.elements = max(self.elements, each.numel())
        return found


def test_a_model_that_makes_its_logits_in_an_unknown_way_is_refused() -> None:
    model = AutoModelForCausalLM.from_config(HEADS["multiplied"]).eval()
    require_known_head(model)
    model.config.logit_scale = 1.0  # the model has read its own before: it multiplies, and nobody says so
    with pytest.raises(CheckpointError, match="logits"):
        require_known_head(model)


def test_neither_pass_holds_the_vocabulary_for_more_than_a_chunk_of_tokens() -> None:
    tokens, width, vocabulary, chunk = 64, 4, 1000, 8
    head = VocabularyHead(torch.randn(vocabulary, width))
    hidden = torch.randn(tokens, width, requires_grad=True)
    saved: list[int] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), Largest() as seen:
        token_log_probs(hidden, torch.zeros(tokens, dtype=torch.long), head, 1.0, chunk).sum().backward()
    assert seen.elements == chunk * vocabulary
    assert sum(saved) == tokens * width
