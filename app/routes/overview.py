"""What the admin sees first: how far everything is, and what wants attention."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from annotation.agreement import DoubleRanking, pair_agreement_by, pair_agreement_by_ability, summary
from annotation.store import campaigns, rankings, runs
from annotation.store.campaigns import Progress
from annotation.tables import Campaign, Ranking, Turn, TurnState
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
    found = [
        (turn, _pair(first, second), _double(turn, first, second))
        for turn, first, second in rankings.double_rankings(session, campaign.id)
    ]
    doubles = [double for _, _, double in found]
    by_pair = pair_agreement_by((pair, double) for _, pair, double in found)
    return page(
        request,
        "admin/agreement.html",
        campaign=campaign,
        figures=summary(doubles),
        matrix={both: estimate for pair, estimate in by_pair.items() for both in (pair, pair[::-1])},
        people=campaigns.members(session, campaign.id),
        by_ability=pair_agreement_by_ability(doubles),
        by_department=pair_agreement_by((turn.department, double) for turn, _, double in found),
        by_depth=pair_agreement_by((turn.number, double) for turn, _, double in found),
        by_source=pair_agreement_by((turn.in_distribution, double) for turn, _, double in found),
    )


def _pair(first: Ranking, second: Ranking) -> tuple[int, int]:
    """The two annotators, whichever of the places each had."""
    one, other = sorted((first.assignment.user_id, second.assignment.user_id))
    return one, other


def _double(turn: Turn, first: Ranking, second: Ranking) -> DoubleRanking:
    return DoubleRanking(turn.dialogue_id, rankings.read(first), rankings.read(second))


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
