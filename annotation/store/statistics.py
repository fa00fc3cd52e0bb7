"""What the statistics of a campaign are computed from, beside its columns; and the tables, remembered."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import numpy as np
from sqlalchemy import Select, Text, cast, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from annotation import report
from annotation.bias import Verdicts
from annotation.columns import Doubles, Ints, Times
from annotation.people_tables import User
from annotation.ranking import Relation, pairs_of
from annotation.report import By, Measured, Table, Work
from annotation.review_policy import Policy, ReviewPolicy
from annotation.review_tables import Adjudication, ReviewKind, ReviewState
from annotation.run_tables import Run, RunKind, RunState, Snapshot
from annotation.store import campaigns, changes, columns, policies
from annotation.store import measured as measured_people
from annotation.store.changes import Stamp
from annotation.store.columns import REVIEWING, Columns
from annotation.store.remembered import Memory
from annotation.tables import Assignment, Campaign, Ranking, Response, Turn, TurnState

SIGN = {Relation.BETTER: 1, Relation.TIE: 0, Relation.WORSE: -1}
NEWEST_RUNS = 5
KEPT = 200
"""So many parts are remembered by a process: they are small."""

AT_ONCE = 100
"""So many bodies are decoded in one go: more live objects would set off the slow rounds of garbage collection."""

GLANCE = "glance"
SECTIONS = ("agreement", "bias", "pace", "adjudication", "measuring", "ceiling")


@dataclass(frozen=True)
class Section:
    """The tables of one part of the page, and the ``mark`` of what they are made of.

    ``as_of`` where newer ones are being computed, and these are of that time.
    """

    name: str
    tables: Sequence[Table]
    mark: str
    as_of: datetime | None = None


_remembered: Memory[Section] = Memory(KEPT)


def section(
    session: Session,
    campaign: Campaign,
    name: str,
    today: date,
    *,
    wait: bool = False,
    rests: float = 0,
    stamp: Stamp | None = None,
) -> Section:
    """One part, computed anew only where something that it is made of has changed since.

    ``name`` is one of SECTIONS, or GLANCE. While somebody else computes it, the last one is given, which says ``as_of``
    when it was true, unless asked to ``wait``; and so it is where that ``rests`` so many times as long as it took.
    ``stamp`` is that of the campaign, where it was looked up a moment ago.
    """
    stamp = stamp or changes.stamp(session, campaign.id)
    mark = _mark(session, campaign, name, stamp, today)
    place = (*changes.place(session, campaign.id), name)

    def compute() -> Section:
        return Section(name, _tables(session, campaign, name, stamp, today), mark)

    kept = _remembered.get(place, mark, compute, wait=wait, rests=rests)
    return kept.value if kept.stamp == mark else replace(kept.value, as_of=kept.at)


def mark(session: Session, campaign_id: int, name: str, today: date) -> tuple[str, Stamp]:
    """What a part would be made of now: the mark of the section that is shown, as long as nothing has changed."""
    campaign, stamp = campaigns.get(session, campaign_id), changes.stamp(session, campaign_id)
    return _mark(session, campaign, name, stamp, today), stamp


def _mark(session: Session, campaign: Campaign, name: str, stamp: Stamp, today: date) -> str:
    more: dict[str, Callable[[], tuple[Any, ...]]] = {
        "pace": lambda: (today,),
        "ceiling": lambda: (_newest_run(session),),
        GLANCE: lambda: (today, campaign.review_distance),
    }
    return changes.digest(stamp.mark, *(more[name]() if name in more else ()))


def _tables(session: Session, campaign: Campaign, name: str, stamp: Stamp, today: date) -> Sequence[Table]:
    if name == "measuring":  # made of a few rankings, which are not among the columns
        return report.of_measuring(
            measured_people.repeats(session, campaign),
            measured_people.gold(session, campaign),
            measured_people.audits(session, campaign.id),
        )
    found = columns.columns(session, campaign, stamp)
    doubles, dialogues = found.doubles, found.dialogues
    compute: dict[str, Callable[[], Sequence[Table]]] = {
        "agreement": lambda: report.of_agreement(doubles, dialogues),
        "bias": lambda: report.of_bias(found.judgements, dialogues, lengths(session, campaign, found.turns.id)),
        "pace": lambda: report.of_pace(found.judgements, work(session, campaign, found), today),
        "adjudication": lambda: report.of_adjudication(verdicts(session, campaign, doubles), doubles, dialogues),
        GLANCE: lambda: [
            *report.at_a_glance(doubles, dialogues, work(session, campaign, found), stamp.turns, today),
            policy_costs(session, campaign, stamp),
        ],
        "ceiling": lambda: report.of_ceiling(doubles, dialogues, measured(session, campaign.id)),
    }
    return compute[name]()


def lengths(session: Session, campaign: Campaign, turn_ids: Ints) -> Ints:
    """How many characters each response of these turns has, which are in the order of their ids: (T, K)."""
    rows = session.connection().execute(
        select(Response.turn_id, Response.number, func.length(Response.text))
        .join(Turn, Response.turn_id == Turn.id)
        .where(Turn.campaign_id == campaign.id, Turn.places_taken > 0)
    )
    turn, number, length = (each.astype(np.int64) for each in columns.arrays(rows, 3))
    known = np.isin(turn, turn_ids)
    found = np.zeros((len(turn_ids), campaign.k), dtype=np.int64)
    found[np.searchsorted(turn_ids, turn[known]), number[known]] = length[known]
    return found


def work(session: Session, campaign: Campaign, found: Columns) -> Work:
    """On which days rankings came, turns were settled, became contested and were decided, and what is left."""
    in_campaign = Turn.campaign_id == campaign.id
    first_versions = _days(
        session,
        Ranking.created_at,
        select()
        .select_from(Ranking)
        .join(Assignment, Ranking.assignment_id == Assignment.id)
        .join(Turn, Assignment.turn_id == Turn.id)
        .where(in_campaign, Ranking.version == 1, Assignment.place.is_not(None)),
    )
    decided = (
        select()
        .select_from(Adjudication)
        .join(Turn, Adjudication.turn_id == Turn.id)
        .where(in_campaign, Adjudication.state == ReviewState.DECIDED, Adjudication.kind == ReviewKind.CONTESTED)
    )
    settled = select().where(in_campaign, Turn.settled_at.is_not(None))
    by_state, doubles = found.stamp.states, found.doubles
    return Work(
        rankings=first_versions,
        settled=_days(session, Turn.settled_at, settled),
        contested=doubles.arrived[doubles.turns.reviewed[doubles.turn]],
        decided=_days(session, Adjudication.decided_at, decided),
        left=2 * (by_state.get(TurnState.OPEN, 0) + by_state.get(TurnState.NEEDS_RESPONSES, 0))
        + by_state.get(TurnState.ONE_RANKING, 0),
        waiting=sum(by_state.get(state, 0) for state in REVIEWING),
    )


def _days(session: Session, at: InstrumentedAttribute[Any], those: Select[*tuple[Any, ...]]) -> Times:
    """The day of each of those rows, in UTC, one after the other: the database counts them by day."""
    by_day = session.execute(those.add_columns(func.date(at), func.count()).group_by(func.date(at))).all()
    days, counts = np.array([row[0] for row in by_day], dtype="datetime64[D]"), [row[1] for row in by_day]
    return np.repeat(days, np.array(counts, dtype=np.int64)).astype("datetime64[s]")


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


def policy_costs(session: Session, campaign: Campaign, stamp: Stamp) -> Table:
    """What the adjudicators' queue will cost under each policy: that of a distance with the campaign's own."""
    every = [Policy(kind, campaign.review_distance) for kind in ReviewPolicy]
    projected = policies.project(session, campaign, every, stamp=stamp)
    rows = {
        cost.policy.kind.value: {
            "turns": report.exactly(cost.turns, projected.seen),
            "questions": report.exactly(cost.questions, projected.seen),
            "hours": report.exactly(cost.hours, projected.seen),
        }
        for cost in projected.costs
    }
    return Table("review policies", By.POLICY, rows)


def _newest_run(session: Session) -> datetime | None:
    return session.scalar(select(func.max(Run.finished_at)))


def names(session: Session) -> dict[int, str]:
    """Everybody's name."""
    return {row.id: row.name for row in session.execute(select(User.id, User.name))}
