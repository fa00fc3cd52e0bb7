"""The table that the RLHF-Label-Tool writes: a row a turn, with the texts of its responses as rank1, rank2, ….

The tool stores the inverse of the order that was chosen: where response i was given rank r, the column i + 1 holds
response r - 1. Whether the two are the same cannot be seen in the table, which does not number the responses; the
tool's input file does. Ten of the 24 orders of four are their own inverse and so stand there rightly.
Source: the code and sample files of SupritYoung/RLHF-Label-Tool.
"""

from __future__ import annotations

import ast
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annotation.formats import label_tool
from annotation.formats.files import UnreadableError, decode
from annotation.formats.rows import LONGEST_TEXT, MisfitError, NewDialogue, Problem, RowError
from annotation.formats.storable import unstorable

COLUMNS = ("id", "query", "history")
LARGEST_FIELD = LONGEST_TEXT


@dataclass(frozen=True)
class TableRow:
    """A turn whose responses stand as the table has them; ``line`` is the number of the row, the header being 1."""

    line: int
    dialogue: NewDialogue

    @property
    def texts(self) -> list[str]:
        """What the columns rank1, rank2, … hold."""
        return [response.text for response in self.dialogue.turns[0].responses]


@dataclass
class Table:
    """All rows that could be read, and what is wrong with the others."""

    rows: list[TableRow] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def inverse(order: Sequence[int]) -> list[int]:
    """The order of which this one is what the tool stores: where i stands at place p, p stands at place i."""
    return [order.index(place) for place in range(len(order))]


def read(data: bytes, k: int) -> Table:
    """Reads a table of rankings of k responses; every row that does not fit is a problem."""
    table = Table()
    try:
        rows = csv.DictReader(io.StringIO(decode(data).removeprefix("\ufeff"), newline=""), delimiter="\t", strict=True)
        wanted = [*COLUMNS, *(f"rank{place + 1}" for place in range(k))]
        if rows.fieldnames is None or list(rows.fieldnames) != wanted:
            raise UnreadableError(1, "header", "the columns {wanted} were expected", wanted=", ".join(wanted))
        for line, row in enumerate(rows, start=2):
            _read_row(table, row, line, k)
    except UnreadableError as error:
        table.problems.append(error.at(error.line))
    except csv.Error as error:
        line = len(table.rows) + len(table.problems) + 2
        table.problems.append(RowError("row", "a row of the table was expected, but: {why}", why=str(error)).at(line))
    return table


def _read_row(table: Table, row: Mapping[str, Any], line: int, k: int) -> None:
    try:
        if None in row or None in row.values():
            raise RowError("row", "{k} ranks were expected, but the row has more or fewer columns", k=k)
        fields = {f"response_{place}": row[f"rank{place + 1}"] for place in range(k)}
        found = {"query": row["query"], "history": _history(row["history"]), **fields}
        errors = list(unstorable(found))
        if errors:
            raise MisfitError(errors)
        table.rows.append(TableRow(line, label_tool.read(found, line, k)))
    except MisfitError as misfit:
        table.problems += [error.at(line) for error in misfit.errors]


def _history(text: str) -> list[Any]:
    """The history, which the tool writes as Python writes a list: read as literals only, and of a bounded length."""
    if len(text) > LARGEST_FIELD:
        raise RowError(
            "history",
            "at most {most} characters were expected, but it has {found}",
            most=LARGEST_FIELD,
            found=len(text),
        )
    try:
        value = ast.literal_eval(text.strip() or "[]")
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise RowError("history", "a list of [patient, doctor] pairs as Python writes it was expected") from error
    if not isinstance(value, list):
        raise RowError("history", "a list of [patient, doctor] pairs as Python writes it was expected")
    return [list(exchange) if isinstance(exchange, tuple) else exchange for exchange in value]
