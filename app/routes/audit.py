"""Who did what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from annotation.store import audit
from app import events
from app.deps import Admin, Reading
from app.render import locale_of, page

router = APIRouter(prefix="/admin")

PAGE = 200


@router.get("/audit")
def list_events(
    request: Request, _user: Admin, session: Reading, before: Annotated[int | None, Query(ge=1)] = None
) -> HTMLResponse:
    """The newest events, or those before one of them."""
    found = audit.latest(session, PAGE + 1, before)
    known = audit.known(session, found[:PAGE])
    told = [events.told(event, known, locale_of(request)) for event in found[:PAGE]]
    older = found[PAGE - 1].id if len(found) > PAGE else None
    return page(request, "admin/audit.html", events=told, older=older)
