"""The project's own JSON lines: one dialogue a line, as docs/formats.md describes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annotation.formats.rows import (
    Exchange,
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


def recognises(row: Any) -> bool:
    """Whether this is a row of this format."""
    return isinstance(row, dict) and "turns" in row


def read(row: Mapping[str, Any], line: int, k: int) -> NewDialogue:
    """A dialogue; raises RowError for the first field that does not fit."""
    history = list(history_of(row.get("history")))
    turns: list[NewTurn] = []
    entries = list_of(row["turns"], "turns")
    if not entries:
        raise RowError("turns", "at least one turn was expected, but the list is empty")
    for i, entry in enumerate(entries):
        turn = _turn(object_of(entry, f"turns[{i}]"), f"turns[{i}]", tuple(history), k, last=i == len(entries) - 1)
        turns.append(turn)
        history.append((turn.message, turn.reply or ""))
    return NewDialogue(
        line=line,
        external_id=text_of(row, "id"),
        turns=tuple(turns),
        department=text_of(row, "department", required=False),
        system=text_of(row, "system", required=False) or None,
    )


def _turn(row: Mapping[str, Any], where: str, history: tuple[Exchange, ...], k: int, *, last: bool) -> NewTurn:
    responses: tuple[NewResponse, ...] = ()
    if row.get("responses"):
        responses = responses_of(row["responses"], f"{where}.responses")
        if len(responses) != k:
            raise RowError(
                f"{where}.responses",
                "{k} responses were expected, as the campaign has it, but there are {found}",
                k=k,
                found=len(responses),
            )
    return NewTurn(
        number=len(history) + 1,
        history=history,
        message=text_of(row, "message", where=where),
        responses=responses,
        reply=text_of(row, "reply", where=where, required=not last) or None,
        in_distribution=_flag(row, "in_distribution", where, default=None),
        safety=bool(_flag(row, "safety", where, default=False)),
        priority=_priority(row, where),
    )


def _flag(row: Mapping[str, Any], key: str, where: str, default: bool | None) -> bool | None:
    value = row.get(key, default)
    if value is not default and not isinstance(value, bool):
        raise RowError(f"{where}.{key}", "true or false was expected, but it is {found}", found=shown(value))
    return value


def _priority(row: Mapping[str, Any], where: str) -> int:
    value = row.get("priority", 0)
    if isinstance(value, bool) or not isinstance(value, int):
        raise RowError(f"{where}.priority", "a whole number was expected, but it is {found}", found=shown(value))
    return value
