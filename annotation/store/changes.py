"""Whether anything has changed that the figures of a campaign are made of: cheap enough to ask at every request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from threading import Lock
from typing import Any

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from annotation.review_tables import Adjudication, ReviewState
from annotation.tables import Assignment, Ranking, Turn, TurnState

LOOK_BACK = 1000
"""Rankings have their numbers before others can see them, so more than the very last ones are looked at."""

MOST_BEHIND = 10 * LOOK_BACK
"""Where other campaigns have so many rankings since, one looks from further on."""


@dataclass(frozen=True)
class Stamp:
    """A campaign at a moment: as long as nothing changes its number stays the same, in this process.

    ``states`` says how many turns stand where.
    """

    number: int
    states: Mapping[TurnState, int]

    @property
    def turns(self) -> int:
        """All turns of the campaign but the withdrawn ones."""
        return sum(n for state, n in self.states.items() if state is not TurnState.WITHDRAWN)


@dataclass(frozen=True)
class _Seen:
    stamp: Stamp
    mark: int
    facts: tuple[Any, ...]


_seen: dict[tuple[str, int], _Seen] = {}
_numbers = count(1)
_changing = Lock()


def place(session: Session, campaign_id: int) -> tuple[str, int]:
    """How a process tells a campaign from all others, also those of another database."""
    return str(session.get_bind().engine.url), campaign_id


def stamp(session: Session, campaign_id: int) -> Stamp:
    """The campaign as it is. What comes to other campaigns changes nothing."""
    key = place(session, campaign_id)
    newest = session.scalar(select(func.max(Ranking.id))) or 0
    seen = _seen.get(key)
    facts = None if seen is None else _facts(session, campaign_id, seen.mark)
    if seen is not None and seen.facts == facts:
        if newest > seen.mark + MOST_BEHIND:
            mark = newest - LOOK_BACK
            _seen[key] = _Seen(seen.stamp, mark, _facts(session, campaign_id, mark))
        return seen.stamp
    mark = max(newest - LOOK_BACK, 0)
    facts = _facts(session, campaign_id, mark)
    with _changing:
        seen = _seen.get(key)
        if seen is None or (seen.mark, seen.facts) != (mark, facts):  # else somebody has just seen the same
            seen = _seen[key] = _Seen(Stamp(next(_numbers), dict(facts[-1])), mark, facts)
        return seen.stamp


def _facts(session: Session, campaign_id: int, mark: int) -> tuple[Any, ...]:
    """The rankings behind the mark, the decisions, and where the turns stand: all that can change."""
    own = exists().where(
        Assignment.id == Ranking.assignment_id, Turn.id == Assignment.turn_id, Turn.campaign_id == campaign_id
    )
    came = select(func.count(), func.max(Ranking.id)).where(Ranking.id > mark, own)
    settled = select(Turn.id).where(Turn.campaign_id == campaign_id, Turn.state == TurnState.SETTLED)
    decided = select(func.count(), func.sum(Adjudication.version)).where(
        Adjudication.state == ReviewState.DECIDED, Adjudication.turn_id.in_(settled)
    )
    states = select(Turn.state, func.count()).where(Turn.campaign_id == campaign_id).group_by(Turn.state)
    return (
        *session.execute(came).one(),
        *session.execute(decided).one(),
        tuple(sorted((state, n) for state, n in session.execute(states))),
    )
