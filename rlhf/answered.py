"""Answered prompts, and how they go through a model: a row for each response, or a token trie for each prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlhf.attention import Attention
from rlhf.packing import trie_of

Ids = Sequence[int]


@dataclass(frozen=True)
class Answered:
    """G prompts with their n sampled responses each, as ids; a response that ended is closed by the end token.

    Whatever is said of responses is in the order of the prompts, and of the responses of each. ``engine_log_probs`` is
    what the engine says of the N tokens that it sampled, where it does.
    """

    prompts: tuple[Ids, ...]
    responses: tuple[tuple[Ids, ...], ...]
    end_id: int
    pad_id: int
    engine_log_probs: tuple[float, ...] | None = None

    def __len__(self) -> int:
        """How many prompts there are."""
        return len(self.prompts)

    @property
    def flat(self) -> list[tuple[Ids, Ids]]:
        """Each response with its prompt."""
        return [(self.prompts[i], response) for i, own in enumerate(self.responses) for response in own]

    @property
    def ended(self) -> Tensor:
        """(S,) whether each response was closed by the end token."""
        return torch.tensor([response[-1] == self.end_id for _, response in self.flat])

    @property
    def token_mask(self) -> Tensor:
        """(S, R) True where a response token stands; responses stand at the left of their rows."""
        lengths = torch.tensor([len(response) for _, response in self.flat])
        return torch.arange(int(lengths.max()))[None, :] < lengths[:, None]

    @property
    def tokens(self) -> Tensor:
        """(N,) the tokens of all responses, one response behind the other."""
        return torch.tensor([token for _, response in self.flat for token in response])

    def part(self, chosen: Sequence[int]) -> Answered:
        """Some of the prompts, in that order."""
        own = tuple(self.prompts[i] for i in chosen), tuple(self.responses[i] for i in chosen)
        return Answered(*own, self.end_id, self.pad_id)

    def by_length(self, chosen: Sequence[int]) -> list[int]:
        """Those prompts, the shortest first with their longest response: neighbours are padded least."""
        return sorted(chosen, key=lambda i: (len(self.prompts[i]) + max(map(len, self.responses[i])), i))


@dataclass(frozen=True)
class Laid:
    """Answered prompts as a model takes them.

    inputs are those of its body, for rows (B, T); before (N,) where the state before each response token is found and
    lasts (S,) where each response's last token stands, among the B * T; targets (N,) the response tokens.
    """

    inputs: dict[str, Any]
    before: Tensor
    targets: Tensor
    lasts: Tensor


def lay(answered: Answered, attention: Attention | None, device: torch.device) -> Laid:
    """On tries where a way of attending along them is given and responses share a prompt; else in rows."""
    if attention is None or max(map(len, answered.responses)) == 1:
        return in_rows(answered, device)
    return on_tries(answered, attention, device)


def in_rows(answered: Answered, device: torch.device) -> Laid:
    """A row for each response behind its prompt, filled on the right, where nothing that counts looks: no mask."""
    flat = answered.flat
    width = max(len(prompt) + len(response) for prompt, response in flat)
    rows = [[*p, *r] + [answered.pad_id] * (width - len(p) - len(r)) for p, r in flat]
    nodes = [np.arange(row * width, row * width + len(p) + len(r)) for row, (p, r) in enumerate(flat)]
    return _laid({"input_ids": torch.tensor(rows, device=device)}, answered, nodes, device)


def on_tries(answered: Answered, attention: Attention, device: torch.device) -> Laid:
    """A row for each prompt: its responses on a trie, which computes what they share once."""
    tries = [
        trie_of([[*prompt, *response] for response in own])
        for prompt, own in zip(answered.prompts, answered.responses, strict=True)
    ]
    width = max(map(len, tries))
    ids, depths = (torch.full((len(tries), width), fill) for fill in (answered.pad_id, 0))
    ends = torch.arange(1, width + 1).repeat(len(tries), 1)  # what fills a row attends to itself alone
    for row, trie in enumerate(tries):
        for filled, told in ((ids, trie.ids), (depths, trie.depths), (ends, trie.ends)):
            filled[row, : len(trie)] = torch.from_numpy(told)
    nodes = [own + row * width for row, trie in enumerate(tries) for own in trie.nodes]
    ids, depths, ends = ids.to(device), depths.to(device), ends.to(device)
    inputs = {"input_ids": ids, "position_ids": depths, "attention_mask": attention.mask(ends, depths)}
    return _laid(inputs, answered, nodes, device)


def _laid(inputs: dict[str, Any], answered: Answered, nodes: Sequence[Any], device: torch.device) -> Laid:
    """``nodes`` has, for each response, where the tokens of its prompt and its own stand."""
    before = [own[len(prompt) - 1 : -1] for own, (prompt, _) in zip(nodes, answered.flat, strict=True)]
    lasts = torch.tensor([own[-1] for own in nodes], device=device)
    return Laid(inputs, torch.from_numpy(np.concatenate(before)).to(device), answered.tokens.to(device), lasts)
