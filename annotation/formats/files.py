"""From the bytes of a file to its rows, each with the line on which it begins."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from annotation.formats.rows import RowError

SPACE = re.compile(r"[ \t\r\n]*")
ENCODINGS = ("utf-8-sig", "gb18030")


@dataclass(frozen=True)
class Row:
    """One entry of a file; ``key`` is its name in a JSON object, None in a list or in JSON lines."""

    line: int
    key: str | None
    value: Any


class UnreadableError(RowError):
    """The file cannot be read beyond this line."""

    def __init__(self, line: int, where: str, expected: str, **parts: object) -> None:
        super().__init__(where, expected, **parts)
        self.line = line


def decode(data: bytes) -> str:
    """The text of a file in UTF-8, with or without a byte order mark, or in GB18030."""
    for encoding in ENCODINGS:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise UnreadableError(1, "encoding", "UTF-8 or GB18030 was expected: save the file in one of them")


def rows_of(text: str) -> Iterator[Row]:
    """The entries of a JSON list, of a JSON object, or of JSON lines; raises UnreadableError where the JSON breaks."""
    start = SPACE.match(text, 0).end()  # type: ignore[union-attr]  # it matches the empty string too
    if start == len(text):
        raise UnreadableError(1, "file", "at least one row was expected, but the file is empty")
    if text[start] == "[":
        return _entries(text, start, "]")
    if text[start] == "{" and _is_one_object(text, start):
        return _entries(text, start, "}")
    return _json_lines(text)


def _is_one_object(text: str, start: int) -> bool:
    try:
        _, end = json.JSONDecoder().raw_decode(text, start)
    except json.JSONDecodeError:
        first_line = text[start:].split("\n", 1)[0]
        return not _parses(first_line)
    return SPACE.match(text, end).end() == len(text) and "\n" in text[start:end]  # type: ignore[union-attr]


def _parses(line: str) -> bool:
    try:
        json.loads(line)
    except json.JSONDecodeError:
        return False
    return True


def _json_lines(text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield Row(number, None, json.loads(line))
            except json.JSONDecodeError as error:
                yield Row(
                    number, None, RowError("row", "one JSON object a line was expected, but: {why}", why=error.msg)
                )


def _entries(text: str, start: int, closing: str) -> Iterator[Row]:
    """Walks a list or an object entry by entry, so that each is known by its line."""
    decoder = json.JSONDecoder()
    position, line, counted = start + 1, 1 + text.count("\n", 0, start), start
    while True:
        position = SPACE.match(text, position).end()  # type: ignore[union-attr]
        if text[position : position + 1] == closing:
            return
        line, counted = line + text.count("\n", counted, position), position
        try:
            key = None
            if closing == "}":
                key, position = decoder.raw_decode(text, position)
                position = SPACE.match(text, _past(text, position, ":")).end()  # type: ignore[union-attr]
            value, position = decoder.raw_decode(text, position)
            yield Row(line, key, value)
            position = SPACE.match(text, position).end()  # type: ignore[union-attr]
            if text[position : position + 1] != closing:
                position = _past(text, position, ",")
        except json.JSONDecodeError as error:
            raise UnreadableError(error.lineno, "row", "JSON was expected, but: {why}", why=error.msg) from error


def _past(text: str, position: int, sign: str) -> int:
    position = SPACE.match(text, position).end()  # type: ignore[union-attr]
    if text[position : position + 1] != sign:
        raise json.JSONDecodeError(f"Expecting '{sign}' delimiter", text, position)
    return position + 1
