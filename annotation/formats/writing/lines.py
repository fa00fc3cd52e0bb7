"""JSON, line by line or as one list, that people can read too."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def write_lines(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    """JSON lines."""
    with file.open("w", encoding="utf-8", newline="\n") as lines:
        lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_list(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    """One JSON list, a row a line, written as the rows come."""
    with file.open("w", encoding="utf-8", newline="\n") as lines:
        before = "[\n"
        for row in rows:
            lines.write(before + json.dumps(row, ensure_ascii=False))
            before = ",\n"
        lines.write("[]\n" if before == "[\n" else "\n]\n")


def write_object(file: Path, content: dict[str, Any]) -> None:
    """One JSON object."""
    file.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
