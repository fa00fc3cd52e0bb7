"""Whether four networks are right on tries of several responses to a prompt: asked of their own weights before use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from rlhf.answered import Answered, Laid, in_rows, on_tries
from rlhf.attention import Attention, CannotShareError
from rlhf.quartet import Quartet
from rlhf.sharing import LEAST_COSINE, NOISE_TIMES, TOLERANCE, go_on_recomputing

SAMPLE = 2
"""Prompts that the check looks at, the longest."""


@dataclass(frozen=True)
class Check:
    """The attention to lay prompts out for, None for rows; and what was found, for the records of the run."""

    attention: Attention | None
    said: dict[str, Any]


def check(quartet: Quartet, answered: Answered, device: torch.device) -> Check:
    """Tries where policy, critic and reward model say the same on them as in rows, with the same gradients.

    Only the longest prompts are looked at. The quartet is left as it was.
    """
    try:
        attention, *others = [Attention.of(base.config) for base in quartet.bases]
    except CannotShareError as error:
        return Check(None, {"on": "rows", "why": str(error)})
    if any(other != attention for other in others):
        return Check(None, {"on": "rows", "why": "the two bases attend differently"})
    sample = answered.part(answered.by_length(range(len(answered)))[-SAMPLE:])
    training = quartet.training
    quartet.eval()
    for base in quartet.bases:
        go_on_recomputing(base)
    try:
        rows, tries = in_rows(sample, device), on_tries(sample, attention, device)
        expected, gradient = _outcome(quartet, rows)
        found, other = _outcome(quartet, tries)
        noise = _difference(_alone(quartet, sample, device), expected)
    finally:
        quartet.zero_grad(set_to_none=True)
        quartet.train(training)
    difference, allowed = _difference(found, expected), max(TOLERANCE, NOISE_TIMES * noise)
    cosine = cosine_similarity(gradient, other, dim=0).item()
    measured = {"difference": difference, "gradient_cosine": cosine}
    if difference <= allowed and cosine >= LEAST_COSINE:
        return Check(attention, {"on": "token tries", **measured})
    why = f"what it says differs by {difference:.1e} and its gradients have cosine {cosine:.4f}"
    return Check(None, {"on": "rows", "why": why, **measured})


def _outcome(quartet: Quartet, laid: Laid) -> tuple[Tensor, Tensor]:
    """What policy, critic and reward model say, and the gradient of a weighted sum of it, as vectors."""
    quartet.zero_grad(set_to_none=True)
    said = []
    with torch.enable_grad():
        for adapter in ("policy", "critic"):
            each = quartet(adapter, laid).float()
            (each * torch.linspace(-1, 1.5, len(each), device=each.device)).sum().backward()
            said.append(each.detach().cpu())
    said.append(quartet.scores(laid).cpu())
    trained = [p.grad.float().flatten().cpu() for p in quartet.parameters() if p.grad is not None]
    return torch.cat(said), torch.cat(trained)


def _alone(quartet: Quartet, answered: Answered, device: torch.device) -> Tensor:
    """The same of each prompt's rows without the others beside them: padded otherwise."""
    each = [_outcome(quartet, in_rows(answered.part([i]), device))[0] for i in range(len(answered))]
    tokens = [int(answered.part([i]).token_mask.sum()) for i in range(len(answered))]
    n = len(answered.responses[0])
    apart = [torch.split(said, [count, count, n]) for said, count in zip(each, tokens, strict=True)]
    return torch.cat([part[kind] for kind in range(3) for part in apart])


def _difference(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).abs().max() / expected.abs().max().clamp(min=1e-6)).item()
