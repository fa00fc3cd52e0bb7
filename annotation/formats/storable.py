"""What no database takes: looked for in a row before anything is made of it, whatever its format."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from annotation.formats.rows import RowError

DEEPEST = 32
UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""NUL, which PostgreSQL refuses, and half a surrogate pair, which has no UTF-8."""


def unstorable(value: Any, where: str = "", depth: int = 0) -> Iterator[RowError]:
    """Every field of a JSON value that could not be stored; ``depth`` is how many lists and objects stand around it."""
    if depth > DEEPEST:
        yield RowError(where, "at most {most} lists and objects inside each other were expected", most=DEEPEST)
    elif isinstance(value, str):
        yield from _unstorable_text(value, where or "row")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from unstorable(item, f"{where}[{i}]", depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _unstorable_text(key, where or "row")
            yield from unstorable(item, f"{where}.{_named(key)}" if where else _named(key), depth + 1)


def _unstorable_text(text: str, where: str) -> Iterator[RowError]:
    found = UNSTORABLE.search(text)
    if found:
        code = f"U+{ord(found.group()):04X}"
        yield RowError(where, "text that can be stored was expected, but it holds the character {code}", code=code)


def _named(key: str) -> str:
    """A key as it stands in a report: short, and fit to be printed."""
    return UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", key[:40])
