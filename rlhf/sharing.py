"""Whether a model is right on a token trie: asked of its configuration, then of its own weights, before it is used.

A mistake here would be silent: a mask that a model ignores makes every score wrong and no tensor's shape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity
from transformers.modeling_layers import GradientCheckpointingLayer

from rlhf.attention import Attention, CannotShareError
from rlhf.packing import Sequences
from rlhf.records import Records
from rlhf.scoring import Layout

TOLERANCE = 1e-4
"""Of scores in float32, relative to the largest; in lower precision several times what padding alone makes of them."""

NOISE_TIMES = 5.0
LEAST_COSINE = 0.999
SAMPLE = 4
"""Turns of one dialogue that the check looks at."""


@dataclass(frozen=True)
class Check:
    """What was found: the layout to use, and why it is not the trie where it is not."""

    layout: Layout
    score_difference: float | None = None
    gradient_cosine: float | None = None
    refused: str | None = None

    def said(self) -> dict[str, Any]:
        """For the records of a run."""
        how = {"on": "rows" if self.refused else "token tries", "why": self.refused}
        measured = {"score_difference": self.score_difference, "gradient_cosine": self.gradient_cosine}
        return {name: value for name, value in (how | measured).items() if value is not None}


def checked_layout(
    records: Records,
    model: Any,
    rows: Layout,
    turns: Sequence[Sequences],
    dialogues: Sequence[str],
    device: torch.device,
) -> Layout:
    """The layout that ``check`` finds; the records of the run say which, and why."""
    found = check(model, rows, turns, dialogues, device)
    records.event("layout", 0, **found.said())
    return found.layout


def check(
    model: Any, rows: Layout, turns: Sequence[Sequences], dialogues: Sequence[str], device: torch.device
) -> Check:
    """The token trie where this model is right on it, else ``rows``. The model is left as it was.

    Looks at some turns of the longest dialogue: scores and the gradients of what is trained, with dropout off, against
    rows.
    """
    if not turns:
        return Check(rows, refused="there is nothing to lay out")
    try:
        shared = replace(rows, attention=Attention.of(model.config))
    except CannotShareError as error:
        return Check(rows, refused=str(error))
    own = _sample(dialogues)
    sample, names = [turns[i] for i in own], [dialogues[i] for i in own]
    training = model.training
    model.eval()
    go_on_recomputing(model)
    try:
        return _compare(model, shared, rows, sample, names, device)
    finally:
        model.zero_grad(set_to_none=True)
        model.train(training)


def go_on_recomputing(model: Any) -> None:
    """Layers that recompute their activations do so in training alone: they are told that this is one.

    What stands in them is not, so that nothing is dropped. Else the check would take more memory than the training.
    """
    for module in model.modules():
        if isinstance(module, GradientCheckpointingLayer) and module.gradient_checkpointing:
            module.training = True


def _sample(dialogues: Sequence[str]) -> list[int]:
    several = Counter(dialogues).most_common(1)[0][0]
    return [i for i, each in enumerate(dialogues) if each == several][:SAMPLE]


def _compare(
    model: Any, shared: Layout, rows: Layout, turns: Sequence[Sequences], names: Sequence[str], device: torch.device
) -> Check:
    expected, gradient = _outcome(model, rows, turns, names, device)
    found, other = _outcome(model, shared, turns, names, device)
    apart, _ = _outcome(model, replace(rows, tokens=1), turns, names, device)  # the same rows, padded otherwise
    scale = expected.abs().max().clamp(min=1e-6)
    difference = ((found - expected).abs().max() / scale).item()
    allowed = max(TOLERANCE, NOISE_TIMES * ((apart - expected).abs().max() / scale).item())
    cosine = cosine_similarity(gradient, other, dim=0).item() if len(gradient) else 1.0
    if difference <= allowed and cosine >= LEAST_COSINE:
        return Check(shared, difference, cosine)
    return Check(
        rows, difference, cosine, f"its scores differ by {difference:.1e} and its gradients have cosine {cosine:.4f}"
    )


def _outcome(
    model: Any, layout: Layout, turns: Sequence[Sequences], names: Sequence[str], device: torch.device
) -> tuple[Tensor, Tensor]:
    """The scores of all sequences in their order, and the gradient of a weighted sum of them, as vectors."""
    model.zero_grad(set_to_none=True)
    found: list[Tensor] = [torch.empty(0)] * len(turns)
    with torch.enable_grad():
        for pack in layout.packs(turns, names):
            scores = layout.scores(model, {name: tensor.to(device) for name, tensor in pack.inputs.items()})
            parts = torch.split(scores, [len(turns[number]) for number in pack.turns])
            weighted = [(part * torch.linspace(-1, 1.5, len(part), device=device)).sum() for part in parts]
            if scores.requires_grad:
                torch.autograd.backward(torch.stack(weighted).sum())
            for number, part in zip(pack.turns, parts, strict=True):
                found[number] = part.detach().float().cpu()
    trained = [p.grad.float().flatten().cpu() for p in model.parameters() if p.grad is not None]
    return torch.cat(found), torch.cat(trained) if trained else torch.empty(0)
