"""Dialogues, rankings and forms to test with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from annotation.abilities import Ability
from annotation.formats.rows import NewDialogue, NewResponse, NewTurn, Reading
from annotation.ranking import LETTERS, Boundary, Ranking


def dialogue(identity: str = "d1", turns: int = 1, k: int = 4, department: str = "儿科", **more: Any) -> NewDialogue:
    """A dialogue whose turns each have k responses that say who they are."""
    history: tuple[tuple[str, str], ...] = ()
    made = []
    for number in range(1, turns + 1):
        message = f"{identity} 问题{number}"
        texts = tuple(NewResponse(f"{identity} 回答{number}{'甲乙丙丁戊'[i]}", f"model-{i}") for i in range(k))
        made.append(NewTurn(number, history, message, texts, reply=texts[0].text, **more))
        history = (*history, (message, texts[0].text))
    return NewDialogue(1, identity, tuple(made), department)


def parse_order(text: str) -> tuple[tuple[int, ...], ...]:
    """``D > B = A > C`` as groups, best first."""
    return tuple(tuple(LETTERS.index(letter.strip()) for letter in group.split("=")) for group in text.split(">"))


def ranked(order: str, *abilities: int | None, none_acceptable: bool = False, **marks: int) -> Ranking:
    """``ranked("D > B = A > C", 1, 9, C=9)``; boundaries without an ability get accuracy."""
    groups = parse_order(order) if order else ()
    named: Sequence[int | None] = abilities or [1] * max(len(groups) - 1, 0)
    return Ranking(
        groups,
        tuple(Boundary(Ability(a) if a else None) for a in named),
        {"ABCDE".index(letter): frozenset({Ability(a)}) for letter, a in marks.items()},
        none_acceptable,
    )


def turns_of(reading: Reading) -> Iterator[NewTurn]:
    """Every turn that was read from a file."""
    return (turn for dialogue in reading.dialogues for turn in dialogue.turns)


def own_row(identity: str = "d1", message: str = "孩子发烧怎么办？", k: int = 4) -> dict[str, Any]:
    """A row of the project's own format."""
    return {
        "id": identity,
        "department": "儿科",
        "turns": [{"message": message, "responses": [{"text": f"回答{i}", "model": "m"} for i in range(k)]}],
    }


def json_lines(*rows: Any) -> bytes:
    """A file of JSON lines."""
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()
