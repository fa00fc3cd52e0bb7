"""Which differences a third expert settles: the choice, with what it would cost shown as it is made."""

from __future__ import annotations

import math
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from annotation.refusals import Invalid
from annotation.review_policy import Policy, ReviewPolicy
from annotation.store import audits, policies
from annotation.tables import Campaign
from app.deps import Admin, CampaignChanged, CampaignSeen, Reading, Writing
from app.render import page

router = APIRouter(prefix="/admin/campaigns/{campaign_id}/review-policy")

MOST_PAIRS = 10


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
    review_distance: str = "",
    audit_percent: str = "",
) -> HTMLResponse:
    """What the choice would cost, before it is made; what is wrong with it stands where its cost would."""
    try:
        chosen, share = _read(review_policy, review_distance, audit_percent)
    except Invalid as error:
        return page(request, "admin/_review_policy.html", refused=error.message)
    return page(request, "admin/_review_policy.html", **_context(session, campaign, chosen, share))


@router.post("")
def change(
    user: Admin,
    campaign: CampaignChanged,
    session: Writing,
    review_policy: Annotated[ReviewPolicy, Form()],
    review_distance: Annotated[str, Form()] = "",
    audit_percent: Annotated[str, Form()] = "",
) -> Response:
    """Sets the policy; turns that need no third expert under it are settled."""
    chosen, share = _read(review_policy, review_distance, audit_percent)
    settled = policies.change(session, campaign, chosen, audit_share=share, actor_id=user.id)
    return RedirectResponse(f"/admin/campaigns/{campaign.id}/review-policy?settled={settled}", status_code=303)


def _read(kind: ReviewPolicy, distance: str, percent: str) -> tuple[Policy, float]:
    """The policy and the share of audits that the form says; raises Invalid with what to mend."""
    if not distance.isdecimal() or len(distance) > 2 or int(distance) > MOST_PAIRS:
        raise Invalid("How many contested pairs stay unreviewed is a whole number from 0 to 10.")
    try:
        share = float(percent) / 100
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise Invalid("The share of agreed turns that are audited is a number from 0 to 100.")
    return Policy(kind, int(distance)), share


def _context(session: Any, campaign: Campaign, chosen: Policy, audit_share: float) -> dict[str, Any]:
    compared = [Policy(kind, chosen.distance) for kind in ReviewPolicy]
    return {
        "refused": "",
        "campaign": campaign,
        "chosen": chosen,
        "audit_share": audit_share,
        "projection": policies.project(session, campaign, compared, audit_share=audit_share),
    }
