"""Turns whose responses a reward model all scores low: looked at, given out first, or taken out of the work."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from annotation.refusals import Invalid
from annotation.store import scores
from app.deps import Admin, CampaignChanged, CampaignSeen, Reading, Writing
from app.render import page

router = APIRouter(prefix="/admin/campaigns/{campaign_id}/low-scores")

PAGE = 50


@router.get("")
def show(
    request: Request,
    campaign: CampaignSeen,
    session: Reading,
    run: Annotated[int | None, Query(ge=1)] = None,
    best: Annotated[float | None, Query(allow_inf_nan=False)] = None,
    after: Annotated[int, Query(ge=0)] = 0,
    raised: Annotated[int | None, Query(ge=0)] = None,
    withdrawn: Annotated[int | None, Query(ge=0)] = None,
) -> HTMLResponse:
    """The turns that a scoring run flags, the lowest first; the newest run where none is named."""
    flagging = scores.flagging(session, campaign.id, run)
    behind = None if best is None else (best, after)
    rows = scores.flagged(session, flagging, after=behind, limit=PAGE + 1) if flagging else []
    return page(
        request,
        "admin/low_scores.html",
        campaign=campaign,
        flagging=flagging,
        count=scores.count_flagged(session, flagging) if flagging else 0,
        turns=rows[:PAGE],
        following=rows[PAGE - 1] if len(rows) > PAGE else None,
        raised=raised,
        withdrawn=withdrawn,
    )


@router.post("/{action}")
def act(
    user: Admin,
    campaign: CampaignChanged,
    session: Writing,
    action: Literal["raise", "withdraw"],
    run: Annotated[int, Form(ge=1)],
    turn: Annotated[list[int] | None, Form()] = None,
) -> Response:
    """Has the chosen turns given out first, or takes them out of the work."""
    if not turn:
        raise Invalid("Choose the turns first.")
    if action == "raise":
        said = f"raised={scores.raise_priority(session, campaign.id, turn, actor_id=user.id)}"
    else:
        said = f"withdrawn={scores.withdraw(session, campaign.id, turn, actor_id=user.id)}"
    return RedirectResponse(f"/admin/campaigns/{campaign.id}/low-scores?run={run}&{said}", status_code=303)
