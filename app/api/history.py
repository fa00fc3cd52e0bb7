"""What an annotator has done, for their programs, and how it was decided once nothing can change any more."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from annotation.adjudication import Provenance, SettledPair
from annotation.ranking import Relation
from annotation.refusals import Missing
from annotation.store import outcomes, rankings
from annotation.store.outcomes import Outcome, Shown
from annotation.tables import Assignment, AssignmentState
from app.api.paging import Cursor, Limit, Page, number_in, page_of
from app.api.ranking import own_order
from app.api.shapes import AbilityNumber, Letter, OrderShape, ShownTurn, letters_of, shown_turn, write_order
from app.deps import Annotator, Reading, SeenAssignment

router = APIRouter(tags=["ranking"])


class Done(BaseModel):
    """A turn that you have ranked or handed back."""

    assignment_id: int
    campaign_id: int
    state: AssignmentState
    finished_at: datetime | None
    correctable: bool
    decided: bool = Field(description="Whether it is told how the turn was decided")
    ranking: OrderShape | None


class DecidedPair(BaseModel):
    """How a pair was decided, beside what you had said."""

    first: Letter
    second: Letter
    relation: Relation | None = Field(description="null where nobody reviewed it, so that it makes no preference")
    ability: AbilityNumber | None = Field(description="What decides between them")
    own: Relation | None = Field(description="As you had it; null where you gave no order")
    provenance: Provenance


class Decision(BaseModel):
    """How a turn was decided, in the letters under which you saw it."""

    assignment_id: int
    turn: ShownTurn
    ranking: OrderShape = Field(description="What you had said")
    none_acceptable: bool
    rewrite: str | None = Field(description="What an expert wrote in place of unacceptable responses")
    pairs: list[DecidedPair]


@router.get("/history")
def list_history(
    user: Annotator, session: Reading, show: Shown = Shown.ALL, cursor: Cursor = None, limit: Limit = 50
) -> Page[Done]:
    """What you have ranked or handed back, newest first"""
    rows = outcomes.history(session, user.id, show, before=number_in(cursor), limit=limit + 1)
    decided = outcomes.outcomes(session, rows)
    return page_of(rows, limit, lambda row: _done(session, row, row.id in decided), lambda row: (row.id,))


@router.get("/history/{assignment_id}")
def get_decision(assignment: SeenAssignment, session: Reading) -> Decision:
    """How one of your turns was decided; 404 before that is final"""
    found = outcomes.outcomes(session, [assignment]).get(assignment.id)
    if found is None:
        raise Missing("How this turn was decided is not shown before that is final.")
    letters = letters_of(assignment.response_order)
    pairs = [_pair(each, found, letters) for each in found.settled]
    return Decision(
        assignment_id=assignment.id,
        turn=shown_turn(assignment.turn, assignment.response_order),
        ranking=write_order(found.own, letters),
        none_acceptable=found.none_acceptable,
        rewrite=found.rewrite,
        pairs=sorted(pairs, key=lambda pair: (pair.first, pair.second)),
    )


def _done(session: Reading, assignment: Assignment, decided: bool) -> Done:
    return Done(
        assignment_id=assignment.id,
        campaign_id=assignment.turn.campaign_id,
        state=assignment.state,
        finished_at=assignment.finished_at,
        correctable=rankings.correctable(assignment),
        decided=decided,
        ranking=own_order(session, assignment),
    )


def _pair(settled: SettledPair, outcome: Outcome, letters: dict[int, str]) -> DecidedPair:
    """The earlier letter first."""
    first, second = sorted(settled.pair, key=lambda response: letters[response])
    turned = first != settled.pair[0]

    def seen(relation: Relation | None) -> Relation | None:
        return relation.mirrored if relation is not None and turned else relation

    return DecidedPair(
        first=letters[first],
        second=letters[second],
        relation=seen(settled.relation),
        ability=settled.ability,
        own=seen(outcome.own.relations().get(settled.pair)),
        provenance=settled.provenance,
    )
