"""What a run says while it works: one JSON object a line in ``records.jsonl``, read by whoever watches it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FILE = "records.jsonl"


def N_(sentence: str) -> str:  # noqa: N802  (the name that catalogue tools look for)
    """Marks a sentence that whoever reads the run may want in another language; it is said in English here."""
    return sentence


class Records:
    """Appends metrics, events and progress to a run's folder; only the main process of a run writes."""

    def __init__(self, folder: Path, *, main: bool = True) -> None:
        """Writes to ``folder``; does nothing where this is not the main process."""
        self._path = folder / FILE
        self._main = main
        if main:
            folder.mkdir(parents=True, exist_ok=True)

    def metrics(self, step: int, values: Mapping[str, Any]) -> None:
        """Numbers at a step; a number that is not finite is written as null, never hidden."""
        self._write({"step": step, "values": {key: _plain(value) for key, value in values.items()}})

    def event(self, name: str, step: int, **values: Any) -> None:
        """Something that whoever reads the run should know, such as a gradient spike."""
        self._write({"event": name, "step": step, "values": {key: _plain(value) for key, value in values.items()}})

    def progress(self, step: int, steps: int, phase: str) -> None:
        """How far the run is, and with what."""
        self._write({"progress": {"step": step, "steps": steps, "phase": phase}})

    def _write(self, row: dict[str, Any]) -> None:
        if self._main:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"at": round(time.time(), 3), **row}, ensure_ascii=False) + "\n")


def read_rows(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file of JSON lines. Only a newline ends a line: a text may hold other separators (U+2028)."""
    with file.open(encoding="utf-8", newline="\n") as lines:
        yield from (json.loads(line) for line in lines if line.strip())


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
