"""What somebody has ranked, and how it was decided once nothing can be changed any more."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from annotation.ranking import format_order
from annotation.store import rankings
from annotation.tables import Assignment
from app.deps import Annotator, Reading
from app.render import page

router = APIRouter()


@router.get("/history")
def history(request: Request, user: Annotator, session: Reading) -> HTMLResponse:
    """One's own rankings, newest first."""
    rows = [(done, _order(session, done), rankings.correctable(done)) for done in rankings.history(session, user.id)]
    return page(request, "rank/history.html", rows=rows)


def _order(session: Reading, assignment: Assignment) -> str:
    """The order as it was submitted, in the letters as this annotator saw them."""
    stored = rankings.latest(session, assignment.id)
    if stored is None:
        return ""
    ranking = rankings.read(stored)
    position = {response: place for place, response in enumerate(assignment.response_order)}
    return format_order(tuple(tuple(sorted(position[r] for r in group)) for group in ranking.groups))
