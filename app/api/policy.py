"""Which differences a third expert settles, and what adjudicators find unclear, for the admin's programs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from annotation.measure_tables import GuidelineDoubt
from annotation.review_policy import Policy, ReviewPolicy
from annotation.store import audits, doubts, listing, policies
from app.api.paging import Cursor, Limit, Page, number_in, page_of
from app.api.shapes import AbilityNumber, Given, Words
from app.deps import Admin, CampaignChanged, CampaignSeen, Reading, Writing

router = APIRouter(tags=["campaigns"])


class PolicyShape(Given):
    """Which differences between two rankings a third expert settles, and how many agreed turns are audited."""

    review_policy: ReviewPolicy
    review_distance: int = Field(1, ge=0, le=10, description="Contested pairs that stay unreviewed under a distance")
    audit_share: float = Field(0.0, ge=0, le=1)


class PolicyChanged(PolicyShape):
    """The policy in force from now on."""

    settled: int = Field(description="Turns that waited and need no third expert any more")


class AuditsShape(BaseModel):
    """What the blind audits of a campaign found."""

    drawn: int = Field(description="Agreed turns that were drawn")
    done: int
    differed: int = Field(description="Of those that are done, how many the auditor saw otherwise at first")
    wrong: int = Field(description="How many were overturned")
    pairs: int = Field(description="Agreed pairs in those that are done")
    pairs_differed: int = Field(description="Of those pairs, how many the auditor ordered otherwise")


class PolicyInForce(PolicyShape):
    """The policy in force, and what its audits found so far."""

    audits: AuditsShape


class CostShape(BaseModel):
    """What a policy leaves to third experts from now on: expected numbers."""

    review_policy: ReviewPolicy
    review_distance: int
    share: float = Field(description="Of the turns with two rankings, how many a third expert sees")
    turns: float = Field(description="Turns to review, of those that wait and those still to be ranked")
    questions: float
    audits: float = Field(description="Blind audits of agreed turns")
    hours: float | None = Field(description="null where no review was measured yet")
    settles: int = Field(description="Turns that wait now and would be settled at once")


class CostsShape(BaseModel):
    """What every policy would cost, and on what that rests."""

    costs: list[CostShape]
    seen: int = Field(description="The latest turns with two rankings, from which it is projected")
    coming: int = Field(description="Turns still to be ranked")
    waiting: int = Field(description="Turns that wait for a third expert")
    seconds_a_turn: float | None = Field(description="The median of a review; null where none was measured yet")


class DoubtShape(BaseModel):
    """What an adjudicator found unclear about an ability."""

    id: int
    turn_id: int
    guideline_version: int
    author_id: int
    ability: AbilityNumber
    note: str
    reply: str
    created_at: datetime
    closed_at: datetime | None = Field(description="null while it waits for an answer")


class Reply(Given):
    """What the admin answers."""

    reply: Words = Field("", max_length=2000)


@router.get("/campaigns/{campaign_id}/review-policy/cost")
def get_costs(
    campaign: CampaignSeen,
    session: Reading,
    review_distance: Annotated[int | None, Query(ge=0, le=10, description="Left out: that in force")] = None,
    audit_share: Annotated[float | None, Query(ge=0, le=1, description="Left out: that in force")] = None,
) -> CostsShape:
    """What each review policy would cost, by the campaign's own rankings."""
    distance = campaign.review_distance if review_distance is None else review_distance
    compared = [Policy(kind, distance) for kind in ReviewPolicy]
    found = policies.project(session, campaign, compared, audit_share=audit_share)
    return CostsShape(
        costs=[_cost(each) for each in found.costs],
        seen=found.seen,
        coming=found.coming,
        waiting=found.waiting,
        seconds_a_turn=found.seconds_a_turn,
    )


@router.get("/campaigns/{campaign_id}/review-policy")
def get_policy(campaign: CampaignSeen, session: Reading) -> PolicyInForce:
    """The review policy in force, and what its blind audits found."""
    found = audits.figures(session, campaign.id)
    return PolicyInForce(
        **{name: getattr(campaign, name) for name in PolicyShape.model_fields},
        audits=AuditsShape(**{name: getattr(found, name) for name in AuditsShape.model_fields}),
    )


@router.put("/campaigns/{campaign_id}/review-policy")
def put_policy(user: Admin, campaign: CampaignChanged, session: Writing, given: PolicyShape) -> PolicyChanged:
    """Set the review policy; waiting turns that need no third expert under it are settled."""
    chosen = Policy(given.review_policy, given.review_distance)
    settled = policies.change(session, campaign, chosen, audit_share=given.audit_share, actor_id=user.id)
    return PolicyChanged(**given.model_dump(), settled=settled)


@router.get("/campaigns/{campaign_id}/doubts")
def list_doubts(
    campaign: CampaignSeen,
    session: Reading,
    closed: Annotated[bool | None, Query(description="Only those that are closed, or only the others")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[DoubtShape]:
    """What adjudicators found unclear in the guideline, newest first."""
    rows = listing.doubts(session, campaign.id, closed, number_in(cursor), limit + 1)
    return page_of(rows, limit, _shown, lambda row: (row.id,))


@router.post("/campaigns/{campaign_id}/doubts/{doubt_id}/close", status_code=204)
def close_doubt(user: Admin, campaign: CampaignChanged, doubt_id: int, session: Writing, given: Reply) -> None:
    """Answer a doubt and close it."""
    doubts.close(session, campaign.id, doubt_id, given.reply, actor_id=user.id)


def _cost(found: policies.Cost) -> CostShape:
    numbers = set(CostShape.model_fields) - {"review_policy", "review_distance"}
    policy = found.policy
    told = {name: getattr(found, name) for name in numbers}
    return CostShape(review_policy=policy.kind, review_distance=policy.distance, **told)


def _shown(doubt: GuidelineDoubt) -> DoubtShape:
    names = set(DoubtShape.model_fields) - {"guideline_version"}
    return DoubtShape(**{n: getattr(doubt, n) for n in names}, guideline_version=doubt.guideline.version)
