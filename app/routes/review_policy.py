"""Which differences a third expert settles: the choice, with what it would cost shown as it is made."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from annotation.review_policy import Policy, ReviewPolicy
from annotation.store import audits, policies
from annotation.tables import Campaign
from app.deps import Admin, CampaignChanged, CampaignSeen, Reading, Writing
from app.render import page

router = APIRouter(prefix="/admin/campaigns/{campaign_id}/review-policy")

Distance = Annotated[int, Form(ge=0, le=10)]
Percent = Annotated[float, Form(ge=0, le=100, allow_inf_nan=False)]


@router.get("")
def show(request: Request, campaign: CampaignSeen, session: Reading, settled: int | None = None) -> HTMLResponse:
    """The policy in force, and what each would cost."""
    return page(
        request,
        "admin/review_policy.html",
        **_context(session, campaign, Policy(campaign.review_policy, campaign.review_distance), campaign.audit_share),
        figures=audits.figures(session, campaign.id),
        settled=settled,
    )


@router.get("/cost")
def cost(
    request: Request,
    campaign: CampaignSeen,
    session: Reading,
    review_policy: ReviewPolicy,
    review_distance: Annotated[int, Query(ge=0, le=10)] = 1,
    audit_percent: Annotated[float, Query(ge=0, le=100, allow_inf_nan=False)] = 0.0,
) -> HTMLResponse:
    """What the choice would cost, before it is made."""
    chosen = Policy(review_policy, review_distance)
    return page(request, "admin/_review_policy.html", **_context(session, campaign, chosen, audit_percent / 100))


@router.post("")
def change(
    user: Admin,
    campaign: CampaignChanged,
    session: Writing,
    review_policy: Annotated[ReviewPolicy, Form()],
    review_distance: Distance = 1,
    audit_percent: Percent = 0.0,
) -> Response:
    """Sets the policy; turns that need no third expert under it are settled."""
    chosen = Policy(review_policy, review_distance)
    settled = policies.change(session, campaign, chosen, audit_share=audit_percent / 100, actor_id=user.id)
    return RedirectResponse(f"/admin/campaigns/{campaign.id}/review-policy?settled={settled}", status_code=303)


def _context(session: Any, campaign: Campaign, chosen: Policy, audit_share: float) -> dict[str, Any]:
    compared = [Policy(kind, chosen.distance) for kind in ReviewPolicy]
    return {
        "campaign": campaign,
        "chosen": chosen,
        "audit_share": audit_share,
        "projection": policies.project(session, campaign, compared, audit_share=audit_share),
    }
