"""The JSON of the RLHF-Label-Tool: an object of numbered rows with query, history and response_0 to response_3.

Source: the sample input of SupritYoung/RLHF-Label-Tool.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annotation.formats.rows import NewDialogue, NewTurn, RowError, digest, history_of, responses_of, text_of

NAME = "rlhf-label-tool"


def recognises(row: Any) -> bool:
    """Whether this is a row of this format."""
    return isinstance(row, dict) and "query" in row and any(str(key).startswith("response_") for key in row)


def read(row: Mapping[str, Any], line: int, k: int) -> NewDialogue:
    """A dialogue whose last turn is ranked; rows have no identity there, so their content gives them one."""
    texts = [text_of(row, f"response_{i}") for i in range(k)]
    if f"response_{k}" in row:
        raise RowError(f"response_{k}", "{k} responses were expected, as the campaign has it, but there are more", k=k)
    history = history_of(row.get("history"))
    message = text_of(row, "query")
    turn = NewTurn(len(history) + 1, history, message, responses_of(texts))
    return NewDialogue(line, f"label-tool-{digest([history, message])[:16]}", (turn,))
