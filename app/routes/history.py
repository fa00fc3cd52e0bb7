"""What somebody has ranked, and how it was decided once nothing can be changed any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from annotation.adjudication import Case, order_of
from annotation.ranking import LETTERS, Ranking, pairs_of
from annotation.refusals import Missing
from annotation.store import outcomes, rankings
from annotation.tables import Assignment
from app.deps import Annotator, Reading, SeenAssignment
from app.forms import shown_order
from app.pictures import TwoOrders, two_orders
from app.render import page
from app.review_view import Letters, final_order, relation_text

router = APIRouter()

PAGE = 50


@router.get("/history")
def history(
    request: Request,
    user: Annotator,
    session: Reading,
    show: Annotated[str, Query()] = "all",
    before: Annotated[int | None, Query(ge=1)] = None,
) -> HTMLResponse:
    """One's own rankings, newest first."""
    shown = outcomes.Shown(show) if show in set(outcomes.Shown) else outcomes.Shown.ALL
    found = outcomes.history(session, user.id, shown, before=before, limit=PAGE + 1)
    decided = outcomes.outcomes(session, found[:PAGE])
    rows = [(done, _order(session, done), decided.get(done.id)) for done in found[:PAGE]]
    return page(
        request,
        "rank/history.html",
        rows=[(done, order, outcome, rankings.correctable(done)) for done, order, outcome in rows],
        shown=shown,
        choices=list(outcomes.Shown),
        following=found[PAGE - 1].id if len(found) > PAGE else None,
        behind=before is not None,
    )


@router.get("/history/{assignment_id}")
def decision(request: Request, assignment: SeenAssignment, session: Reading) -> HTMLResponse:
    """How one of them was decided, in the letters under which they saw it."""
    outcome = outcomes.outcomes(session, [assignment]).get(assignment.id)
    if outcome is None:
        raise Missing("How this turn was decided is not shown before that is final.")
    letters = {response: LETTERS[i] for i, response in enumerate(assignment.response_order)}
    k = assignment.turn.campaign.k
    return page(
        request,
        "rank/decision.html",
        turn=assignment.turn,
        campaign=assignment.turn.campaign,
        outcome=outcome,
        own=_in_letters(outcome.own.groups, letters),
        final=final_order(outcome.settled, letters, k),
        picture=_picture(outcome, letters, k),
        pairs=_pairs(outcome, letters),
        shown=[(letters[number], assignment.turn.responses[number]) for number in assignment.response_order],
    )


def _pairs(outcome: outcomes.Outcome, letters: Letters) -> list[dict[str, Any]]:
    """Each pair as it was settled, with what decided and what this annotator had said."""
    own, overturned = outcome.own.relations(), {each.pair for each in outcome.overturned}
    told = [
        {
            "text": relation_text(each.pair, each.relation, letters),
            "own": relation_text(each.pair, own[each.pair], letters) if each.pair in own else None,
            "ability": each.ability,
            "provenance": each.provenance,
            "overturned": each.pair in overturned,
        }
        for each in outcome.settled
    ]
    return sorted(told, key=lambda each: (not each["overturned"], str(each["text"])))


def _picture(outcome: outcomes.Outcome, letters: Letters, k: int) -> TwoOrders | None:
    """The own order beside the settled one; None where one of them is not whole."""
    if len(outcome.relations) < len(pairs_of(k)) or not outcome.own.has_order:
        return None
    settled = Ranking(order_of(outcome.relations, k))
    return two_orders([outcome.own, settled], letters, Case(k, outcome.own, settled))


def _order(session: Reading, assignment: Assignment) -> str:
    """The order as it was submitted, in the letters as this annotator saw them."""
    stored = rankings.latest(session, assignment.id)
    return "" if stored is None else shown_order(rankings.read(stored), assignment.response_order)


def _in_letters(groups: Sequence[Sequence[int]], letters: Letters) -> list[list[str]]:
    return [sorted(letters[r] for r in group) for group in groups]
