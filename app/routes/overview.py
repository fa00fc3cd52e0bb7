"""What the admin sees first: how far everything is, and what wants attention."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from annotation.db import utcnow
from annotation.store import attention, campaigns, changes, runs, watched
from annotation.store.campaigns import Progress
from annotation.tables import Campaign, TurnState
from app.deps import Admin, Data, Reading
from app.render import page
from app.watching import Mark, Watching
from app.words import N_
from workers.queue import TRAINING

router = APIRouter(prefix="/admin")

MOST = 3
"""So many things are shown at once; the others open with a click."""

RUNS = 5
"""So many of the newest runs are shown."""

LONG_DAYS = 3
"""A contested turn that waits so long is late."""


@dataclass(frozen=True)
class Attention:
    """Something to look at, with its action; ``parts`` fill the sentence's places."""

    message: str
    parts: dict[str, object]
    href: str
    action: str


@router.get("")
def overview(request: Request, _user: Admin, session: Reading) -> HTMLResponse:
    """All campaigns, the newest runs, and the two or three things that want attention."""
    return page(request, "admin/overview.html", **_context(session))


@router.get("/live")
def live(request: Request, _user: Watching, database: Data, mark: Mark = "") -> Response:
    """The same for a page that is open: nothing where everything is as at this mark."""
    with database.glancing() as session:
        if watched.lately(session, "overview", lambda: _mark(session)) == mark:
            return Response(status_code=204)
    with database.reading() as session:
        return page(request, "admin/_overview.html", **_context(session))


def _mark(session: Session) -> str:
    """Changes with every campaign, with whatever is done, with the runs, and with the hours that the page counts in."""
    newest = [(run.id, run.state, run.phase, run.step) for run in runs.every(session, limit=RUNS)]
    listening = bool(runs.listening(session, TRAINING))
    every = [changes.stamp(session, campaign.id).mark for campaign in campaigns.every(session)]
    return changes.digest(every, newest, listening, watched.newest_event(session), f"{utcnow():%Y-%m-%d %H}")


def _context(session: Session) -> dict[str, Any]:
    every = [(campaign, campaigns.progress(session, campaign.id)) for campaign in campaigns.every(session)]
    newest = runs.every(session, limit=RUNS)
    listening = runs.listening(session, TRAINING)
    wanted = [
        each
        for campaign, progress in every
        for each in _attention(campaign, progress, attention.waiting(session, campaign.id), utcnow())
    ]
    if any(run.live for run in newest) and not listening:
        message = N_("A run waits, but no training worker is listening.")
        wanted.insert(0, Attention(message, {}, "/admin/runs", N_("Runs")))
    return {
        "mark": _mark(session),
        "campaigns": every,
        "runs": newest,
        "wanted": wanted[:MOST],
        "more_wanted": wanted[MOST:],
        "listening": listening,
    }


def _attention(campaign: Campaign, progress: Progress, open_: attention.Open, now: datetime) -> list[Attention]:
    """What wants attention in a campaign, what holds up others first."""
    base = f"/admin/campaigns/{campaign.id}"
    contested, unanswered = progress.count(TurnState.CONTESTED), progress.count(TurnState.NEEDS_RESPONSES)
    days = (now - open_.oldest).days if open_.oldest else 0
    found = [
        (
            days >= LONG_DAYS,
            N_("{name}: {count} contested turns wait for an adjudicator, the oldest for {days} days."),
            {"count": contested, "days": days},
            f"{base}/turns?state=contested",
            N_("Look"),
        ),
        (
            contested and days < LONG_DAYS,
            N_("{name}: {count} contested turns wait for an adjudicator."),
            {"count": contested},
            f"{base}/turns?state=contested",
            N_("Look"),
        ),
        (
            open_.doubts,
            N_("{name}: adjudicators found the guideline unclear in {count} places."),
            {"count": open_.doubts},
            f"{base}/doubts",
            N_("Answer"),
        ),
        (
            open_.handed_back,
            N_("{name}: {count} turns were handed back twice as not to be judged."),
            {"count": open_.handed_back},
            f"{base}/turns?handed_back={attention.OFTEN}",
            N_("Look"),
        ),
        (
            unanswered,
            N_("{name}: {count} turns have no responses yet."),
            {"count": unanswered},
            "/admin/runs/new/generate",
            N_("Sample them"),
        ),
        (
            open_.late,
            N_("{name}: {count} rankings came late this week; they are kept and settle nothing."),
            {"count": open_.late},
            base,
            N_("Look"),
        ),
        (not progress.turns, N_("{name} has no dialogues yet."), {}, f"{base}/import", N_("Import")),
    ]
    return [
        Attention(message, {"name": campaign.name, **parts}, href, action)
        for holds, message, parts, href, action in found
        if holds
    ]
