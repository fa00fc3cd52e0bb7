"""The JSON of Zhongjing's fine-tuning data, CMtMedQA: dialogues and, in the same list, safety questions.

A dialogue has history, instruction and output; each of its exchanges becomes a turn that waits for responses, with the
doctor's own reply beside it. A safety question has instruct and output.
Source: data files of SupritYoung/Zhongjing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annotation.formats.rows import (
    LONGEST_DEPARTMENT,
    LONGEST_ID,
    Faults,
    NewDialogue,
    NewTurn,
    digest,
    history_of,
    text_of,
)

NAME = "cmtmedqa"
NO_DEPARTMENT = {"nan", "其他", ""}
MARK = 8
"""How many characters of its content's digest stand behind the id of a row."""


def recognises(row: Any) -> bool:
    """Whether this is a row of either of the two schemas."""
    return isinstance(row, dict) and "output" in row and ("instruction" in row or "instruct" in row)


def read(row: Mapping[str, Any], line: int, _k: int) -> NewDialogue:
    """A dialogue cut into turns."""
    return _safety_question(row, line) if "instruct" in row else _dialogue(row, line)


def _dialogue(row: Mapping[str, Any], line: int) -> NewDialogue:
    faults = Faults()
    extra = faults.attempt("", text_of, row, "input", required=False)
    instruction = faults.attempt("", text_of, row, "instruction")
    reply = faults.attempt("", text_of, row, "output")
    history = faults.attempt((), history_of, row.get("history"))
    department = faults.attempt("", text_of, row, "cate1", required=False, most=LONGEST_DEPARTMENT)
    name = faults.attempt("", text_of, row, "id", required=False, most=LONGEST_ID - MARK - 1)
    faults.stop()
    exchanges = (*history, ("\n".join(part for part in (instruction, extra) if part), reply))
    turns = tuple(NewTurn(i + 1, exchanges[:i], message, reply=reply) for i, (message, reply) in enumerate(exchanges))
    identity = f"{name or 'row'}-{digest(exchanges)[:MARK]}"
    return NewDialogue(line, identity, turns, "" if department in NO_DEPARTMENT else department)


def _safety_question(row: Mapping[str, Any], line: int) -> NewDialogue:
    faults = Faults()
    message, reply = faults.attempt("", text_of, row, "instruct"), faults.attempt("", text_of, row, "output")
    faults.stop()
    turn = NewTurn(1, (), message, reply=reply, in_distribution=False, safety=True)
    return NewDialogue(line, f"safety-{digest([message, reply])[:16]}", (turn,))
