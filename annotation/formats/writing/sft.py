"""Examples to fine-tune on: what an expert wrote instead, and the responses that experts put first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotation.formats.writing.lines import write_lines
from annotation.formats.writing.source import Row, Source, answer, prompt
from annotation.formats.writing.trl import ranks
from annotation.snapshot import SPLITS


def write_rewrites(source: Source, folder: Path) -> None:
    """A file for each part of the data, a row a rewrite, as ``messages`` that end with it."""
    for split in SPLITS:
        write_lines(folder / f"{split}.jsonl", rewrites(source, split))


def write_best(source: Source, folder: Path) -> None:
    """The same with the single best response of every turn that has one and in which one was acceptable."""
    for split in SPLITS:
        write_lines(folder / f"{split}.jsonl", best(source, split))


def rewrites(source: Source, split: str | None = None) -> Iterator[dict[str, Any]]:
    """An example for each rewrite."""
    return (example(turn, turn["rewrite"]) for turn in source.turns(split) if turn["rewrite"] is not None)


def best(source: Source, split: str) -> Iterator[dict[str, Any]]:
    """An example for each turn: its rewrite, or the response that stands alone above all others."""
    for turn in source.turns(split):
        first = turn["rewrite"] if turn["rewrite"] is not None else _alone_at_the_top(turn)
        if first is not None:
            yield example(turn, first)


def example(turn: Row, text: str) -> dict[str, Any]:
    """A chat that ends with this text."""
    return {"messages": [*prompt(turn), answer(text)]}


def _alone_at_the_top(turn: Row) -> str | None:
    found = ranks(turn["order"])
    if found is None or found.count(0) != 1:
        return None
    return str(turn["responses"][found.index(0)]["text"])
