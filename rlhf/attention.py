"""Which architectures can attend along a token trie, and the masks that make them do so.

A mask is given ready-made, four-dimensional, which the library hands on as it is. Where a model's layers see only a
window, the mask keeps to it: a node's ancestors stand as far before it as its depth says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask

FULL, SLIDING = "full_attention", "sliding_attention"
ALLOWED = frozenset({
    "cohere", "exaone4", "gemma", "gemma2", "gemma3_text", "glm", "glm4", "gpt_neox", "granite", "internlm3", "llama",
    "mistral", "mixtral", "olmo2", "olmo3", "phi", "phi3", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "seed_oss",
    "smollm3", "starcoder2",
})  # fmt: skip
"""The ``model_type`` of each architecture for which a test compares scores and gradients with those of rows."""

IMPLEMENTATIONS = frozenset({"sdpa", "eager", "flex_attention"})


class CannotShareError(Exception):
    """An architecture that would be wrong on a trie; the message says why."""


@dataclass(frozen=True)
class Attention:
    """How a model attends: by which implementation, and within how many tokens in each kind of layer (None: all).

    ``by_layer`` says that the model asks for one mask a kind of layer.
    """

    implementation: str
    windows: dict[str, int | None]
    by_layer: bool

    @classmethod
    def of(cls, config: Any) -> Attention:
        """That of a model with this configuration; raises CannotShareError where it is not known to be right."""
        text = config.get_text_config()
        if text.model_type not in ALLOWED:
            raise CannotShareError(f"the architecture {text.model_type!r} is not known to attend along a trie")
        kinds = set(getattr(text, "layer_types", None) or [])
        if not kinds <= {FULL, SLIDING}:
            raise CannotShareError(f"its layers are of the kinds {', '.join(sorted(kinds))}")
        if getattr(text, "use_bidirectional_attention", None) or getattr(text, "alibi", False):
            raise CannotShareError("its attention depends on more than what stands before a token")
        implementation = config._attn_implementation
        if implementation not in IMPLEMENTATIONS:
            raise CannotShareError(f"the attention {implementation!r} takes no mask of ours")
        window = getattr(text, "sliding_window", None) or None
        if kinds:
            return cls(implementation, {kind: window if kind == SLIDING else None for kind in sorted(kinds)}, True)
        return cls(implementation, {FULL: window}, False)

    def mask(self, ends: Tensor, depths: Tensor) -> Any:
        """What to give the model as ``attention_mask``. ends, depths (B, N) as in ``packing.Trie``."""
        masks = {kind: self._mask(ends, depths, window) for kind, window in self.windows.items()}
        return masks if self.by_layer else masks[FULL]

    def _mask(self, ends: Tensor, depths: Tensor, window: int | None) -> Any:
        if self.implementation == "flex_attention":
            return block_mask(ends, depths, window)
        allowed = dense_mask(ends, depths, window)
        return allowed if self.implementation == "sdpa" else added(allowed)


def added(allowed: Tensor) -> Tensor:
    """The mask for attention that adds it to its logits: 0 where it may attend, else the lowest float32."""
    return torch.zeros(allowed.shape, device=allowed.device).masked_fill_(~allowed, torch.finfo(torch.float32).min)


def dense_mask(ends: Tensor, depths: Tensor, window: int | None = None) -> Tensor:
    """(B, 1, N, N) True where row q may attend to column k: k <= q < ends[k], and fewer than ``window`` tokens back.

    ends, depths (B, N) as in ``packing.Trie``.
    """
    nodes = torch.arange(ends.shape[1], device=ends.device)
    allowed = (nodes[None, :] <= nodes[:, None]) & (nodes[None, :, None] < ends[:, None, :])
    if window is not None:
        allowed &= depths[:, :, None] - depths[:, None, :] < window
    return allowed[:, None]


def block_mask(ends: Tensor, depths: Tensor, window: int | None = None) -> Any:
    """The same for FlexAttention, which skips whole blocks that attend to nothing."""

    def allowed(row: Tensor, _head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        seen = (k <= q) & (q < ends[row, k])
        return seen if window is None else seen & (depths[row, q] - depths[row, k] < window)

    rows, nodes = ends.shape
    return create_block_mask(allowed, rows, None, nodes, nodes, device=ends.device)
