"""The JSON of Zhongjing's fine-tuning data, CMtMedQA: dialogues and, in the same list, safety questions.

A dialogue has history, instruction and output; each of its exchanges becomes a turn that waits for responses, with the
doctor's own reply beside it. A safety question has instruct and output.
Source: data files of SupritYoung/Zhongjing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annotation.formats.rows import NewDialogue, NewTurn, digest, history_of, text_of

NAME = "cmtmedqa"
NO_DEPARTMENT = {"nan", "其他", ""}


def recognises(row: Any) -> bool:
    """Whether this is a row of either of the two schemas."""
    return isinstance(row, dict) and "output" in row and ("instruction" in row or "instruct" in row)


def read(row: Mapping[str, Any], line: int, _k: int) -> NewDialogue:
    """A dialogue cut into turns."""
    return _safety_question(row, line) if "instruct" in row else _dialogue(row, line)


def _dialogue(row: Mapping[str, Any], line: int) -> NewDialogue:
    extra = text_of(row, "input", required=False)
    last = "\n".join(part for part in (text_of(row, "instruction"), extra) if part)
    exchanges = (*history_of(row.get("history")), (last, text_of(row, "output")))
    turns = tuple(NewTurn(i + 1, exchanges[:i], message, reply=reply) for i, (message, reply) in enumerate(exchanges))
    department = text_of(row, "cate1", required=False)
    identity = f"{text_of(row, 'id', required=False) or 'row'}-{digest(exchanges)[:8]}"
    return NewDialogue(line, identity, turns, "" if department in NO_DEPARTMENT else department)


def _safety_question(row: Mapping[str, Any], line: int) -> NewDialogue:
    message, reply = text_of(row, "instruct"), text_of(row, "output")
    turn = NewTurn(1, (), message, reply=reply, in_distribution=False, safety=True)
    return NewDialogue(line, f"safety-{digest([message, reply])[:16]}", (turn,))
