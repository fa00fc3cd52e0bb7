"""Who is given which turns, for the admin's programs: limits, and places kept for somebody by name."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from annotation.refusals import Missing
from annotation.store import limits, naming, turns
from annotation.tables import Campaign, Turn
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
    return _shown(session, _turn(session, campaign, turn_id))


@router.post("/campaigns/{campaign_id}/turns/{turn_id}/named-places")
def name_place(
    user: Admin, campaign: CampaignChanged, turn_id: int, session: Writing, given: People
) -> list[NamedPlaceShape]:
    """Keep places of a turn for one or two people."""
    turn = _turn(session, campaign, turn_id)
    naming.name(session, campaign, turn, given.user_ids, actor_id=user.id)
    return _shown(session, turn)


@router.delete("/campaigns/{campaign_id}/turns/{turn_id}/named-places/{user_id}", status_code=204)
def withdraw_place(user: Admin, campaign: CampaignChanged, turn_id: int, user_id: int, session: Writing) -> None:
    """No longer keep a place of a turn for somebody."""
    naming.withdraw(session, _turn(session, campaign, turn_id), user_id, actor_id=user.id)


def _turn(session: Reading, campaign: Campaign, turn_id: int) -> Turn:
    turn = turns.get(session, turn_id)
    if turn.campaign_id != campaign.id:
        raise Missing("This turn does not exist.")
    return turn


def _shown(session: Reading, turn: Turn) -> list[NamedPlaceShape]:
    return [NamedPlaceShape(user_id=each.user_id, taken=each.taken) for each in naming.of_turn(session, turn.id)]
