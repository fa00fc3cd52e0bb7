"""What adjudicators found unclear in the guideline, for the admin to answer."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from annotation.store import doubts
from app.deps import Admin, CampaignChanged, CampaignSeen, Reading, Writing
from app.render import page

router = APIRouter(prefix="/admin/campaigns/{campaign_id}/doubts")


@router.get("")
def show(request: Request, campaign: CampaignSeen, session: Reading) -> HTMLResponse:
    """What waits for an answer, and what was answered."""
    waiting, closed = doubts.open_doubts(session, campaign.id), doubts.closed_doubts(session, campaign.id)
    return page(request, "admin/doubts.html", campaign=campaign, waiting=waiting, closed=closed)


@router.post("/{doubt_id}/close")
def close(
    user: Admin, campaign: CampaignChanged, doubt_id: int, session: Writing, reply: Annotated[str, Form()] = ""
) -> Response:
    """Answers a doubt and closes it."""
    doubts.close(session, campaign.id, doubt_id, reply[:2000], actor_id=user.id)
    return RedirectResponse(f"/admin/campaigns/{campaign.id}/doubts", status_code=303)
