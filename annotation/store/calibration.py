"""Calibration rounds: the same turns for everyone, ranked blind, revealed, and ranked again."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Select, delete, exists, func, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session, joinedload, object_session, selectinload

from annotation.calibration import each_two
from annotation.comparison import Comparison
from annotation.db import utcnow
from annotation.measure_tables import CalibrationRound, CalibrationTurn
from annotation.people_tables import User
from annotation.ranking import Ranking as Order
from annotation.refusals import Conflict, Invalid, Missing
from annotation.store import audit
from annotation.tables import (
    Assignment,
    AssignmentState,
    Campaign,
    Draft,
    Membership,
    Purpose,
    Ranking,
    Turn,
    TurnState,
)

MOST_TURNS = 200


@dataclass
class Case:
    """A turn of a round: by person their assignment, their first opinion, and their newest one."""

    turn: Turn
    assignments: dict[int, Assignment] = field(default_factory=dict)
    before: dict[int, Order] = field(default_factory=dict)
    after: dict[int, Order] = field(default_factory=dict)

    @property
    def order(self) -> list[int]:
        """The responses by their letters, which are the same for everybody once the round is revealed."""
        shared = next((each.response_order for each in self.assignments.values()), None)
        return list(range(len(self.turn.responses))) if shared is None else shared


def every(session: Session, campaign_id: int) -> Sequence[CalibrationRound]:
    """The rounds of a campaign, newest first."""
    wanted = select(CalibrationRound).where(CalibrationRound.campaign_id == campaign_id)
    return session.scalars(wanted.order_by(CalibrationRound.id.desc())).all()


def get(session: Session, round_id: int) -> CalibrationRound:
    """The round; raises Missing."""
    found = session.get(CalibrationRound, round_id)
    if found is None:
        raise Missing("This calibration round does not exist.")
    return found


def revealed_to(session: Session, user_id: int) -> Sequence[CalibrationRound]:
    """The rounds that somebody may look at and rank again."""
    mine = exists().where(Membership.campaign_id == CalibrationRound.campaign_id, Membership.user_id == user_id)
    open_ones = CalibrationRound.revealed_at.is_not(None) & CalibrationRound.closed_at.is_(None)
    return session.scalars(select(CalibrationRound).where(open_ones, mine).order_by(CalibrationRound.id)).all()


def seen_by(session: Session, user: User, round_id: int) -> CalibrationRound:
    """A round that is revealed, if this annotator ranks in its campaign; to others it does not exist."""
    found = get(session, round_id)
    member = session.get(Membership, (found.campaign_id, user.id))
    if member is None or found.revealed_at is None:
        raise Missing("This calibration round does not exist.")
    return found


def begin(session: Session, campaign: Campaign, name: str, turns: int, *, actor_id: int | None) -> CalibrationRound:
    """A round of turns that nobody has begun, drawn at random and withdrawn from labelling."""
    if not name or not 1 <= turns <= MOST_TURNS:
        raise Invalid("A round needs a name, and 1 to 200 turns.")
    if session.scalar(
        select(exists().where(CalibrationRound.campaign_id == campaign.id, CalibrationRound.name == name))
    ):
        raise Conflict("There is a round named {name} already: choose another name.", name=name)
    untouched = (Turn.campaign_id == campaign.id) & (Turn.state == TurnState.OPEN) & (Turn.places_named == 0)
    untouched &= (Turn.places_taken == 0) & ~exists().where(Assignment.turn_id == Turn.id)
    wanted = select(Turn).where(untouched).order_by(func.random()).limit(turns)
    drawn = session.scalars(wanted.with_for_update(of=Turn, skip_locked=True)).all()
    if len(drawn) < turns:
        raise Conflict("Only {number} turns are left that nobody has begun: choose fewer.", number=len(drawn))
    begun = CalibrationRound(campaign_id=campaign.id, name=name)
    session.add(begun)
    session.flush()
    for turn in drawn:
        turn.state = TurnState.WITHDRAWN
        session.add(CalibrationTurn(turn_id=turn.id, round_id=begun.id))
    audit.record(session, actor_id, "calibration begun", f"campaign {campaign.id}", name=name, turns=turns)
    session.flush()
    return begun


def reveal(session: Session, found: CalibrationRound, *, actor_id: int | None) -> None:
    """Shows everyone all rankings; what is not submitted by now is no longer blind, so it is not waited for.

    From now on the responses of a turn have the same letters for everybody, so that they can be talked over. What was
    ranked blind keeps the order in which it was shown; forms that were begun in other letters are dropped.
    """
    _note(session, found, CalibrationRound.revealed_at, actor_id)
    ranked = session.scalars(_assignments(found).order_by(Assignment.id).with_for_update(of=Assignment)).all()
    letters: dict[int, list[int]] = {}
    for each in ranked:
        drawn = random.SystemRandom().sample(each.response_order, len(each.response_order))
        each.response_order = letters.setdefault(each.turn_id, drawn)
        if each.state is AssignmentState.RESERVED:
            each.state = AssignmentState.EXPIRED
    session.flush()
    session.execute(delete(Draft).where(Draft.assignment_id.in_([each.id for each in ranked])))


def close(session: Session, found: CalibrationRound, *, actor_id: int | None) -> None:
    """Ends a round that is revealed: its rankings can no longer be changed."""
    if found.revealed_at is None:
        raise Conflict("Reveal the rankings first, so that everybody can learn from them.")
    _note(session, found, CalibrationRound.closed_at, actor_id)


def still_open(assignment: Assignment) -> bool:
    """Whether the round of an assignment takes another version."""
    session = object_session(assignment)
    assert session is not None
    of_turn = (
        select(CalibrationRound.closed_at).join(CalibrationTurn).where(CalibrationTurn.turn_id == assignment.turn_id)
    )
    return session.scalars(of_turn).one() is None


def revealed_round(session: Session, assignment: Assignment) -> int | None:
    """The round that somebody ranks again with this assignment; None for other work, and while it is blind."""
    if assignment.purpose is not Purpose.CALIBRATION:
        return None
    of_turn = select(CalibrationRound.id).join(CalibrationTurn).where(CalibrationTurn.turn_id == assignment.turn_id)
    return session.scalar(of_turn.where(CalibrationRound.revealed_at.is_not(None)))


def rounds_of(session: Session, turns: Sequence[Turn]) -> dict[int, CalibrationRound]:
    """By the id of a turn the round that it is in, of those that are in one."""
    withdrawn = [turn.id for turn in turns if turn.state is TurnState.WITHDRAWN]
    of_turn = select(CalibrationTurn.turn_id, CalibrationRound).join(
        CalibrationRound, CalibrationRound.id == CalibrationTurn.round_id
    )
    return {row[0]: row[1] for row in session.execute(of_turn.where(CalibrationTurn.turn_id.in_(withdrawn)))}


def cases(session: Session, found: CalibrationRound) -> list[Case]:
    """Every turn of a round with what was said before it was revealed, and what is said now."""
    turns = select(Turn).join(CalibrationTurn).where(CalibrationTurn.round_id == found.id).order_by(Turn.id)
    turns = turns.options(joinedload(Turn.dialogue, innerjoin=True), selectinload(Turn.responses))
    by_turn = {turn.id: Case(turn) for turn in session.scalars(turns)}
    given = (
        select(Assignment, Ranking)
        .outerjoin(Ranking, Ranking.assignment_id == Assignment.id)
        .where(Assignment.turn_id.in_(by_turn), Assignment.purpose == Purpose.CALIBRATION)
        .order_by(Assignment.id, Ranking.version)
    )
    for assignment, ranking in session.execute(given):
        case = by_turn[assignment.turn_id]
        case.assignments[assignment.user_id] = assignment
        if ranking is not None:
            order = case.after[assignment.user_id] = Order.from_json(ranking.body)
            if found.revealed_at is None or ranking.created_at <= found.revealed_at:
                case.before[assignment.user_id] = order
    return list(by_turn.values())


def agreement(cases: Sequence[Case]) -> tuple[list[Comparison], list[Comparison]]:
    """Each two people's rankings of each turn, before the rankings were revealed and after.

    Only people with a blind ranking count, on both sides; who did not rank again counts after as before.
    """
    before = [compared for case in cases for compared in each_two(case.turn.dialogue_id, case.before)]
    after = [
        compared
        for case in cases
        for compared in each_two(case.turn.dialogue_id, {user: case.after[user] for user in case.before})
    ]
    return before, after


def done(cases: Sequence[Case]) -> Mapping[int, int]:
    """How many turns of the round each person has ranked blind."""
    people = {user for case in cases for user in case.before}
    return {user: sum(user in case.before for case in cases) for user in people}


def pseudonyms(found: CalibrationRound, cases: Sequence[Case]) -> dict[int, int]:
    """A number for each person, from 0, the same throughout a round and telling nothing of who it is."""
    people = {user for case in cases for user in case.after}
    drawn = sorted(people, key=lambda user: hashlib.sha256(f"{found.id}:{found.created_at}:{user}".encode()).digest())
    return {user: number for number, user in enumerate(drawn)}


def _assignments(found: CalibrationRound) -> Select[Assignment]:
    of_round = select(CalibrationTurn.turn_id).where(CalibrationTurn.round_id == found.id)
    return select(Assignment).where(Assignment.turn_id.in_(of_round), Assignment.purpose == Purpose.CALIBRATION)


def _note(
    session: Session, found: CalibrationRound, when: InstrumentedAttribute[datetime | None], actor_id: int | None
) -> None:
    """Notes the moment at which a round was revealed or closed, once."""
    not_yet = (CalibrationRound.id == found.id) & when.is_(None)
    noted = update(CalibrationRound).where(not_yet).values({when: utcnow()}).returning(CalibrationRound.id)
    if session.scalar(noted) is None:
        raise Conflict("Somebody else did this already: reload the page.")
    session.refresh(found)
    action = "calibration revealed" if when is CalibrationRound.revealed_at else "calibration closed"
    audit.record(session, actor_id, action, f"campaign {found.campaign_id}", name=found.name)
