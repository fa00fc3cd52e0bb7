"""Looking at turns, for the admin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import ColumnElement, exists, func, literal_column, select
from sqlalchemy.orm import Session, joinedload

from annotation.measure_tables import CalibrationTurn
from annotation.refusals import Missing
from annotation.review_tables import Adjudication, ReviewState, Rewrite
from annotation.tables import OFTEN, OFTEN_HANDED_BACK, Assignment, Dialogue, Guideline, Ranking, Turn, TurnState

HANDED_BACK_OFTEN: ColumnElement[bool] = literal_column(f"turns.{OFTEN_HANDED_BACK}")
"""In the words of the index that holds such turns, which would not be used with a parameter."""


def get(session: Session, turn_id: int) -> Turn:
    """The turn; raises Missing."""
    turn = session.get(Turn, turn_id)
    if turn is None:
        raise Missing("This turn does not exist.")
    return turn


def in_campaign(session: Session, campaign_id: int, turn_id: int) -> Turn:
    """The turn, if it is of this campaign; raises Missing."""
    turn = get(session, turn_id)
    if turn.campaign_id != campaign_id:
        raise Missing("This turn does not exist.")
    return turn


@dataclass(frozen=True)
class Behind:
    """The turns behind a figure: those for which all that is given here is so.

    ``annotators`` hold a place, all of them; ``ability`` is the most important one that decides a contested pair;
    ``week`` begins on this Monday, in UTC, and is that of the last ranking; ``guideline`` is a version that a ranking
    was made under; ``source`` is 1 in, 0 out of distribution, -1 where not stated; ``handed_back`` so often or more;
    ``calibration`` those of a round, which are withdrawn from labelling.
    """

    annotators: tuple[int, ...] = ()
    ability: int | None = None
    department: str | None = None
    depth: int | None = None
    source: int | None = None
    week: date | None = None
    guideline: int | None = None
    handed_back: int = 0
    calibration: bool = False

    def conditions(self) -> list[ColumnElement[bool]]:
        """As the database understands it."""
        ranked = (Assignment.turn_id == Turn.id) & Assignment.place.is_not(None)
        found: list[ColumnElement[bool]] = [
            exists().where(ranked, Assignment.user_id == each) for each in self.annotators
        ]
        if self.ability is not None:
            found.append(Turn.contested_ability == self.ability)
        if self.department is not None:
            found.append(Turn.department == self.department)
        if self.depth is not None:
            found.append(Turn.number == self.depth)
        if self.source is not None:
            found.append(Turn.in_distribution.is_(None if self.source < 0 else bool(self.source)))
        if self.handed_back:
            often = self.handed_back == OFTEN  # as the overview's link asks
            found.append(HANDED_BACK_OFTEN if often else Turn.times_unjudgeable >= self.handed_back)
        if self.calibration:
            found.append(_in_a_round)
        if self.guideline is not None:
            version = Guideline.version == self.guideline
            found.append(exists().where(ranked, Ranking.assignment_id == Assignment.id, _guideline_of, version))
        if self.week is not None:
            monday = datetime.combine(self.week, time(), UTC)
            came = select(func.max(Assignment.finished_at)).where(ranked).scalar_subquery()
            found += [came >= monday, came < monday + timedelta(days=7)]
        return found


_guideline_of = Ranking.guideline_id == Guideline.id
_in_a_round = exists().where(CalibrationTurn.turn_id == Turn.id)


def listed(
    session: Session,
    campaign_id: int,
    state: TurnState | None,
    *,
    after: int,
    limit: int,
    behind: Behind = Behind(),
) -> Sequence[Turn]:
    """Turns of a campaign in the order of their import, behind the one with id ``after``.

    Those of a calibration round are not listed among the withdrawn ones.
    """
    wanted = select(Turn).where(Turn.campaign_id == campaign_id, Turn.id > after, *behind.conditions())
    if state is not None:
        wanted = wanted.where(Turn.state == state)
    if state is TurnState.WITHDRAWN:
        wanted = wanted.where(~_in_a_round)
    return session.scalars(
        wanted.order_by(Turn.id).limit(limit).options(joinedload(Turn.dialogue, innerjoin=True))
    ).all()


def review_of(session: Session, turn_id: int) -> Adjudication | None:
    """The adjudication of a turn that is open or decided."""
    live = select(Adjudication).where(Adjudication.turn_id == turn_id, Adjudication.state != ReviewState.RELEASED)
    return session.scalar(live)


def rewrite_of(session: Session, turn_id: int) -> Rewrite | None:
    """What was written in place of unacceptable responses."""
    return session.scalar(select(Rewrite).where(Rewrite.turn_id == turn_id).order_by(Rewrite.id.desc()).limit(1))


def departments(session: Session, campaign_id: int) -> Sequence[str]:
    """The departments of a campaign's dialogues, by name."""
    named = select(Dialogue.department).where(Dialogue.campaign_id == campaign_id, Dialogue.department != "")
    return session.scalars(named.distinct().order_by(Dialogue.department)).all()
