"""Rows of ``messages`` and ``responses``, the chat form that most tools share; of more than K, K are chosen."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    digest,
    list_of,
    object_of,
    responses_of,
    shown,
    text_of,
)

NAME = "messages"


def recognises(row: Any) -> bool:
    """Whether this is a row of this format."""
    return isinstance(row, dict) and "messages" in row


@dataclass(frozen=True)
class Chat:
    """Messages as the rules of this project name them."""

    system: str | None
    history: tuple[Exchange, ...]
    message: str


def read(row: Mapping[str, Any], line: int, k: int, seed: int) -> tuple[NewDialogue, list[int]]:
    """A dialogue whose last turn is ranked, and the numbers (from 0) of the responses that were kept."""
    faults = Faults()
    chat = faults.attempt(Chat(None, (), ""), chat_of, row["messages"])
    found = faults.attempt((), _responses, row, k)
    name = faults.attempt("", text_of, row, "id", required=False, most=LONGEST_ID)
    department = faults.attempt("", text_of, row, "department", required=False, most=LONGEST_DEPARTMENT)
    faults.stop()
    identity = name or f"messages-{digest(row['messages'])[:16]}"
    kept = choose(found, k, f"{seed}:{identity}")
    responses = tuple(found[i] for i in kept)
    turn = NewTurn(len(chat.history) + 1, chat.history, chat.message, responses)
    return NewDialogue(line, identity, (turn,), department, chat.system), kept


def _responses(row: Mapping[str, Any], k: int) -> tuple[NewResponse, ...]:
    found = responses_of(row.get("responses", []))
    if 0 < len(found) < k:
        raise RowError(
            "responses",
            "at least {k} responses were expected, as the campaign has it, but there are {found}",
            k=k,
            found=len(found),
        )
    return found


def choose(responses: Sequence[NewResponse], k: int, seed: str) -> list[int]:
    """Which responses to keep: all of them where there are no more than k, else k drawn with this seed, in order."""
    if len(responses) <= k:
        return list(range(len(responses)))
    return sorted(random.Random(seed).sample(range(len(responses)), k))  # noqa: S311  (a reproducible choice)


def chat_of(value: Any) -> Chat:
    """An optional system message, then patient and doctor in turn, the patient last; raises MisfitError otherwise."""
    faults = Faults()
    entries = [
        faults.attempt(("", ""), _message, entry, f"messages[{i}]")
        for i, entry in enumerate(list_of(value, "messages"))
    ]
    faults.stop()
    roles, texts = [role for role, _ in entries], [text for _, text in entries]
    system = texts.pop(0) if roles[:1] == ["system"] else None
    spoken = roles[1:] if system is not None else roles
    expected = ["user" if i % 2 == 0 else "assistant" for i in range(len(spoken))]
    if not spoken or spoken != expected or spoken[-1] != "user":
        raise RowError(
            "messages",
            "user and assistant in turn, the user first and last, were expected, but the roles are {found}",
            found=shown(roles) if len(roles) > 8 else ", ".join(roles),
        )
    history = tuple(zip(texts[0:-1:2], texts[1::2], strict=True))
    return Chat(system, history, texts[-1])


def _message(value: Any, where: str) -> tuple[str, str]:
    """The role and the content of a message."""
    entry = object_of(value, where)
    faults = Faults()
    role, content = (faults.attempt("", text_of, entry, key, where=where) for key in ("role", "content"))
    faults.stop()
    return role, content
