"""What every format is read into, and how a row that does not fit is reported."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

LONGEST_TEXT = 100_000
Exchange = tuple[str, str]
"""What the patient said and what the doctor replied."""


@dataclass(frozen=True)
class Problem:
    """A row that cannot be imported: where it stands, which field, what was expected there.

    ``expected`` is an English sentence with {places} for ``parts``, translated where it is shown.
    """

    line: int
    where: str
    expected: str
    parts: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"line {self.line}, {self.where}: {self.expected.format(**self.parts)}"


class RowError(ValueError):
    """Raised while a row is read; becomes a Problem once the line is known."""

    def __init__(self, where: str, expected: str, **parts: object) -> None:
        super().__init__(f"{where}: {expected.format(**parts)}")
        self.where, self.expected, self.parts = where, expected, parts

    def at(self, line: int) -> Problem:
        """The problem, on this line."""
        return Problem(line, self.where, self.expected, self.parts)


@dataclass(frozen=True)
class NewResponse:
    """A response to import."""

    text: str
    model: str = ""
    sampling: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NewTurn:
    """A turn to import; without responses it waits for them."""

    number: int
    history: tuple[Exchange, ...]
    message: str
    responses: tuple[NewResponse, ...] = ()
    reply: str | None = None
    in_distribution: bool | None = None
    safety: bool = False
    priority: int = 0

    def fingerprint(self, system: str | None) -> str:
        """Tells whether two turns ask the model the same."""
        return digest([system, [list(e) for e in self.history], self.message])


@dataclass(frozen=True)
class NewDialogue:
    """A dialogue to import; ``line`` is where it stood in its file."""

    line: int
    external_id: str
    turns: tuple[NewTurn, ...]
    department: str = ""
    system: str | None = None


@dataclass(frozen=True)
class Choice:
    """Of ``offered`` responses these were kept, numbered from 1 as they stand in the file."""

    dialogue: str
    kept: tuple[int, ...]
    offered: int


@dataclass
class Reading:
    """All that a file holds: what can be imported, what cannot, and what was chosen on the way.

    ``repeated`` are the lines of rows that say the same as an earlier one, which is imported once.
    """

    format: str
    dialogues: list[NewDialogue] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)


def digest(content: object) -> str:
    """The sha256 of any JSON value."""
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def text_of(row: Mapping[str, Any], key: str, *, where: str = "", required: bool = True) -> str:
    """The text under a key, stripped; raises RowError where it is missing, empty or not text."""
    place = f"{where}.{key}" if where else key
    value = row.get(key)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or (required and not value.strip()):
        raise RowError(place, "a text that is not empty was expected, but it is {found}", found=shown(value))
    if len(value) > LONGEST_TEXT:
        raise RowError(
            place, "at most {most} characters were expected, but it has {found}", most=LONGEST_TEXT, found=len(value)
        )
    return value.strip()


def history_of(value: Any, where: str = "history") -> tuple[Exchange, ...]:
    """A list of [patient, doctor] pairs; raises RowError for anything else."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise RowError(where, "a list of [patient, doctor] pairs was expected, but it is {found}", found=shown(value))
    for i, exchange in enumerate(value):
        pair = isinstance(exchange, list) and len(exchange) == 2 and all(isinstance(t, str) for t in exchange)
        if not pair:
            raise RowError(
                f"{where}[{i}]",
                "a [patient, doctor] pair of texts was expected, but it is {found}",
                found=shown(exchange),
            )
    return tuple((patient.strip(), doctor.strip()) for patient, doctor in value)


def object_of(value: Any, where: str) -> Mapping[str, Any]:
    """A JSON object; raises RowError for anything else."""
    if not isinstance(value, dict):
        raise RowError(where, "an object was expected, but it is {found}", found=shown(value))
    return value


def list_of(value: Any, where: str) -> Sequence[Any]:
    """A JSON list; raises RowError for anything else."""
    if not isinstance(value, list):
        raise RowError(where, "a list was expected, but it is {found}", found=shown(value))
    return value


def responses_of(value: Any, where: str = "responses") -> tuple[NewResponse, ...]:
    """Responses as texts or as objects with text, model and sampling; raises RowError for anything else."""
    found = []
    for i, item in enumerate(list_of(value, where)):
        place = f"{where}[{i}]"
        row = {"text": item} if isinstance(item, str) else object_of(item, place)
        sampling = row.get("sampling") or {}
        found.append(
            NewResponse(
                text_of(row, "text", where=place),
                text_of(row, "model", where=place, required=False),
                dict(object_of(sampling, f"{place}.sampling")),
            )
        )
    same = _repeated([response.text for response in found])
    if same is not None:
        raise RowError(
            where,
            "responses that differ were expected, but {first} and {second} are the same",
            first=same[0] + 1,
            second=same[1] + 1,
        )
    return tuple(found)


def shown(value: Any) -> str:
    """A value as it is quoted in a report: short, and never a whole text of somebody."""
    if value is None:
        return "missing"
    if isinstance(value, str):
        return "empty" if not value.strip() else f"a text of {len(value)} characters"
    if isinstance(value, (list, dict)):
        return f"a {'list' if isinstance(value, list) else 'object'} with {len(value)} entries"
    return repr(value)[:40]


def _repeated(texts: Iterable[str]) -> tuple[int, int] | None:
    seen: dict[str, int] = {}
    for i, text in enumerate(texts):
        if text in seen:
            return seen[text], i
        seen[text] = i
    return None
