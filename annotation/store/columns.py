"""A campaign's rankings as columns: a lean query, and a small memory of what has not changed since."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from sqlalchemy import Text, cast, extract, func, select
from sqlalchemy.orm import Session

from annotation.columns import Doubles, Ints, Judgements, Turns, doubles_of, pack
from annotation.tables import (
    Adjudication,
    Assignment,
    AssignmentState,
    Campaign,
    Guideline,
    Ranking,
    SettledBy,
    Turn,
    TurnState,
)

REVIEWING = (TurnState.CONTESTED, TurnState.IN_REVIEW)
BY_A_THIRD = (SettledBy.ADJUDICATED, SettledBy.REWRITTEN)
KEPT = 4
"""So many campaigns are remembered by a process."""

AT_ONCE = 100
"""So many bodies are decoded in one go: more live objects would set off the slow rounds of garbage collection."""


@dataclass(frozen=True)
class Columns:
    """Everything that the figures of a campaign are computed on, as of ``stamp``."""

    stamp: tuple[Any, ...]
    judgements: Judgements
    turns: Turns
    doubles: Doubles
    dialogues: int
    packed: dict[int, bytes]

    @property
    def states(self) -> dict[TurnState, int]:
        """How many turns of the campaign stand where."""
        return dict(self.stamp[-1])


_kept: dict[tuple[str, int], Columns] = {}
_lock = Lock()


def columns(session: Session, campaign: Campaign) -> Columns:
    """The campaign's columns: remembered ones where nothing that they are made of has changed since."""
    key = (str(session.get_bind().engine.url), campaign.id)
    stamp = stamp_of(session, campaign.id)
    found = _kept.get(key)
    if found is not None and found.stamp == stamp:
        return found
    read = _read(session, campaign, stamp, found)
    with _lock:
        _kept.pop(key, None)
        while len(_kept) >= KEPT:
            _kept.pop(next(iter(_kept)))
        _kept[key] = read
    return read


def stamp_of(session: Session, campaign_id: int) -> tuple[Any, ...]:
    """What changes whenever a ranking comes or a turn or an adjudication moves on; last, how many turns stand where."""
    newest = session.scalar(select(func.max(Ranking.id)))
    reviews = session.execute(select(func.count(), func.sum(Adjudication.version)).select_from(Adjudication)).one()
    states = select(Turn.state, func.count()).where(Turn.campaign_id == campaign_id).group_by(Turn.state)
    return (newest, *reviews, tuple(sorted((state, n) for state, n in session.execute(states))))


def _read(session: Session, campaign: Campaign, stamp: tuple[Any, ...], known: Columns | None) -> Columns:
    rows = _counting(session, campaign.id)
    packed = {} if known is None else known.packed
    packed = packed | _packed(session, campaign, [row.id for row in rows if row.id not in packed])
    ids, position = np.unique(np.array([row.turn_id for row in rows], dtype=np.int64), return_inverse=True)
    turns, dialogue = _turns(session, campaign.id, ids)
    _, numbered = np.unique(dialogue, return_inverse=True)
    judgements = Judgements(
        k=campaign.k,
        packed=np.frombuffer(b"".join([packed[row.id] for row in rows]), dtype=np.int8).reshape(-1, 3 * campaign.k),
        turn=position,
        dialogue=numbered[position],
        annotator=np.array([row.user_id for row in rows], dtype=np.int64),
        guideline=np.array([row.guideline for row in rows], dtype=np.int64),
        seconds=np.array([row.active_seconds for row in rows], dtype=float),
        at=np.array([int(row.at) for row in rows], dtype="datetime64[s]"),
    )
    dialogues = int(numbered.max()) + 1 if len(numbered) else 0
    return Columns(stamp, judgements, turns, doubles_of(turns, judgements), dialogues, packed)


def _counting(session: Session, campaign_id: int) -> list[Any]:
    """The newest version of each ranking that holds a place, by turn and place."""
    found = session.connection().execute(
        select(
            Ranking.id,
            Assignment.turn_id,
            Assignment.place,
            Assignment.user_id,
            Guideline.version.label("guideline"),
            Ranking.active_seconds,
            extract("epoch", Ranking.created_at).label("at"),
        )
        .join(Assignment, Ranking.assignment_id == Assignment.id)
        .join(Turn, Assignment.turn_id == Turn.id)
        .join(Guideline, Ranking.guideline_id == Guideline.id)
        .where(
            Turn.campaign_id == campaign_id,
            Assignment.place.is_not(None),
            Assignment.state == AssignmentState.SUBMITTED,
            Ranking.late.is_(False),
        )
        .order_by(Ranking.version)
    )
    newest = {(row.turn_id, row.place): row for row in found}
    return [newest[key] for key in sorted(newest)]


def _packed(session: Session, campaign: Campaign, unknown: Sequence[int]) -> dict[int, bytes]:
    """What these rankings say, packed: a ranking never changes, so each is read once by a process."""
    if not unknown:
        return {}
    wanted = set(unknown)
    rows = session.connection().execute(
        select(Ranking.id, cast(Ranking.body, Text), cast(Ranking.response_order, Text)).where(
            Ranking.id.between(min(unknown), max(unknown))
        )
    )
    found: dict[int, bytes] = {}
    for part in rows.partitions(AT_ONCE):
        kept = [row for row in part if row[0] in wanted]
        said = json.loads(f"[{','.join(f'[{body},{shown}]' for _, body, shown in kept)}]")
        for row, (body, shown) in zip(kept, said, strict=True):
            found[row[0]] = pack(body, shown, campaign.k)
    return found


def _turns(session: Session, campaign_id: int, ids: Ints) -> tuple[Turns, Ints]:
    """The turns with these ids, and the dialogue of each."""
    wanted = (
        Turn.id,
        Turn.dialogue_id,
        Turn.department,
        Turn.number,
        Turn.in_distribution,
        Turn.state,
        Turn.settled_by,
    )
    found = session.connection().execute(
        select(*wanted).where(Turn.campaign_id == campaign_id, Turn.places_taken > 0).order_by(Turn.id)
    )
    known = set(ids.tolist())
    rows = [row for row in found if row.id in known]
    turns = Turns(
        id=ids,
        department=np.array([row.department for row in rows], dtype=np.str_),
        depth=np.array([row.number for row in rows], dtype=np.int64),
        source=np.array([-1 if row.in_distribution is None else row.in_distribution for row in rows], dtype=np.int8),
        reviewed=np.array([row.state in REVIEWING or row.settled_by in BY_A_THIRD for row in rows], dtype=np.bool_),
    )
    return turns, np.array([row.dialogue_id for row in rows], dtype=np.int64)
