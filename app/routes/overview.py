"""What the admin sees first: how far everything is, and what wants attention."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from annotation.store import campaigns, runs
from annotation.store.campaigns import Progress
from annotation.tables import Campaign, TurnState
from app.deps import Admin, Reading
from app.render import page
from app.words import N_
from workers.queue import TRAINING

router = APIRouter(prefix="/admin")


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
    every = [(campaign, campaigns.progress(session, campaign.id)) for campaign in campaigns.every(session)]
    newest = runs.every(session, limit=5)
    listening = runs.listening(session, TRAINING)
    wanted = [attention for campaign, progress in every for attention in _attention(campaign, progress)]
    if any(run.live for run in newest) and not listening:
        message = N_("A run waits, but no training worker is listening.")
        wanted.insert(0, Attention(message, {}, "/admin/runs", N_("Runs")))
    return page(request, "admin/overview.html", campaigns=every, runs=newest, wanted=wanted[:3], listening=listening)


def _attention(campaign: Campaign, progress: Progress) -> list[Attention]:
    found = []
    contested = progress.count(TurnState.CONTESTED)
    if contested:
        message = N_("{name}: {count} contested turns wait for an adjudicator.")
        where = f"/admin/campaigns/{campaign.id}/turns?state=contested"
        found.append(Attention(message, {"name": campaign.name, "count": contested}, where, N_("Look")))
    waiting = progress.count(TurnState.NEEDS_RESPONSES)
    if waiting:
        message = N_("{name}: {count} turns have no responses yet.")
        found.append(
            Attention(message, {"name": campaign.name, "count": waiting}, "/admin/runs/new/generate", N_("Sample them"))
        )
    if not progress.turns:
        message = N_("{name} has no dialogues yet.")
        found.append(
            Attention(message, {"name": campaign.name}, f"/admin/campaigns/{campaign.id}/import", N_("Import"))
        )
    return found
