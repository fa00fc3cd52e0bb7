"""Whether anything has changed that the figures of a campaign are made of: cheap enough to ask at every request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

from sqlalchemy import Integer, Select, bindparam, exists, func, select
from sqlalchemy.orm import Session

from annotation.review_tables import Adjudication, ReviewState
from annotation.tables import Assignment, Ranking, Turn, TurnState

LOOK_BACK = 1000
"""Rankings have their numbers before others can see them, so more than the very last ones are looked at."""

CAMPAIGN, AFTER = bindparam("campaign_id", type_=Integer), bindparam("after", type_=Integer)


@dataclass(frozen=True)
class Stamp:
    """A campaign at a moment: as long as nothing changes its mark stays the same, in every process.

    ``states`` says how many turns stand where.
    """

    mark: str
    states: Mapping[TurnState, int]

    @property
    def turns(self) -> int:
        """All turns of the campaign but the withdrawn ones."""
        return sum(n for state, n in self.states.items() if state is not TurnState.WITHDRAWN)


@dataclass(frozen=True)
class _Last:
    """The campaign's last ranking, and behind which number to look for one that came after it."""

    ranking: int
    after: int


_last: dict[tuple[str, int], _Last] = {}


def place(session: Session, campaign_id: int) -> tuple[str, int]:
    """How a process tells a campaign from all others, also those of another database."""
    return str(session.get_bind().engine.url), campaign_id


def stamp(session: Session, campaign_id: int) -> Stamp:
    """The campaign as it is. What comes to other campaigns changes nothing."""
    key = place(session, campaign_id)
    known = _last.get(key, _Last(0, 0))
    asked = {"campaign_id": campaign_id, "after": known.after}
    newest, found, decided, versions = session.execute(_numbers(), asked).one()
    last = max(found, known.ranking)
    _last[key] = _Last(last, max(last - 1, newest - LOOK_BACK))
    of_late = session.scalar(_how_many(), {"campaign_id": campaign_id, "after": last - LOOK_BACK})
    states = sorted((state.value, n) for state, n in session.execute(_states(), asked))
    mark = digest(last, of_late, decided, int(versions), states)
    return Stamp(mark, {TurnState(state): n for state, n in states})


def digest(*facts: object) -> str:
    """Facts as a few characters: the same for the same facts, in every process."""
    return sha256(repr(facts).encode()).hexdigest()[:16]


@cache
def _rankings() -> Select[int]:
    """The rankings of the campaign behind a number."""
    own = exists().where(Assignment.id == Ranking.assignment_id, Turn.id == Assignment.turn_id)
    return select(Ranking.id).where(Ranking.id > AFTER, own.where(Turn.campaign_id == CAMPAIGN))


@cache
def _how_many() -> Select[int]:
    return select(func.count()).select_from(_rankings().subquery())


@cache
def _numbers() -> Select[Any]:
    """The newest ranking of all campaigns, the last of this one behind a number, and the decisions, in one statement.

    It is put together once, for that costs more than to ask.
    """
    newest = select(func.coalesce(func.max(Ranking.id), 0)).scalar_subquery()
    last = _rankings().order_by(Ranking.id.desc()).limit(1).scalar_subquery()
    settled = select(Turn.id).where(Turn.campaign_id == CAMPAIGN, Turn.state == TurnState.SETTLED)
    decided = (
        select(func.count().label("n"), func.coalesce(func.sum(Adjudication.version), 0).label("versions"))
        .where(Adjudication.state == ReviewState.DECIDED, Adjudication.turn_id.in_(settled))
        .subquery()
    )
    return select(newest, func.coalesce(last, 0), decided.c.n, decided.c.versions)


@cache
def _states() -> Select[TurnState, int]:
    return select(Turn.state, func.count()).where(Turn.campaign_id == CAMPAIGN).group_by(Turn.state)
