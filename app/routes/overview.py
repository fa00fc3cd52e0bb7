"""What the admin sees first: how far everything is, and what wants attention."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from annotation.db import utcnow
from annotation.store import attention, campaigns, changes, runs, watched
from annotation.store.campaigns import Progress
from annotation.tables import OFTEN, Campaign, TurnState
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


@dataclass(frozen=True)
class Figures:
    """What the page counts, by campaign, whether a training worker is listening, and the mark of all that."""

    progress: Mapping[int, Progress]
    open_: Mapping[int, attention.Open]
    listening: bool
    mark: str


@router.get("")
def overview(request: Request, _user: Admin, session: Reading) -> HTMLResponse:
    """All campaigns, the newest runs, and the two or three things that want attention."""
    return page(request, "admin/overview.html", **_context(session, _figures(session)))


@router.get("/live")
def live(request: Request, _user: Watching, database: Data, mark: Mark = "") -> Response:
    """The same for a page that is open: nothing where everything is as at this mark."""
    with database.glancing() as session:
        figures = watched.lately(session, "overview", lambda: _figures(session))
    if figures.mark == mark:
        return Response(status_code=204)
    with database.reading() as session:
        return page(request, "admin/_overview.html", **_context(session, figures))


def _figures(session: Session) -> Figures:
    """The mark changes with what is counted, with whatever is done, with the runs, and with the hours of waiting."""
    every = [campaign.id for campaign in campaigns.every(session)]
    newest = [(run.id, run.state, run.phase, run.step) for run in runs.every(session, limit=RUNS)]
    listening, event = bool(runs.listening(session, TRAINING)), watched.newest_event(session)
    progress, open_ = campaigns.progress_of(session, every), attention.waiting_in(session, every)
    mark = changes.digest(progress, open_, newest, listening, event, f"{utcnow():%Y-%m-%d %H}")
    return Figures(progress, open_, listening, mark)


def _context(session: Session, figures: Figures) -> dict[str, Any]:
    every = [each for each in campaigns.every(session) if each.id in figures.progress]
    newest = runs.every(session, limit=RUNS)
    wanted = [
        each
        for campaign in every
        for each in _attention(campaign, figures.progress[campaign.id], figures.open_[campaign.id], utcnow())
    ]
    if any(run.live for run in newest) and not figures.listening:
        message = N_("A run waits, but no training worker is listening.")
        wanted.insert(0, Attention(message, {}, "/admin/runs", N_("Runs")))
    return {
        "mark": figures.mark,
        "campaigns": [(campaign, figures.progress[campaign.id]) for campaign in every],
        "runs": newest,
        "wanted": wanted[:MOST],
        "more_wanted": wanted[MOST:],
        "listening": figures.listening,
    }


def _attention(campaign: Campaign, progress: Progress, open_: attention.Open, now: datetime) -> Iterator[Attention]:
    """What wants attention in a campaign, what holds up others first."""
    base = f"/admin/campaigns/{campaign.id}"

    def say(message: str, href: str, action: str = N_("Look"), **counts: int) -> Attention:
        return Attention(message, {"name": campaign.name, **counts}, href, action)

    contested, unanswered = progress.count(TurnState.CONTESTED), progress.count(TurnState.NEEDS_RESPONSES)
    days = (now - open_.oldest).days if open_.oldest else 0
    if days >= LONG_DAYS:
        message = N_("{name}: {count} contested turns wait for an adjudicator, the oldest for {days} days.")
        yield say(message, f"{base}/turns?state=contested", count=contested, days=days)
    elif contested:
        message = N_("{name}: {count} contested turns wait for an adjudicator.")
        yield say(message, f"{base}/turns?state=contested", count=contested)
    if open_.doubts:
        message = N_("{name}: adjudicators found the guideline unclear in {count} places.")
        yield say(message, f"{base}/doubts", N_("Answer"), count=open_.doubts)
    if open_.handed_back:
        message = N_("{name}: {count} turns were handed back twice as not to be judged.")
        yield say(message, f"{base}/turns?handed_back={OFTEN}", count=open_.handed_back)
    if unanswered:
        message = N_("{name}: {count} turns have no responses yet.")
        yield say(message, "/admin/runs/new/generate", N_("Sample them"), count=unanswered)
    if open_.late:
        message = N_("{name}: {count} rankings came late this week; they are kept and settle nothing.")
        yield say(message, base, count=open_.late)
    if not progress.turns:
        yield say(N_("{name} has no dialogues yet."), f"{base}/import", N_("Import"))
