"""How many tokens an epoch over a snapshot has, on pairs, in rows and on token tries; without torch.

Counted with a tokenizer where one is at hand, else estimated from characters.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from rlhf.config import EvaluateConfig, RewardConfig, Settings
from rlhf.data import Split, Turn, turns_of
from rlhf.packing import Sequences, split, trie_of
from rlhf.sequences import PLAIN, Encoder, fit

BEYOND_UNICODE = 0x110000
TOKENS_A_CHARACTER = 1.0
"""Of Chinese text: vocabularies made for Chinese take fewer, Llama's first one more. The ratios do not depend on it."""


@dataclass(frozen=True)
class Tokens:
    """Tokens of an epoch over ``turns`` turns, with which every pair, every response or every trie is gone through."""

    turns: int
    pairs: int
    rows: int
    tries: int
    counted: bool

    @property
    def fewer_than_pairs(self) -> float:
        """How many times fewer tokens than training on pairs of independent responses."""
        return self.pairs / max(self.tries, 1)

    @property
    def fewer_than_rows(self) -> float:
        """How many times fewer tokens than one forward a response."""
        return self.rows / max(self.tries, 1)


def expected_tokens(snapshot: Path, encoder: Encoder, settings: Settings, most: int | None = None) -> Tokens | None:
    """The tokens of the turns with a strict pair that a stage goes over once, or of the first ``most`` of them.

    None for a stage that works on no tries. Sequences are cut and dialogues split as in training, so with the model's
    own encoder the tries are those of an epoch whose steps hold whole dialogues.
    """
    if not isinstance(settings, RewardConfig | EvaluateConfig):
        return None
    part: Split = "train" if isinstance(settings, RewardConfig) else "report"
    wanted = (turn for turn in turns_of(snapshot) if turn.split == part and turn.pairs)
    turns = list(islice(wanted, most))
    sequences = [fit(encoder, turn.prompt, turn.responses, settings.max_length).sequences for turn in turns]
    return Tokens(
        turns=len(turns),
        pairs=sum(_in_pairs(turn, own) for turn, own in zip(turns, sequences, strict=True)),
        rows=sum(len(ids) for own in sequences for ids in own),
        tries=sum(_on_tries(own, settings.pack_tokens) for own in _by_dialogue(turns, sequences)),
        counted=not isinstance(encoder.tokenizer, Characters),
    )


def _in_pairs(turn: Turn, sequences: Sequences) -> int:
    return sum(len(sequences[pair.better]) + len(sequences[pair.worse]) for pair in turn.pairs)


def _by_dialogue(turns: Sequence[Turn], sequences: Sequence[Sequences]) -> Sequence[Sequence[Sequences]]:
    found: dict[str, list[Sequences]] = defaultdict(list)
    for turn, own in zip(turns, sequences, strict=True):
        found[turn.dialogue].append(own)
    return list(found.values())


def _on_tries(turns: Sequence[Sequences], pack_tokens: int) -> int:
    parts = split(turns, pack_tokens)
    return sum(len(trie_of([ids for number in part for ids in turns[number]])) for part in parts)


@dataclass(frozen=True)
class Characters:
    """Stands where no tokenizer is at hand: a token a character."""

    def __call__(self, text: str, **_how: Any) -> dict[str, list[int]]:
        """The ids of a text."""
        return {"input_ids": list(map(ord, text))}


@dataclass(frozen=True)
class FromFile:
    """A model's own tokenizer, as the tokenizers library reads it: all of it but the chat template."""

    encode: Callable[..., Any]

    def __call__(self, text: str, **_how: Any) -> dict[str, list[int]]:
        """The ids of a text."""
        return {"input_ids": self.encode(text, add_special_tokens=False).ids}


@lru_cache(maxsize=4)
def plain_encoder(model: Path | None) -> Encoder:
    """An encoder without chat template: of the model's tokenizer.json where it can be read here, else of characters."""
    file = model / "tokenizer.json" if model else None
    if file is None or not file.exists():
        return Encoder(Characters(), PLAIN, BEYOND_UNICODE, 0)
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError:
        return Encoder(Characters(), PLAIN, BEYOND_UNICODE, 0)
    return Encoder(FromFile(Tokenizer.from_file(str(file)).encode), PLAIN, BEYOND_UNICODE, 0)
