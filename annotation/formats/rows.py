"""What every format is read into, and how a row that does not fit is reported."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

LONGEST_TEXT = 100_000
# What the columns hold; SQLite would take more, PostgreSQL refuses it.
LONGEST_ID = 128
LONGEST_DEPARTMENT = 64
LONGEST_MODEL = 256
Given = ParamSpec("Given")
Found = TypeVar("Found")
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


class MisfitError(ValueError):
    """All that does not fit in one row."""

    def __init__(self, errors: Sequence[RowError]) -> None:
        super().__init__("; ".join(str(error) for error in errors))
        self.errors = tuple(errors)


class RowError(MisfitError):
    """One field that does not fit, raised while a row is read; becomes a Problem once the line is known."""

    def __init__(self, where: str, expected: str, **parts: object) -> None:
        ValueError.__init__(self, f"{where}: {expected.format(**parts)}")
        self.where, self.expected, self.parts = where, expected, parts
        self.errors = (self,)

    def at(self, line: int) -> Problem:
        """The problem, on this line."""
        return Problem(line, self.where, self.expected, self.parts)


class Faults:
    """Lets the reading of a row go on past a field that does not fit, so that all of them are reported at once."""

    def __init__(self) -> None:
        self._errors: list[RowError] = []

    def attempt(
        self, otherwise: Found, read: Callable[Given, Found], *args: Given.args, **kwargs: Given.kwargs
    ) -> Found:
        """What ``read`` finds; where it does not fit, ``otherwise``, and the fault is kept."""
        try:
            return read(*args, **kwargs)
        except MisfitError as error:
            self._errors += error.errors
            return otherwise

    def stop(self) -> None:
        """Raises MisfitError with all that was kept, if anything was."""
        if self._errors:
            raise MisfitError(self._errors)


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


def text_of(
    row: Mapping[str, Any], key: str, *, where: str = "", required: bool = True, most: int = LONGEST_TEXT
) -> str:
    """The text under a key, stripped; raises RowError where it is missing, empty, too long or not text."""
    place = f"{where}.{key}" if where else key
    value = row.get(key)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or (required and not value.strip()):
        raise RowError(place, "a text that is not empty was expected, but it is {found}", found=shown(value))
    if len(value) > most:
        raise RowError(
            place, "at most {most} characters were expected, but it has {found}", most=most, found=len(value)
        )
    return value.strip()


def history_of(value: Any, where: str = "history") -> tuple[Exchange, ...]:
    """A list of [patient, doctor] pairs; raises MisfitError for anything else."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise RowError(where, "a list of [patient, doctor] pairs was expected, but it is {found}", found=shown(value))
    faults = Faults()
    exchanges = tuple(
        faults.attempt(("", ""), _exchange, exchange, f"{where}[{i}]") for i, exchange in enumerate(value)
    )
    faults.stop()
    return exchanges


def _exchange(value: Any, where: str) -> Exchange:
    if not (isinstance(value, list) and len(value) == 2 and all(isinstance(text, str) for text in value)):
        raise RowError(where, "a [patient, doctor] pair of texts was expected, but it is {found}", found=shown(value))
    return value[0].strip(), value[1].strip()


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
    """Responses as texts or as objects with text, model and sampling; raises MisfitError for anything else."""
    faults = Faults()
    found = tuple(
        faults.attempt(NewResponse(""), _response, item, f"{where}[{i}]")
        for i, item in enumerate(list_of(value, where))
    )
    faults.stop()
    same = _repeated(response.text for response in found)
    if same is not None:
        raise RowError(
            where,
            "responses that differ were expected, but {first} and {second} are the same",
            first=same[0] + 1,
            second=same[1] + 1,
        )
    return found


def _response(item: Any, where: str) -> NewResponse:
    row = {"text": item} if isinstance(item, str) else object_of(item, where)
    faults = Faults()
    response = NewResponse(
        faults.attempt("", text_of, row, "text", where=where),
        faults.attempt("", text_of, row, "model", where=where, required=False, most=LONGEST_MODEL),
        faults.attempt({}, _sampling, row.get("sampling") or {}, f"{where}.sampling"),
    )
    faults.stop()
    return response


def _sampling(value: Any, where: str) -> dict[str, Any]:
    found = dict(object_of(value, where))
    try:
        json.dumps(found, allow_nan=False)
    except ValueError as error:  # Python reads and writes NaN as JSON, PostgreSQL knows no such thing
        raise RowError(where, "finite numbers were expected, but it holds NaN or Infinity") from error
    return found


def shown(value: Any) -> str:
    """A value as it is quoted in a report: short, and never a whole text of somebody."""
    if value is None:
        return "missing"
    if isinstance(value, str):
        return "empty" if not value.strip() else f"a text of {len(value)} characters"
    if isinstance(value, (list, dict)):
        return f"{'a list' if isinstance(value, list) else 'an object'} with {len(value)} entries"
    return repr(value)[:40]


def _repeated(texts: Iterable[str]) -> tuple[int, int] | None:
    seen: dict[str, int] = {}
    for i, text in enumerate(texts):
        if text in seen:
            return seen[text], i
        seen[text] = i
    return None
