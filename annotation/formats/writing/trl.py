"""Preferences as TRL's trainers take them: in pairs, with a margin where wanted, and all K of a turn at once.

Source: TRL's pages on dataset formats (conversational preference data with an explicit prompt) and on RewardTrainer,
which reads a column ``margin`` where there is one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from annotation.formats.writing.lines import write_lines
from annotation.formats.writing.source import Preference, Row, Source, answer, prompt, texts
from annotation.snapshot import SPLITS

MARGIN_OF_CLEAR = 1.0


def write_pairs(source: Source, folder: Path) -> None:
    """A file for each part of the data, a row a pair: prompt, chosen, rejected."""
    for split in SPLITS:
        write_lines(folder / f"{split}.jsonl", map(pair_row, source.preferences(split)))


def write_pairs_with_margin(source: Source, folder: Path) -> None:
    """The same with a margin: 1 where the experts say that the better one is clearly so, else 0."""
    for split in SPLITS:
        write_lines(
            folder / f"{split}.jsonl",
            ({**pair_row(each), "margin": margin(each)} for each in source.preferences(split)),
        )


def write_turns(source: Source, folder: Path) -> None:
    """A file for each part of the data, a row a turn with all its responses."""
    for split in SPLITS:
        write_lines(folder / f"{split}.jsonl", map(turn_row, source.turns(split)))


def pair_row(preference: Preference) -> dict[str, Any]:
    """A row of TRL's conversational preference data."""
    return {
        "prompt": prompt(preference.turn),
        "chosen": [answer(preference.chosen)],
        "rejected": [answer(preference.rejected)],
    }


def margin(preference: Preference) -> float:
    """By how much the two should differ at least."""
    return MARGIN_OF_CLEAR if preference.pair.get("strength") == "clear" else 0.0


def turn_row(turn: Row) -> dict[str, Any]:
    """A row with every response of a turn; ``better`` and ``worse`` hold the pairs by the number of the response.

    ``ranks`` is the rank vector of the K, 0 the best, None where the turn has no whole order.
    """
    pairs = [pair for pair in turn["pairs"] if "better" in pair]
    return {
        "prompt": prompt(turn),
        "responses": [[answer(text)] for text in texts(turn)],
        "ranks": ranks(turn["order"]),
        "better": [pair["better"] for pair in pairs],
        "worse": [pair["worse"] for pair in pairs],
        "rewritten": turn["rewrite"] is not None,
    }


def ranks(order: str | None) -> list[int] | None:
    """The rank vector of an order such as ``D > A = B > C``."""
    if order is None:
        return None
    place = {letter: n for n, group in enumerate(order.split(" > ")) for letter in group.split(" = ")}
    return [place[letter] for letter in sorted(place)]
