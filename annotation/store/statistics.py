"""What the statistics of a campaign are computed from, beside its columns; and the tables, remembered."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Select, Text, cast, extract, func, select
from sqlalchemy.orm import Session

from annotation import report
from annotation.bias import Verdicts
from annotation.columns import Doubles, Ints, Times
from annotation.ranking import Relation, pairs_of
from annotation.report import By, Measured, Table, Work
from annotation.review_policy import Policy, ReviewPolicy
from annotation.run_tables import Run, RunKind, RunState, Snapshot
from annotation.store import columns, policies
from annotation.store import measured as measured_people
from annotation.store.columns import AT_ONCE, REVIEWING
from annotation.tables import (
    Adjudication,
    Assignment,
    Campaign,
    Ranking,
    Response,
    ReviewKind,
    ReviewState,
    Turn,
    TurnState,
    User,
)

SIGN = {Relation.BETTER: 1, Relation.TIE: 0, Relation.WORSE: -1}
NEWEST_RUNS = 5
GLANCE = "glance"
SECTIONS = ("agreement", "bias", "pace", "adjudication", "measuring", "ceiling")


@dataclass(frozen=True)
class Section:
    """The tables of one part of the page."""

    name: str
    tables: Sequence[Table]


_remembered: dict[tuple[Any, ...], Section] = {}


def section(session: Session, campaign: Campaign, name: str, today: date) -> Section:
    """One part, computed anew only where something that it is made of has changed since.

    ``name`` is one of SECTIONS, or GLANCE.
    """
    found = columns.columns(session, campaign)
    compute: dict[str, Callable[[], Sequence[Table]]] = {
        "agreement": lambda: report.of_agreement(found.doubles, found.dialogues),
        "bias": lambda: report.of_bias(found.judgements, found.dialogues, lengths(session, campaign, found.turns.id)),
        "pace": lambda: report.of_pace(found.judgements, work(session, campaign, found.doubles), today),
        "adjudication": lambda: report.of_adjudication(
            verdicts(session, campaign, found.doubles), found.doubles, found.dialogues
        ),
        "measuring": lambda: report.of_measuring(
            measured_people.repeats(session, campaign),
            measured_people.gold(session, campaign),
            measured_people.audits(session, campaign.id),
        ),
        GLANCE: lambda: [
            *report.at_a_glance(
                found.doubles, found.dialogues, work(session, campaign, found.doubles), _turns_of(found), today
            ),
            policy_costs(session, campaign),
        ],
        "ceiling": lambda: report.of_ceiling(found.doubles, found.dialogues, measured(session, campaign.id)),
    }
    place = (str(session.get_bind().engine.url), campaign.id, name)
    stamp = (found.stamp, today, _newest_run(session), campaign.review_distance)
    kept = _remembered.get((*place, stamp))
    if kept is None:
        kept = Section(name, compute[name]())
        for old in [key for key in _remembered.copy() if key[:3] == place]:
            _remembered.pop(old, None)
        _remembered[*place, stamp] = kept
    return kept


def lengths(session: Session, campaign: Campaign, turn_ids: Ints) -> Ints:
    """How many characters each response of these turns has, which are in the order of their ids: (T, K)."""
    rows = session.connection().execute(
        select(Response.turn_id, Response.number, func.length(Response.text))
        .join(Turn, Response.turn_id == Turn.id)
        .where(Turn.campaign_id == campaign.id, Turn.places_taken > 0)
    )
    table = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 3)
    found = np.zeros((len(turn_ids), campaign.k), dtype=np.int64)
    at = np.searchsorted(turn_ids, table[:, 0])
    known = (at < len(turn_ids)) & (turn_ids[np.minimum(at, len(turn_ids) - 1)] == table[:, 0])
    found[at[known], table[known, 1]] = table[known, 2]
    return found


def work(session: Session, campaign: Campaign, doubles: Doubles) -> Work:
    """When rankings came, turns were settled, became contested and were decided, and what is left."""
    in_campaign = Turn.campaign_id == campaign.id
    first_versions = _times(
        session,
        select(_epoch(Ranking.created_at))
        .join(Assignment, Ranking.assignment_id == Assignment.id)
        .join(Turn, Assignment.turn_id == Turn.id)
        .where(in_campaign, Ranking.version == 1, Assignment.place.is_not(None)),
    )
    decided = (
        select(_epoch(Adjudication.decided_at))
        .join(Turn, Adjudication.turn_id == Turn.id)
        .where(in_campaign, Adjudication.state == ReviewState.DECIDED, Adjudication.kind == ReviewKind.CONTESTED)
    )
    settled = select(_epoch(Turn.settled_at)).where(in_campaign, Turn.settled_at.is_not(None))
    states = select(Turn.state, func.count()).where(in_campaign).group_by(Turn.state)
    by_state = {row[0]: row[1] for row in session.execute(states)}
    return Work(
        rankings=first_versions,
        settled=_times(session, settled),
        contested=doubles.arrived[doubles.turns.reviewed[doubles.turn]],
        decided=_times(session, decided),
        left=2 * (by_state.get(TurnState.OPEN, 0) + by_state.get(TurnState.NEEDS_RESPONSES, 0))
        + by_state.get(TurnState.ONE_RANKING, 0),
        waiting=sum(by_state.get(state, 0) for state in REVIEWING),
    )


def _epoch(at: Any) -> ColumnElement[int]:
    return extract("epoch", at)


def _times(session: Session, wanted: Select[Any]) -> Times:
    return np.array([int(row[0]) for row in session.connection().execute(wanted)], dtype="datetime64[s]")


def verdicts(session: Session, campaign: Campaign, doubles: Doubles) -> Verdicts:
    """Every contested pair that an adjudicator closed, answered or following."""
    rows = session.connection().execute(
        select(
            Adjudication.turn_id,
            Adjudication.adjudicator_id,
            cast(Adjudication.decisions, Text),
            cast(Adjudication.result, Text),
        )
        .join(Turn, Adjudication.turn_id == Turn.id)
        .where(
            Turn.campaign_id == campaign.id,
            Adjudication.state == ReviewState.DECIDED,
            Adjudication.kind == ReviewKind.CONTESTED,
        )
    )
    at = {turn: row for row, turn in enumerate(doubles.turns.id[doubles.turn].tolist())}
    found: list[tuple[int, ...]] = []
    for part in rows.partitions(AT_ONCE):
        said = json.loads(f"[{','.join(f'[{row[2]},{row[3]}]' for row in part)}]")
        for row, (decisions, result) in zip(part, said, strict=True):
            if row.turn_id in at:
                found += _closed(at[row.turn_id], row.adjudicator_id, decisions, result, campaign.k)
    table = np.array(found, dtype=np.int64).reshape(-1, 6)
    return Verdicts(
        row=table[:, 0],
        pair=table[:, 1],
        relation=table[:, 2].astype(np.int8),
        asked=table[:, 3] == 1,
        hidden=table[:, 4] == 1,
        adjudicator=table[:, 5],
    )


def _closed(
    row: int, adjudicator: int, decisions: dict[str, Any], result: dict[str, Any], k: int
) -> list[tuple[int, ...]]:
    """The pairs of one decision in the order of the columns of Verdicts."""
    number = {pair: i for i, pair in enumerate(pairs_of(k))}
    answered = {tuple(answer["pair"]): answer for answer in decisions.get("answers", [])}
    found: list[tuple[int, ...]] = []
    for each in result["pairs"]:
        pair = tuple(each["pair"])
        if each["provenance"] in ("adjudicated", "implied"):
            hidden = answered[pair].get("suggestion_hidden", False) if pair in answered else False
            sign = SIGN[Relation(each["relation"])]
            found.append((row, number[pair], sign, pair in answered, hidden, adjudicator))
    return found


def measured(session: Session, campaign_id: int) -> list[Measured]:
    """What the newest runs on this campaign's snapshots have measured of their reward models, newest first."""
    wanted = (
        select(Run)
        .join(Snapshot, Run.snapshot_id == Snapshot.id)
        .where(
            Snapshot.campaign_id == campaign_id,
            Run.state == RunState.SUCCEEDED,
            Run.kind.in_((RunKind.REWARD, RunKind.EVALUATE)),
        )
        .order_by(Run.id.desc())
        .limit(NEWEST_RUNS)
    )
    return [
        Measured(run.id, run.result)
        for run in session.scalars(wanted)
        if run.result and isinstance(run.result.get("accuracy"), dict)
    ]


def policy_costs(session: Session, campaign: Campaign) -> Table:
    """What the adjudicators' queue will cost under each policy: that of a distance with the campaign's own."""
    projected = policies.project(session, campaign, [Policy(kind, campaign.review_distance) for kind in ReviewPolicy])
    rows = {
        cost.policy.kind.value: {
            "turns": report.exactly(cost.turns, projected.seen),
            "questions": report.exactly(cost.questions, projected.seen),
            "hours": report.exactly(cost.hours, projected.seen),
        }
        for cost in projected.costs
    }
    return Table("review policies", By.POLICY, rows)


def _turns_of(found: columns.Columns) -> int:
    """All turns of the campaign but the withdrawn ones."""
    return sum(n for state, n in found.states.items() if state is not TurnState.WITHDRAWN)


def _newest_run(session: Session) -> datetime | None:
    return session.scalar(select(func.max(Run.finished_at)))


def names(session: Session) -> dict[int, str]:
    """Everybody's name."""
    return {row.id: row.name for row in session.execute(select(User.id, User.name))}
