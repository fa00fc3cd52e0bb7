"""Campaigns: their rules, guideline and members, and the turns in them."""

from __future__ import annotations

from datetime import date
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from annotation.people_tables import Role
from annotation.store import (
    calibration,
    campaigns,
    listing,
    naming,
    people,
    places,
    rankings,
    snapshots,
    statistics,
    turns,
)
from annotation.store.turns import Behind
from annotation.tables import PriorityRule, TurnOrder, TurnState
from app import figures
from app.deps import Admin, CampaignChanged, CampaignSeen, Reading, Writing
from app.render import locale_of, page

router = APIRouter(prefix="/admin/campaigns")

PAGE, MOST_LATE = 50, 1000


@router.get("/new")
def show_new(request: Request, _user: Admin, session: Reading) -> HTMLResponse:
    """The form for a new campaign."""
    annotators = [user for user in people.everybody(session) if user.role is Role.ANNOTATOR]
    return page(request, "admin/campaign_new.html", annotators=annotators)


@router.post("/new")
def create(
    user: Admin,
    session: Writing,
    name: Annotated[str, Form(max_length=128)],
    k: Annotated[int, Form(ge=2, le=5)] = 4,
    ties_allowed: Annotated[bool, Form()] = False,
    priority_rule: Annotated[PriorityRule, Form()] = PriorityRule.ENFORCE,
    guideline: Annotated[str, Form()] = "",
    rewrite_template: Annotated[str, Form()] = "",
    member: Annotated[list[int] | None, Form()] = None,
) -> Response:
    """Creates a campaign with those who rank in it."""
    created = campaigns.create(
        session,
        name.strip(),
        k=k,
        ties_allowed=ties_allowed,
        priority_rule=priority_rule,
        guideline=guideline.strip(),
        rewrite_template=rewrite_template.strip(),
        members=member or [],
        actor_id=user.id,
    )
    return RedirectResponse(f"/admin/campaigns/{created.id}", status_code=303)


@router.get("/{campaign_id}")
def show(request: Request, campaign: CampaignSeen, session: Reading) -> HTMLResponse:
    """A campaign: how far it is, its rules, its guideline, its members, its snapshots."""
    everybody = people.everybody(session)
    return page(
        request,
        "admin/campaign.html",
        campaign=campaign,
        progress=campaigns.progress(session, campaign.id),
        guideline=campaigns.guideline(session, campaign.id),
        annotators=[user for user in everybody if user.role is Role.ANNOTATOR],
        memberships=campaigns.memberships(session, campaign.id),
        orders=list(TurnOrder),
        rounds=calibration.every(session, campaign.id),
        snapshots=snapshots.every(session, campaign.id),
        late=listing.late_rankings(session, campaign.id, None, MOST_LATE),
    )


@router.post("/{campaign_id}/rules")
def change_rules(
    user: Admin,
    campaign: CampaignChanged,
    session: Writing,
    name: Annotated[str, Form(max_length=128)],
    ties_allowed: Annotated[bool, Form()] = False,
    open: Annotated[bool, Form()] = False,
    priority_rule: Annotated[PriorityRule, Form()] = PriorityRule.ENFORCE,
    rewrite_template: Annotated[str, Form()] = "",
    lease_minutes: Annotated[int, Form(ge=5, le=1440)] = 60,
) -> Response:
    """Changes the name, and the rules from now on; K stays, for the responses are there."""
    campaigns.change_rules(
        session,
        campaign,
        name=name.strip(),
        ties_allowed=ties_allowed,
        is_open=open,
        priority_rule=priority_rule,
        rewrite_template=rewrite_template.strip(),
        lease_minutes=lease_minutes,
        actor_id=user.id,
    )
    return RedirectResponse(f"/admin/campaigns/{campaign.id}", status_code=303)


@router.post("/{campaign_id}/guideline")
def revise_guideline(
    user: Admin, campaign: CampaignChanged, session: Writing, text: Annotated[str, Form()]
) -> Response:
    """A new version of the guideline."""
    campaigns.revise_guideline(session, campaign, text.strip().replace("\r\n", "\n"), actor_id=user.id)
    return RedirectResponse(f"/admin/campaigns/{campaign.id}#guideline", status_code=303)


@router.post("/{campaign_id}/members")
def set_members(
    user: Admin, campaign: CampaignChanged, session: Writing, member: Annotated[list[int] | None, Form()] = None
) -> Response:
    """Who ranks in the campaign."""
    annotators = {each.id for each in people.everybody(session) if each.role is Role.ANNOTATOR}
    campaigns.set_members(session, campaign, set(member or []) & annotators, actor_id=user.id)
    return RedirectResponse(f"/admin/campaigns/{campaign.id}#members", status_code=303)


def behind_a_figure(
    annotator: Annotated[list[int] | None, Query()] = None,
    ability: Annotated[int | None, Query(ge=1, le=9)] = None,
    department: Annotated[str | None, Query(max_length=64)] = None,
    depth: Annotated[int | None, Query(ge=1)] = None,
    source: Annotated[int | None, Query(ge=-1, le=1)] = None,
    week: Annotated[date | None, Query()] = None,
    guideline: Annotated[int | None, Query(ge=1)] = None,
    handed_back: Annotated[int, Query(ge=0)] = 0,
    calibration: Annotated[bool, Query()] = False,
) -> Behind:
    """Which turns a figure counts, as its link says."""
    return Behind(tuple(annotator or ()), ability, department, depth, source, week, guideline, handed_back, calibration)


@router.get("/{campaign_id}/turns")
def list_turns(
    request: Request,
    campaign: CampaignSeen,
    session: Reading,
    behind: Annotated[Behind, Depends(behind_a_figure)],
    state: Annotated[str, Query()] = "",
    after: Annotated[int, Query(ge=0)] = 0,
) -> HTMLResponse:
    """The turns behind a number."""
    wanted = TurnState(state) if state in set(TurnState) else None
    rows = turns.listed(session, campaign.id, wanted, after=after, limit=PAGE + 1, behind=behind)
    kept = [
        (name, value)
        for name, value in request.query_params.multi_items()
        if name not in ("state", "after", "calibration")
    ]
    return page(
        request,
        "admin/turns.html",
        campaign=campaign,
        state=wanted,
        behind=behind,
        kept=f"{urlencode(kept)}&" if kept else "",
        chosen=figures.chosen(kept, statistics.names(session), locale_of(request)),
        states=list(TurnState),
        turns=rows[:PAGE],
        rounds=calibration.rounds_of(session, rows),
        following=rows[PAGE - 1].id if len(rows) > PAGE else None,
        members=campaigns.members(session, campaign.id),
        departments=turns.departments(session, campaign.id),
    )


@router.get("/{campaign_id}/turns/{turn_id}")
def show_turn(request: Request, campaign: CampaignSeen, turn_id: int, session: Reading) -> HTMLResponse:
    """One turn with everything that was said about it."""
    turn = turns.in_campaign(session, campaign.id, turn_id)
    given = [(ranking, rankings.read(ranking)) for ranking in rankings.counting(session, turn.id)]
    return page(
        request,
        "admin/turn.html",
        campaign=campaign,
        turn=turn,
        round=calibration.rounds_of(session, [turn]).get(turn.id),
        holders=places.holders(session, turn.id),
        given=given,
        review=turns.review_of(session, turn.id),
        rewrite=turns.rewrite_of(session, turn.id),
        named=naming.of_turn(session, turn.id),
        members=campaigns.members(session, campaign.id),
    )
