"""From the bytes of a file to its rows, each with the line on which it begins."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from annotation.formats.rows import RowError

DECODER = json.JSONDecoder()
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
    """The entries of a JSON list, of a JSON object of rows, or of JSON lines; a single object may be a row as well.

    Raises UnreadableError where the JSON breaks, where more follows what is a whole file, and where there is no row.
    """
    start = _skip(text, 0)
    if start == len(text):
        raise UnreadableError(1, "file", "at least one row was expected, but the file is empty")
    if text[start] == "[":
        return _entries(text, start, "]")
    if text[start] == "{":
        return _objects(text, start)
    return _json_lines(text)


def _objects(text: str, start: int) -> Iterator[Row]:
    """What begins with an object: JSON lines, an object of rows, or one row that is printed over several lines."""
    try:
        value, end = _value(text, start)
    except json.JSONDecodeError:
        first_lines = text[start:].split("\n", 2)[:2]
        return _json_lines(text) if any(map(_is_a_line, first_lines)) else _entries(text, start, "}")
    several_lines = "\n" in text[start:end]
    if _holds_rows(value) and (several_lines or _ends(text, end)):
        return _entries(text, start, "}")
    return _single(text, start, value, end) if several_lines else _json_lines(text)


def _holds_rows(value: dict[str, Any]) -> bool:
    """Whether this object is a file of rows and no row itself: all objects, or all numbered."""
    return all(isinstance(entry, dict) for entry in value.values()) or all(key.isdigit() for key in value)


def _single(text: str, start: int, value: Any, end: int) -> Iterator[Row]:
    yield Row(_line(text, start), None, value)
    _refuse_more(text, end)


def _ends(text: str, position: int) -> bool:
    return _skip(text, position) == len(text)


def _is_a_line(line: str) -> bool:
    """Whether this looks like a whole row; one that is nested too deeply does."""
    try:
        json.loads(line)
    except json.JSONDecodeError:
        return False
    except (RecursionError, ValueError):
        pass
    return True


def _json_lines(text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                value, end = _value(line, _skip(line, 0))
                if not _ends(line, end):
                    raise json.JSONDecodeError("Extra data", line, end)
                yield Row(number, None, value)
            except json.JSONDecodeError as error:
                yield Row(
                    number, None, RowError("row", "one JSON object a line was expected, but: {why}", why=error.msg)
                )


def _entries(text: str, start: int, closing: str) -> Iterator[Row]:
    """Walks a list or an object entry by entry, so that each is known by its line."""
    position = _skip(text, start + 1)
    if text.startswith(closing, position):
        raise UnreadableError(_line(text, start), "file", "at least one row was expected, but there is none")
    line, counted = 1, 0
    try:
        while not text.startswith(closing, position):
            line, counted = line + text.count("\n", counted, position), position
            key = None
            if closing == "}":
                key, position = _value(text, position)
                position = _skip(text, _past(text, position, ":"))
            value, position = _value(text, position)
            yield Row(line, key, value)
            position = _skip(text, position)
            if not text.startswith(closing, position):
                position = _skip(text, _past(text, position, ","))
    except json.JSONDecodeError as error:
        raise UnreadableError(error.lineno, "row", "JSON was expected, but: {why}", why=error.msg) from error
    _refuse_more(text, position + 1)


def _refuse_more(text: str, position: int) -> None:
    """Two lists in one file are two files: half of it must not go by without a word."""
    position = _skip(text, position)
    if position < len(text):
        raise UnreadableError(
            _line(text, position),
            "file",
            "nothing more was expected after the closing bracket: put all rows into one list",
        )


def _value(text: str, position: int) -> tuple[Any, int]:
    """The JSON value that begins here and where it ends; raises JSONDecodeError, whatever is wrong with it."""
    try:
        return DECODER.raw_decode(text, position)
    except json.JSONDecodeError:
        raise
    except RecursionError as error:
        raise json.JSONDecodeError("Nested too deeply", text, position) from error
    except ValueError as error:  # Python refuses to read numbers of thousands of digits
        raise json.JSONDecodeError("Number with too many digits", text, position) from error


def _skip(text: str, position: int) -> int:
    """Where the white space ends that begins here."""
    found = SPACE.match(text, position)
    return found.end() if found else position


def _line(text: str, position: int) -> int:
    return 1 + text.count("\n", 0, position)


def _past(text: str, position: int, sign: str) -> int:
    position = _skip(text, position)
    if text[position : position + 1] != sign:
        raise json.JSONDecodeError(f"Expecting '{sign}' delimiter", text, position)
    return position + 1
