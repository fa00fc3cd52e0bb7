"""The JSON of the RLHF-Label-Tool: an object of numbered rows with query, history and response_0 to response_3.

Source: the sample input of SupritYoung/RLHF-Label-Tool.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annotation.formats.rows import (
    Faults,
    NewDialogue,
    NewResponse,
    NewTurn,
    RowError,
    digest,
    history_of,
    responses_of,
    text_of,
)

NAME = "rlhf-label-tool"


def recognises(row: Any) -> bool:
    """Whether this is a row of this format."""
    return isinstance(row, dict) and "query" in row and any(str(key).startswith("response_") for key in row)


def read(row: Mapping[str, Any], line: int, k: int) -> NewDialogue:
    """A dialogue whose last turn is ranked; rows have no identity there, so their content gives them one."""
    faults = Faults()
    responses = faults.attempt((), _responses, row, k)
    history = faults.attempt((), history_of, row.get("history"))
    message = faults.attempt("", text_of, row, "query")
    faults.stop()
    turn = NewTurn(len(history) + 1, history, message, responses)
    return NewDialogue(line, f"label-tool-{digest([history, message])[:16]}", (turn,))


def _responses(row: Mapping[str, Any], k: int) -> tuple[NewResponse, ...]:
    faults = Faults()
    texts = [faults.attempt("", text_of, row, f"response_{i}") for i in range(k)]
    faults.stop()
    if f"response_{k}" in row:
        raise RowError(f"response_{k}", "{k} responses were expected, as the campaign has it, but there are more", k=k)
    return responses_of(texts)
