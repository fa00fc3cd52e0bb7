"""The project's own JSON lines: one dialogue a line, as docs/formats.md describes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annotation.formats.rows import (
    LONGEST_DEPARTMENT,
    LONGEST_ID,
    Exchange,
    Faults,
    NewDialogue,
    NewResponse,
    NewTurn,
    RowError,
    history_of,
    list_of,
    object_of,
    responses_of,
    shown,
    text_of,
)

NAME = "zhongjing"
HIGHEST_PRIORITY = 2**31 - 1
"""The largest number that a column of whole numbers holds in PostgreSQL."""
NOTHING = NewTurn(0, (), "")


def recognises(row: Any) -> bool:
    """Whether this is a row of this format."""
    return isinstance(row, dict) and "turns" in row


def read(row: Mapping[str, Any], line: int, k: int) -> NewDialogue:
    """A dialogue; raises MisfitError for all fields that do not fit."""
    faults = Faults()
    history = faults.attempt((), history_of, row.get("history"))
    dialogue = NewDialogue(
        line=line,
        external_id=faults.attempt("", text_of, row, "id", most=LONGEST_ID),
        turns=faults.attempt((), _turns, row, history, k),
        department=faults.attempt("", text_of, row, "department", required=False, most=LONGEST_DEPARTMENT),
        system=faults.attempt("", text_of, row, "system", required=False) or None,
    )
    faults.stop()
    return dialogue


def _turns(row: Mapping[str, Any], before: tuple[Exchange, ...], k: int) -> tuple[NewTurn, ...]:
    entries = list_of(row["turns"], "turns")
    if not entries:
        raise RowError("turns", "at least one turn was expected, but the list is empty")
    faults = Faults()
    history = list(before)
    turns: list[NewTurn] = []
    for i, entry in enumerate(entries):
        turn = faults.attempt(NOTHING, _turn, entry, f"turns[{i}]", tuple(history), k, last=i == len(entries) - 1)
        turns.append(turn)
        history.append((turn.message, turn.reply or ""))
    faults.stop()
    return tuple(turns)


def _turn(value: Any, where: str, history: tuple[Exchange, ...], k: int, *, last: bool) -> NewTurn:
    row = object_of(value, where)
    faults = Faults()
    turn = NewTurn(
        number=len(history) + 1,
        history=history,
        message=faults.attempt("", text_of, row, "message", where=where),
        responses=faults.attempt((), _responses, row, where, k),
        reply=faults.attempt("", text_of, row, "reply", where=where, required=not last) or None,
        in_distribution=faults.attempt(None, _flag, row, "in_distribution", where, default=None),
        safety=bool(faults.attempt(False, _flag, row, "safety", where, default=False)),
        priority=faults.attempt(0, _priority, row, where),
    )
    faults.stop()
    return turn


def _responses(row: Mapping[str, Any], where: str, k: int) -> tuple[NewResponse, ...]:
    if not row.get("responses"):
        return ()
    responses = responses_of(row["responses"], f"{where}.responses")
    if len(responses) != k:
        raise RowError(
            f"{where}.responses",
            "{k} responses were expected, as the campaign has it, but there are {found}",
            k=k,
            found=len(responses),
        )
    return responses


def _flag(row: Mapping[str, Any], key: str, where: str, default: bool | None) -> bool | None:
    value = row.get(key, default)
    if value is not default and not isinstance(value, bool):
        raise RowError(f"{where}.{key}", "true or false was expected, but it is {found}", found=shown(value))
    return value


def _priority(row: Mapping[str, Any], where: str) -> int:
    value = row.get("priority", 0)
    if isinstance(value, bool) or not isinstance(value, int):
        raise RowError(f"{where}.priority", "a whole number was expected, but it is {found}", found=shown(value))
    if abs(value) > HIGHEST_PRIORITY:
        raise RowError(
            f"{where}.priority",
            "a number from {least} to {most} was expected, but it is {found}",
            least=-HIGHEST_PRIORITY,
            most=HIGHEST_PRIORITY,
            found=shown(value),
        )
    return value
