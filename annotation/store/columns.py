"""A campaign's rankings as columns: a lean query, and a small memory of what has not changed since."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import ColumnElement, CursorResult, Double, Integer, Text, case, cast, extract, func, select
from sqlalchemy.orm import Session

from annotation.columns import (
    Doubles,
    Floats,
    Ints,
    Judgements,
    Small,
    Times,
    Turns,
    doubles_of,
    pack_boundaries,
    pack_groups,
)
from annotation.store import changes
from annotation.store.changes import Stamp
from annotation.store.remembered import Memory
from annotation.tables import Assignment, AssignmentState, Campaign, Guideline, Ranking, SettledBy, Turn, TurnState

REVIEWING = (TurnState.CONTESTED, TurnState.IN_REVIEW)
BY_A_THIRD = (SettledBy.ADJUDICATED, SettledBy.REWRITTEN)
KEPT = 4
"""So many campaigns are remembered by a process."""


@dataclass(frozen=True)
class Said:
    """What rankings say, packed: one row each, by id."""

    ranking: Ints
    packed: Small


@dataclass(frozen=True)
class Columns:
    """Everything that the figures of a campaign are computed on, as of ``stamp``."""

    stamp: Stamp
    judgements: Judgements
    turns: Turns
    doubles: Doubles
    dialogues: int
    said: Said


_kept: Memory[Columns] = Memory(KEPT)


def columns(session: Session, campaign: Campaign, stamp: Stamp | None = None) -> Columns:
    """The campaign's columns: remembered ones where nothing that they are made of has changed since.

    ``stamp`` is that of the campaign now, where it is known.
    """
    place, now = changes.place(session, campaign.id), stamp or changes.stamp(session, campaign.id)

    def read() -> Columns:
        known = _kept.last(place)
        return _read(session, campaign, now, None if known is None else known.value)

    return _kept.get(place, now.mark, read, wait=True).value


def _read(session: Session, campaign: Campaign, stamp: Stamp, known: Columns | None) -> Columns:
    rows = _counting(session, campaign.id)
    said = _said(session, campaign, rows.ranking, None if known is None else known.said)
    ids, position = np.unique(rows.turn, return_inverse=True)
    turns, dialogue = _turns(session, campaign.id, ids)
    _, numbered = np.unique(dialogue, return_inverse=True)
    judgements = Judgements(
        k=campaign.k,
        packed=said.packed[np.searchsorted(said.ranking, rows.ranking)],
        turn=position,
        dialogue=numbered[position],
        annotator=rows.annotator,
        guideline=rows.guideline,
        seconds=rows.seconds,
        at=rows.at,
    )
    dialogues = int(numbered.max()) + 1 if len(numbered) else 0
    return Columns(stamp, judgements, turns, doubles_of(turns, judgements), dialogues, said)


def waiting(session: Session, campaign: Campaign) -> Doubles:
    """The contested turns that nobody reviews, as they are now; of what groups turns only their ids are told."""
    rows = _counting(session, campaign.id, Turn.state == TurnState.CONTESTED)
    known = _kept.last(changes.place(session, campaign.id))
    said = _said(session, campaign, rows.ranking, None if known is None else known.value.said)
    ids, position = np.unique(rows.turn, return_inverse=True)
    packed = said.packed[np.searchsorted(said.ranking, rows.ranking)]
    judgements = Judgements(
        campaign.k, packed, position, position, rows.annotator, rows.guideline, rows.seconds, rows.at
    )
    nothing = np.zeros(len(ids), dtype=np.int64)
    turns = Turns(ids, nothing.astype(np.str_), nothing, nothing.astype(np.int8), nothing.astype(np.bool_))
    return doubles_of(turns, judgements)


@dataclass(frozen=True)
class _Counting:
    """The newest version of each ranking that holds a place, by turn and place: one row each."""

    ranking: Ints
    turn: Ints
    annotator: Ints
    guideline: Ints
    seconds: Floats
    at: Times


def _counting(session: Session, campaign_id: int, *conditions: ColumnElement[bool]) -> _Counting:
    found = session.connection().execute(
        select(
            Ranking.id,
            Assignment.turn_id,
            Assignment.place,
            Ranking.version,
            Assignment.user_id,
            Guideline.version,
            Ranking.active_seconds,
            epoch(Ranking.created_at),
        )
        .join(Assignment, Ranking.assignment_id == Assignment.id)
        .join(Turn, Assignment.turn_id == Turn.id)
        .join(Guideline, Ranking.guideline_id == Guideline.id)
        .where(
            Turn.campaign_id == campaign_id,
            Assignment.place.is_not(None),
            Assignment.state == AssignmentState.SUBMITTED,
            Ranking.late.is_(False),
            *conditions,
        )
    )
    ranking, turn, place, version, annotator, guideline, seconds, at = arrays(found, 8)
    order = np.lexsort((version, place, turn))
    last = np.ones(len(order), dtype=np.bool_)
    last[:-1] = (np.diff(turn[order]) != 0) | (np.diff(place[order]) != 0)
    newest = order[last]
    return _Counting(
        ranking=ranking[newest].astype(np.int64),
        turn=turn[newest].astype(np.int64),
        annotator=annotator[newest].astype(np.int64),
        guideline=guideline[newest].astype(np.int64),
        seconds=seconds[newest],
        at=at[newest].astype("datetime64[s]"),
    )


def _said(session: Session, campaign: Campaign, wanted: Ints, known: Said | None) -> Said:
    """What these rankings say, packed: a ranking never changes, so each is read once by a process."""
    k = campaign.k
    known = known or Said(np.empty(0, dtype=np.int64), np.empty((0, 3 * k), dtype=np.int8))
    unknown = np.setdiff1d(wanted, known.ranking)
    if len(unknown) == 0:
        return known
    rows = session.connection().execute(
        select(
            Ranking.id,
            cast(Ranking.body["groups"], Text),
            cast(Ranking.body["boundaries"], Text),
            cast(Ranking.body["none_acceptable"], Text),
            cast(Ranking.response_order, Text),
        )
        .where(Ranking.id.between(int(unknown[0]), int(unknown[-1])))
        .order_by(Ranking.id)
    )
    missing = set(unknown.tolist())
    packed = [
        _groups(groups, k) + _boundaries(boundaries, k) + _shown(shown) + _flag(none)
        for number, groups, boundaries, none, shown in rows.all()
        if number in missing
    ]
    ranking = np.concatenate([known.ranking, unknown])
    table = np.concatenate([known.packed, np.frombuffer(b"".join(packed), dtype=np.int8).reshape(-1, 3 * k)])
    order = np.argsort(ranking)
    return Said(ranking[order], table[order])


@lru_cache(maxsize=4096)
def _groups(text: str, k: int) -> bytes:
    """There are 541 orders of five, so hardly one is decoded twice."""
    return pack_groups(json.loads(text), k)


@lru_cache(maxsize=65536)
def _boundaries(text: str, k: int) -> bytes:
    return pack_boundaries(json.loads(text), k)


@lru_cache(maxsize=4096)
def _shown(text: str) -> bytes:
    return bytes(json.loads(text))


@lru_cache(maxsize=4)
def _flag(text: str) -> bytes:
    return bytes((bool(json.loads(text)),))


def _turns(session: Session, campaign_id: int, ids: Ints) -> tuple[Turns, Ints]:
    """The turns with these ids, and the dialogue of each."""
    wanted = (
        Turn.id,
        Turn.dialogue_id,
        Turn.number,
        func.coalesce(cast(Turn.in_distribution, Integer), -1),
        Turn.department,
        case((Turn.state.in_(REVIEWING) | Turn.settled_by.in_(BY_A_THIRD), 1), else_=0),
    )
    found = session.connection().execute(
        select(*wanted).where(Turn.campaign_id == campaign_id, Turn.places_taken > 0).order_by(Turn.id)
    )
    number, dialogue, depth, source, department, reviewed = arrays(found, len(wanted))
    known = np.isin(number, ids, assume_unique=True)
    turns = Turns(
        id=ids,
        department=department[known].astype(np.str_),
        depth=depth[known].astype(np.int64),
        source=source[known].astype(np.int8),
        reviewed=reviewed[known] == 1,
    )
    return turns, dialogue[known].astype(np.int64)


def arrays(found: CursorResult[*tuple[Any, ...]], columns: int) -> list[npt.NDArray[Any]]:
    """The columns of a result as arrays, which are empty where it has no rows."""
    return [np.array(column) for column in zip(*found.all(), strict=True)] or [np.empty(0)] * columns


def epoch(at: Any) -> ColumnElement[float]:
    """Seconds since 1970; databases differ in whether they tell fractions."""
    return cast(extract("epoch", at), Double)
