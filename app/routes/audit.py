"""Who did what."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from annotation.store import audit
from app.deps import Admin, Reading
from app.render import page

router = APIRouter(prefix="/admin")


@router.get("/audit")
def list_events(request: Request, _user: Admin, session: Reading) -> HTMLResponse:
    """The newest events."""
    return page(request, "admin/audit.html", events=audit.latest(session))
