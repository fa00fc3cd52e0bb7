"""How the turns of an annotator were decided: shown afterwards, once nothing about them can change any more."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session, aliased, contains_eager

from annotation.adjudication import SettledPair, settle_agreed
from annotation.db import utcnow
from annotation.ranking import Pair, Relation
from annotation.ranking import Ranking as Order
from annotation.review_tables import Adjudication, ReviewKind, ReviewState, Rewrite
from annotation.store import rankings, reviews
from annotation.tables import Assignment, AssignmentState, Purpose, Ranking, Turn, TurnState


class Shown(enum.StrEnum):
    """Which of their rankings somebody looks at."""

    ALL = "all"
    DECIDED = "decided"
    WAITING = "waiting"
    HANDED_BACK = "handed back"


@dataclass(frozen=True)
class Outcome:
    """How a turn ended, beside what one annotator had said."""

    own: Order
    settled: tuple[SettledPair, ...]
    none_acceptable: bool
    rewrite: str | None

    @property
    def relations(self) -> dict[Pair, Relation]:
        """The relations that were settled."""
        return {each.pair: each.relation for each in self.settled if each.relation is not None}

    @property
    def overturned(self) -> list[SettledPair]:
        """The settled pairs that this annotator had seen otherwise."""
        own = self.own.relations()
        return [
            each
            for each in self.settled
            if each.relation is not None and own.get(each.pair) not in (None, each.relation)
        ]

    @property
    def stood(self) -> int:
        """How many settled pairs are as this annotator had them."""
        own = self.own.relations()
        return sum(own.get(pair) is relation for pair, relation in self.relations.items())


def history(
    session: Session, user_id: int, shown: Shown, *, before: int | None = None, limit: int, now: datetime | None = None
) -> Sequence[Assignment]:
    """What somebody has ranked or handed back, newest first, behind the assignment ``before`` where it is theirs.

    Turns that measured them stand among the others, as turns about which nothing is said yet: nobody knows them apart.
    """
    finished = (AssignmentState.SUBMITTED, AssignmentState.CANNOT_JUDGE)
    mine = (
        select(Assignment)
        .join(Assignment.turn)
        .options(contains_eager(Assignment.turn))
        .where(Assignment.user_id == user_id, Assignment.purpose != Purpose.CALIBRATION, Assignment.state.in_(finished))
    )
    last = session.get(Assignment, before) if before is not None else None
    if last is not None and last.user_id == user_id and last.finished_at is not None:
        same, at = Assignment.finished_at == last.finished_at, last.finished_at
        mine = mine.where((Assignment.finished_at < at) | (same & (Assignment.id < last.id)))
    wanted = mine.where(_shown(shown, now or utcnow())) if shown is not Shown.ALL else mine
    return session.scalars(wanted.order_by(Assignment.finished_at.desc(), Assignment.id.desc()).limit(limit)).all()


def outcomes(session: Session, assignments: Sequence[Assignment], now: datetime | None = None) -> dict[int, Outcome]:
    """By assignment how its turn was decided; without those about which something may still change."""
    wanted = select(Turn.id).where(Turn.id.in_([a.turn_id for a in assignments]), decided_for_good(now or utcnow()))
    turn_ids = set(session.scalars(wanted))
    given = _rankings(session, turn_ids)
    decided = Adjudication.turn_id.in_(turn_ids) & (Adjudication.state == ReviewState.DECIDED)
    results = {each.turn_id: each.result for each in session.scalars(select(Adjudication).where(decided))}
    rewrites = {
        each.turn_id: each.text for each in session.scalars(select(Rewrite).where(Rewrite.turn_id.in_(turn_ids)))
    }
    found = {}
    for assignment in assignments:
        own = given.get(assignment.turn_id, {}).get(assignment.id)
        if own is None:
            continue
        result = results.get(assignment.turn_id)
        pairs = (
            [reviews.pair_from_json(pair) for pair in result["pairs"]] if result else _agreed(given[assignment.turn_id])
        )
        none = bool(result and result["none_acceptable"])
        found[assignment.id] = Outcome(own, tuple(pairs), none, rewrites.get(assignment.turn_id))
    return found


def decided_for_good(now: datetime) -> ColumnElement[bool]:
    """Settled turns whose decision can be taken back no more and that wait for no audit."""
    audit, review, newer = aliased(Adjudication), aliased(Adjudication), aliased(Adjudication)
    audited = exists().where(
        audit.turn_id == Turn.id, audit.kind == ReviewKind.AUDIT, audit.state == ReviewState.DECIDED
    )
    went_on = exists().where(newer.adjudicator_id == review.adjudicator_id, newer.id > review.id)
    changeable = exists().where(
        review.turn_id == Turn.id,
        review.state == ReviewState.DECIDED,
        review.decided_at > now - reviews.TAKEN_BACK_WITHIN,
        ~went_on,
    )
    return (Turn.state == TurnState.SETTLED) & ~(Turn.audit_drawn & ~audited) & ~changeable


def _shown(shown: Shown, now: datetime) -> ColumnElement[bool]:
    if shown is Shown.HANDED_BACK:
        return Assignment.state == AssignmentState.CANNOT_JUDGE
    submitted = Assignment.state == AssignmentState.SUBMITTED
    decided = (Assignment.purpose == Purpose.LABEL) & decided_for_good(now)
    return submitted & (decided if shown is Shown.DECIDED else ~decided)


def _agreed(given: dict[int, Order]) -> list[SettledPair]:
    first, second = given.values()
    return settle_agreed(first, second)


def _rankings(session: Session, turn_ids: set[int]) -> dict[int, dict[int, Order]]:
    """By turn and assignment the ranking that counts, the first place first."""
    rows = session.execute(
        select(Assignment.turn_id, Assignment.id, Ranking)
        .join(Ranking, Ranking.assignment_id == Assignment.id)
        .where(Assignment.turn_id.in_(turn_ids), Assignment.place.is_not(None), Ranking.late.is_(False))
        .order_by(Assignment.turn_id, Assignment.place, Ranking.version)
    )
    found: dict[int, dict[int, Order]] = {}
    for turn_id, assignment_id, ranking in rows:
        found.setdefault(turn_id, {})[assignment_id] = rankings.read(ranking)
    return found
