"""What the admin sees first: how far everything is, and what wants attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from annotation.agreement import DoubleRanking, Estimate, summary
from annotation.store import campaigns, rankings, runs
from annotation.store.campaigns import Progress
from annotation.tables import Campaign, TurnState, User
from app.deps import Admin, CampaignSeen, Reading
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


@router.get("/campaigns/{campaign_id}/agreement")
def agreement(request: Request, campaign: CampaignSeen, session: Reading) -> HTMLResponse:
    """How far the annotators of a campaign agree, over all and pair by pair."""
    found = rankings.double_rankings(session, campaign.id)
    people = {user.id: user for user in campaigns.members(session, campaign.id)}
    doubles = [
        (
            frozenset((first.assignment.user_id, second.assignment.user_id)),
            DoubleRanking(turn.dialogue_id, rankings.read(first), rankings.read(second)),
        )
        for turn, first, second in found
    ]
    return page(
        request,
        "admin/agreement.html",
        campaign=campaign,
        figures=summary([double for _, double in doubles]),
        matrix=_matrix(doubles, list(people.values())),
        people=list(people.values()),
    )


def _matrix(
    doubles: Sequence[tuple[frozenset[int], DoubleRanking]], people: Sequence[User]
) -> dict[tuple[int, int], Estimate]:
    """Pair agreement of each two annotators, by their ids in both orders."""
    cells: dict[tuple[int, int], Estimate] = {}
    for one, other in combinations(people, 2):
        both = [double for pair, double in doubles if pair == {one.id, other.id}]
        figure = summary(both)["pair_agreement"]
        cells[one.id, other.id] = cells[other.id, one.id] = figure
    return cells


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
