"""What a campaign hands out to whom: the order of turns, limits, places kept for people, gold turns."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Response
from fastapi.responses import RedirectResponse

from annotation.refusals import Invalid
from annotation.store import campaigns, limits, measuring, naming, turns
from annotation.tables import TurnOrder
from app.deps import Admin, CampaignChanged, SubmittedForm, Writing

router = APIRouter(prefix="/admin/campaigns/{campaign_id}")

Percent = Annotated[float, Form(ge=0, le=100, allow_inf_nan=False)]
People = Annotated[list[int] | None, Form()]


@router.post("/handing-out")
def change(
    user: Admin,
    campaign: CampaignChanged,
    session: Writing,
    turn_order: Annotated[TurnOrder, Form()],
    random_share: Percent = 20,
    repeat_share: Percent = 0,
    gold_share: Percent = 0,
    repeat_after_days: Annotated[int, Form(ge=0, le=365)] = 14,
) -> Response:
    """Changes the order of turns and the shares that measure people."""
    campaigns.change_handing_out(
        session,
        campaign,
        turn_order=turn_order,
        random_share=random_share / 100,
        repeat_share=repeat_share / 100,
        repeat_after_days=repeat_after_days,
        gold_share=gold_share / 100,
        actor_id=user.id,
    )
    return _back(campaign.id, "#handing-out")


@router.post("/limits")
def limit(user: Admin, campaign: CampaignChanged, session: Writing, form: SubmittedForm) -> Response:
    """How much each person may rank."""
    for each in campaigns.memberships(session, campaign.id):
        limits.set_limits(
            session,
            campaign,
            each.user_id,
            most_a_day=_number(form.get(f"day-{each.user_id}")),
            most_in_all=_number(form.get(f"all-{each.user_id}")),
            actor_id=user.id,
        )
    return _back(campaign.id, "#limits")


@router.post("/named")
def name_many(
    user: Admin,
    campaign: CampaignChanged,
    session: Writing,
    person: People = None,
    department: Annotated[str, Form()] = "",
    dialogues: Annotated[str, Form()] = "",
) -> Response:
    """Keeps places of many turns for people."""
    naming.name_many(
        session, campaign, person or [], department=department, dialogues=dialogues.splitlines(), actor_id=user.id
    )
    return _back(campaign.id, "/turns#named")


@router.post("/turns/{turn_id}/named")
def name_one(user: Admin, campaign: CampaignChanged, turn_id: int, session: Writing, person: People = None) -> Response:
    """Keeps places of one turn for people."""
    naming.name(session, campaign, turns.in_campaign(session, campaign.id, turn_id), person or [], actor_id=user.id)
    return _back(campaign.id, f"/turns/{turn_id}#named")


@router.post("/turns/{turn_id}/named/{user_id}/withdraw")
def withdraw(user: Admin, campaign: CampaignChanged, turn_id: int, user_id: int, session: Writing) -> Response:
    """No longer keeps a place for somebody."""
    naming.withdraw(session, turns.in_campaign(session, campaign.id, turn_id), user_id, actor_id=user.id)
    return _back(campaign.id, f"/turns/{turn_id}#named")


@router.post("/turns/{turn_id}/gold")
def declare_gold(
    user: Admin, campaign: CampaignChanged, turn_id: int, session: Writing, gold: Annotated[bool, Form()]
) -> Response:
    """Declares a settled turn gold, or takes that back."""
    turn = turns.in_campaign(session, campaign.id, turn_id)
    measuring.declare_gold(session, turn, gold=gold, actor_id=user.id)
    return _back(campaign.id, f"/turns/{turn_id}#named")


def _back(campaign_id: int, where: str) -> Response:
    return RedirectResponse(f"/admin/campaigns/{campaign_id}{where}", status_code=303)


def _number(value: object) -> int | None:
    """A number of turns as a form says it; nothing means no limit."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not value.isdecimal() or len(value) > 9:
        raise Invalid("A limit is a number of turns, or empty for none.")
    return int(value)
