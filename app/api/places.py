"""Who is given which turns, for the admin's programs: limits, and places kept for somebody by name."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from annotation.store import limits, measuring, naming, turns
from annotation.tables import Turn
from app.api.shapes import Given, Words
from app.deps import Admin, CampaignChanged, CampaignSeen, Reading, Writing

router = APIRouter(tags=["places"])

Most = Field(None, ge=0, le=10**6, description="A number of turns; null: no limit")


class Limits(Given):
    """How much somebody may rank in a campaign."""

    most_a_day: int | None = Most
    most_in_all: int | None = Most


class NamedPlaceShape(BaseModel):
    """A place that is kept for somebody."""

    user_id: int
    taken: bool


class People(Given):
    """For whom a place is kept: one person, or two."""

    user_ids: list[int] = Field(min_length=1, max_length=2)


class ManyPlaces(People):
    """Of which turns: those of a department, or of dialogues by their ids."""

    department: Words = Field("", max_length=64)
    dialogues: list[Words] = Field(default_factory=list, max_length=naming.AT_ONCE)


class Gold(Given):
    """Whether people are measured by a turn."""

    gold: bool


class Named(BaseModel):
    """What was kept."""

    turns: int = Field(description="Of how many turns; those without room for these people stay as they are")


@router.put("/campaigns/{campaign_id}/members/{user_id}/limits")
def put_limits(user: Admin, campaign: CampaignChanged, user_id: int, session: Writing, given: Limits) -> Limits:
    """Say how much somebody may rank in a campaign."""
    told = given.model_dump()
    limits.set_limits(session, campaign, user_id, actor_id=user.id, **told)
    return given


@router.post("/campaigns/{campaign_id}/named-places")
def name_many(user: Admin, campaign: CampaignChanged, session: Writing, given: ManyPlaces) -> Named:
    """Keep places of many turns for one or two people."""
    named = naming.name_many(
        session,
        campaign,
        given.user_ids,
        department=given.department,
        dialogues=given.dialogues,
        actor_id=user.id,
    )
    return Named(turns=named)


@router.get("/campaigns/{campaign_id}/turns/{turn_id}/named-places")
def list_named(campaign: CampaignSeen, turn_id: int, session: Reading) -> list[NamedPlaceShape]:
    """For whom places of a turn are kept."""
    return _shown(session, turns.in_campaign(session, campaign.id, turn_id))


@router.post("/campaigns/{campaign_id}/turns/{turn_id}/named-places")
def name_place(
    user: Admin, campaign: CampaignChanged, turn_id: int, session: Writing, given: People
) -> list[NamedPlaceShape]:
    """Keep places of a turn for one or two people."""
    turn = turns.in_campaign(session, campaign.id, turn_id)
    naming.name(session, campaign, turn, given.user_ids, actor_id=user.id)
    return _shown(session, turn)


@router.delete("/campaigns/{campaign_id}/turns/{turn_id}/named-places/{user_id}", status_code=204)
def withdraw_place(user: Admin, campaign: CampaignChanged, turn_id: int, user_id: int, session: Writing) -> None:
    """No longer keep a place of a turn for somebody."""
    naming.withdraw(session, turns.in_campaign(session, campaign.id, turn_id), user_id, actor_id=user.id)


@router.put("/campaigns/{campaign_id}/turns/{turn_id}/gold")
def put_gold(user: Admin, campaign: CampaignChanged, turn_id: int, session: Writing, given: Gold) -> Gold:
    """Declare a settled turn gold, by which people are measured, or take that back."""
    turn = turns.in_campaign(session, campaign.id, turn_id)
    measuring.declare_gold(session, turn, gold=given.gold, actor_id=user.id)
    return given


def _shown(session: Reading, turn: Turn) -> list[NamedPlaceShape]:
    return [NamedPlaceShape(user_id=each.user_id, taken=each.taken) for each in naming.of_turn(session, turn.id)]
