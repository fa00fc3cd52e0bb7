"""From hidden states to the log-probabilities of tokens, without the vocabulary ever standing there for all of them.

A token's log-probability depends on its own hidden state alone, and the head is frozen. So the derivative by the hidden
state is worked out in the forward pass, chunk by chunk, and the backward pass only scales it: two products with the
head in all, none of them twice, and logits of one chunk at a time in both passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from rlhf.checkpoints import CheckpointError

CHUNK_ELEMENTS = {"cpu": 2**24, "cuda": 2**27}
"""Logits that stand in memory at once, by kind of device: 64 MB, 512 MB."""

HEAD_TOLERANCE = 0.02
"""Relative to the largest logit: half precision rounds where ours does not."""


@dataclass(frozen=True)
class VocabularyHead:
    """What makes logits of hidden states: weight (V, d), bias (V,) or None, a factor, a bound that tanh keeps to."""

    weight: Tensor
    bias: Tensor | None = None
    scale: float = 1.0
    cap: float | None = None

    @classmethod
    def of(cls, causal: Any) -> VocabularyHead:
        """That of a causal language model."""
        layer, config = causal.get_output_embeddings(), causal.config.get_text_config()
        scale = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1.0)
        return cls(layer.weight, layer.bias, scale, getattr(config, "final_logit_softcapping", None))

    def logits(self, hidden: Tensor) -> Tensor:
        """The logits (n, V) of hidden states (n, d), in float32."""
        raw = functional.linear(hidden.to(self.weight.dtype), self.weight, self.bias).float()
        if self.scale != 1:
            raw = raw * self.scale
        return raw if self.cap is None else torch.tanh(raw / self.cap) * self.cap

    def slope(self, logits: Tensor) -> Tensor | None:
        """The derivative (n, V) of the bounded logits by the unbounded ones; None where there is no bound."""
        return None if self.cap is None else 1 - (logits / self.cap) ** 2

    def pull_back(self, gradient: Tensor, slope: Tensor | None) -> Tensor:
        """The gradient (n, d) by hidden states of one (n, V) by their logits."""
        by_raw = gradient if slope is None else gradient * slope
        return self.scale * (by_raw.to(self.weight.dtype) @ self.weight).float()


@torch.no_grad()
def require_known_head(causal: Any) -> None:
    """Raises CheckpointError where a model makes its logits in another way than its VocabularyHead."""
    ids = torch.arange(1, 5, device=causal.device)[None]
    body = getattr(causal, causal.base_model_prefix)
    found = VocabularyHead.of(causal).logits(body(input_ids=ids, use_cache=False).last_hidden_state[0])
    expected = causal(input_ids=ids, use_cache=False).logits[0].float()
    if (found - expected).abs().max() > HEAD_TOLERANCE * expected.abs().max():
        kind = causal.config.get_text_config().model_type
        raise CheckpointError(
            f"The architecture {kind!r} makes its logits in a way that is not known here: PPO would learn from "
            "probabilities that the model does not sample from. Take another base."
        )


def token_log_probs(
    hidden: Tensor, targets: Tensor, head: VocabularyHead, temperature: float, chunk: int | None = None
) -> Tensor:
    """Log-probabilities (N,) of the target tokens (N,) given the hidden states (N, d) before them.

    The logits of at most ``chunk`` tokens are in memory at once, in the backward pass as in the forward; by default
    as many as CHUNK_ELEMENTS allows. The head takes no gradient.
    """
    chunk = chunk or max(CHUNK_ELEMENTS.get(hidden.device.type, 2**24) // len(head.weight), 1)
    return _TokenLogProbs.apply(hidden, targets, head, temperature, chunk)  # type: ignore[no-untyped-call]


class _TokenLogProbs(torch.autograd.Function):
    """With p the probabilities, the derivative of log p[target] by the logits is onehot(target) - p."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, targets: Tensor, head: VocabularyHead, temperature: float, chunk: int
    ) -> Tensor:
        found = torch.empty(len(hidden), device=hidden.device)
        derivative = torch.empty_like(hidden, dtype=torch.float32) if ctx.needs_input_grad[0] else None
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            logits, wanted = head.logits(hidden[part]), targets[part, None]
            slope = None if derivative is None else head.slope(logits)
            logits = logits if temperature == 1 else logits.div_(temperature)
            chosen, top = logits.gather(-1, wanted), logits.amax(-1, keepdim=True)
            odds = logits.sub_(top).exp_()  # the probabilities, but for their total
            total = odds.sum(-1, keepdim=True)
            found[part] = (chosen - top - total.log()).squeeze(-1)
            if derivative is not None:
                by_logits = odds.scatter_add_(-1, wanted, -total)  # p - onehot(target), times the total
                derivative[part] = head.pull_back(by_logits, slope) / (-temperature * total)
        ctx.save_for_backward(derivative)
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        [derivative] = ctx.saved_tensors
        return derivative * gradients[0][:, None], None, None, None, None
