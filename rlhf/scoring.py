"""From turns to scores: sequences laid out in packs, each read at its last token."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, comb
from typing import Any

import torch
from torch import Tensor

from rlhf.attention import Attention
from rlhf.packing import Sequences, Trie, fill, forest, split, trie_of

BLOCK = 128
"""FlexAttention works in blocks of so many tokens."""

AT_ONCE = 256
"""Turns that are laid out together: those of one dialogue among them share their history."""


@dataclass(frozen=True)
class Pack:
    """What goes through the model together: ``inputs`` of its forward, and which turns they hold, in their order."""

    inputs: dict[str, Tensor]
    turns: list[int]


@dataclass(frozen=True)
class Layout:
    """How the sequences of turns are laid out, in packs of at most ``tokens`` tokens.

    With ``attention`` they stand on token tries, those of a dialogue on one; without it, each has a row of its own.
    """

    pad_id: int
    tokens: int
    attention: Attention | None

    def packs(self, turns: Sequence[Sequences], dialogues: Sequence[str]) -> list[Pack]:
        """Every turn in one pack, with all of its sequences; ``dialogues`` has the name of each turn's dialogue."""
        return self._on_tries(turns, dialogues) if self.attention else self._in_rows(turns)

    def scores(self, model: Any, inputs: dict[str, Tensor]) -> Tensor:
        """The scores (S,) of the sequences of a pack, in the order of its turns."""
        given = dict(inputs)
        if self.attention is not None:
            given["attention_mask"] = self.attention.mask(given.pop("ends"), given["position_ids"])
        return model(**given).logits.squeeze(-1)

    def _on_tries(self, turns: Sequence[Sequences], dialogues: Sequence[str]) -> list[Pack]:
        of_dialogue: dict[str, list[int]] = defaultdict(list)
        for number, dialogue in enumerate(dialogues):
            of_dialogue[dialogue].append(number)
        parts = [[own[i] for i in part] for own in of_dialogue.values()
                 for part in split([turns[number] for number in own], self.tokens)]  # fmt: skip
        tries = [trie_of([ids for number in part for ids in turns[number]]) for part in parts]
        return [
            Pack(self._tensors(forest([tries[i] for i in chosen])), [number for i in chosen for number in parts[i]])
            for chosen in fill(list(map(len, tries)), self.tokens)
        ]

    def _tensors(self, trie: Trie) -> dict[str, Tensor]:
        """One row (1, N); what fills its last block attends to nothing but itself."""
        flex = self.attention is not None and self.attention.implementation == "flex_attention"
        length = ceil(len(trie) / BLOCK) * BLOCK if flex else len(trie)
        ids, depths = torch.full((1, length), self.pad_id), torch.zeros(1, length, dtype=torch.long)
        ends = torch.arange(1, length + 1)[None]
        ids[0, : len(trie)], depths[0, : len(trie)] = torch.from_numpy(trie.ids), torch.from_numpy(trie.depths)
        ends[0, : len(trie)] = torch.from_numpy(trie.ends)
        return {
            "input_ids": ids, "position_ids": depths, "ends": ends, "score_positions": torch.from_numpy(trie.lasts)
        }  # fmt: skip

    def _in_rows(self, turns: Sequence[Sequences]) -> list[Pack]:
        """Turns of like length together."""
        longest = [max(map(len, sequences)) for sequences in turns]
        packs: list[list[int]] = []
        for number in sorted(range(len(turns)), key=lambda number: (longest[number], number)):
            rows = sum(len(turns[each]) for each in [*(packs[-1] if packs else []), number])
            if not packs or rows * longest[number] > self.tokens:
                packs.append([])
            packs[-1].append(number)
        return [Pack(pad_right([ids for i in pack for ids in turns[i]], self.pad_id), pack) for pack in packs]


def pad_right(sequences: Sequences, pad_id: int) -> dict[str, Tensor]:
    """input_ids, attention_mask (N, T), filled on the right, and score_positions (N,) among all N * T tokens."""
    longest = max(map(len, sequences))
    lengths = torch.tensor([len(ids) for ids in sequences])
    return {
        "input_ids": torch.tensor([[*ids, *[pad_id] * (longest - len(ids))] for ids in sequences]),
        "attention_mask": (torch.arange(longest)[None, :] < lengths[:, None]).long(),
        "score_positions": torch.arange(len(sequences)) * longest + lengths - 1,
    }


def collate(rows: Sequence[dict[str, Any]], layout: Layout, *, strict_only: bool) -> dict[str, Any]:
    """Turns with their pairs as packs, and the sum of the weights of those that have a pair, ``turns`` ().

    Each of ``packs`` has the model's ``inputs``; better, worse (P,) the sequences of each strict pair, and their
    ``margins`` (P,); weights (P,) the weight of its turn over the divisor of the turn, which is C(n, 2), or its strict
    pairs with ``strict_only``; ``members`` (S,) the number of each sequence's turn in the pack; ``turn_weights`` (T,),
    0 for a turn without a pair. A row that says nothing of weight or margins has weight 1 and no margins.
    """
    packs = layout.packs([row["sequences"] for row in rows], [row["dialogue"] for row in rows])
    return {
        "packs": [{"inputs": p.inputs, **_pairs([rows[i] for i in p.turns], strict_only=strict_only)} for p in packs],
        "turns": torch.tensor(sum(map(_weight, rows)), dtype=torch.float32),
    }


def _pairs(rows: Sequence[dict[str, Any]], *, strict_only: bool) -> dict[str, Tensor]:
    better: list[int] = []
    worse: list[int] = []
    weights: list[float] = []
    margins: list[float] = []
    members: list[int] = []
    for number, row in enumerate(rows):
        pairs, n, first = row["pairs"], len(row["sequences"]), len(members)
        better += [first + pair[0] for pair in pairs]
        worse += [first + pair[1] for pair in pairs]
        weights += [_weight(row) / (len(pairs) if strict_only else comb(n, 2)) for _ in pairs]
        margins += row.get("margins") or [0.0] * len(pairs)
        members += [number] * n
    return {
        "better": torch.tensor(better, dtype=torch.long),
        "worse": torch.tensor(worse, dtype=torch.long),
        "weights": torch.tensor(weights),
        "margins": torch.tensor(margins),
        "members": torch.tensor(members, dtype=torch.long),
        "turn_weights": torch.tensor(list(map(_weight, rows))),
    }


def _weight(row: dict[str, Any]) -> float:
    """How much a turn counts; not at all without a pair."""
    return float(row.get("weight", 1.0)) if row["pairs"] else 0.0


@torch.no_grad()
def score_turns(
    model: Any, layout: Layout, turns: Sequence[Sequences], dialogues: Sequence[str], device: torch.device
) -> list[list[float]]:
    """The score of each sequence of each turn."""
    found: list[list[float]] = [[] for _ in turns]
    for start, packs in _pieces(layout, turns, dialogues):
        for pack in packs:
            inputs = {name: tensor.to(device) for name, tensor in pack.inputs.items()}
            each = iter(layout.scores(model, inputs).tolist())
            for number in pack.turns:
                found[start + number] = [next(each) for _ in turns[start + number]]
    return found


def _pieces(layout: Layout, turns: Sequence[Sequences], dialogues: Sequence[str]) -> Iterator[tuple[int, list[Pack]]]:
    """Some turns at a time, as packs, and where they begin."""
    for start in range(0, len(turns), AT_ONCE):
        yield start, layout.packs(turns[start : start + AT_ONCE], dialogues[start : start + AT_ONCE])
