"""Rankings as columns, to compute figures on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from annotation.columns import Doubles, Judgements, Turns, doubles_of, pack
from annotation.ranking import Ranking


@dataclass(frozen=True)
class Double:
    """A turn with two rankings; each is a dialogue of its own unless ``dialogue`` says otherwise."""

    first: Ranking
    second: Ranking
    dialogue: int | None = None
    annotators: tuple[int, int] = (1, 2)
    guidelines: tuple[int, int] = (1, 1)
    department: str = ""
    depth: int = 1
    source: int = -1
    at: str = "2026-03-02T12:00:00"
    seconds: tuple[float, float] = (60.0, 60.0)
    shown: tuple[Sequence[int], Sequence[int]] | None = None
    reviewed: bool = False

    def but(self, **changes: Any) -> Double:
        """The same with something else."""
        return replace(self, **changes)


def doubles(turns: Sequence[Double], k: int = 4) -> Doubles:
    """The columns of these turns, in their order."""
    packed = [
        pack(ranking.to_json(), (turn.shown or (range(k), range(k)))[place], k)
        for turn in turns
        for place, ranking in enumerate((turn.first, turn.second))
    ]
    dialogues = [i if turn.dialogue is None else turn.dialogue for i, turn in enumerate(turns)]
    judgements = Judgements(
        k=k,
        packed=np.frombuffer(b"".join(packed), dtype=np.int8).reshape(-1, 3 * k),
        turn=np.repeat(np.arange(len(turns)), 2),
        dialogue=np.repeat(np.array(dialogues, dtype=np.int64), 2),
        annotator=np.array([each for turn in turns for each in turn.annotators], dtype=np.int64),
        guideline=np.array([each for turn in turns for each in turn.guidelines], dtype=np.int64),
        seconds=np.array([each for turn in turns for each in turn.seconds], dtype=float),
        at=np.repeat(np.array([turn.at for turn in turns], dtype="datetime64[s]"), 2),
    )
    rows = Turns(
        id=np.arange(len(turns)) + 100,
        department=np.array([turn.department for turn in turns], dtype=np.str_),
        depth=np.array([turn.depth for turn in turns], dtype=np.int64),
        source=np.array([turn.source for turn in turns], dtype=np.int8),
        reviewed=np.array([turn.reviewed for turn in turns], dtype=np.bool_),
    )
    return doubles_of(rows, judgements)
