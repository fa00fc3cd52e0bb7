"""Calibration rounds, for the admin's programs: begun, revealed, closed, and the agreement before and after."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from annotation.comparison import figures
from annotation.measure_tables import CalibrationRound
from annotation.refusals import Missing
from annotation.store import calibration, campaigns
from app.api.shapes import Given, Words
from app.api.statistics import Figure, figures_of
from app.deps import Admin, CampaignChanged, CampaignSeen, Reading, Writing

router = APIRouter(tags=["places"])


class RoundShape(BaseModel):
    """A round: the same turns for everyone, ranked blind, revealed, ranked again."""

    id: int
    campaign_id: int
    name: str
    created_at: datetime
    revealed_at: datetime | None
    closed_at: datetime | None


class FullRound(RoundShape):
    """A round with how far it is and what came of it."""

    turns: int
    done: dict[int, int] = Field(description="Turns that each person, by id, has ranked blind")
    before: list[Figure] = Field(description="Agreement of each two people while it was blind")
    after: list[Figure] = Field(description="The same with what was ranked again")


class NewRound(Given):
    """A round to begin."""

    name: Words = Field(min_length=1, max_length=128)
    turns: int = Field(20, ge=1, le=calibration.MOST_TURNS, description="Drawn at random from those nobody has begun")


def round_seen(round_id: int, campaign: CampaignSeen, session: Reading) -> CalibrationRound:
    """A round of a campaign, to look at."""
    return _of(campaign.id, calibration.get(session, round_id))


def round_changed(round_id: int, campaign: CampaignChanged, session: Writing) -> CalibrationRound:
    """A round of a campaign, to change."""
    return _of(campaign.id, calibration.get(session, round_id))


RoundSeen = Annotated[CalibrationRound, Depends(round_seen)]
RoundChanged = Annotated[CalibrationRound, Depends(round_changed)]


@router.get("/campaigns/{campaign_id}/calibration")
def list_rounds(campaign: CampaignSeen, session: Reading) -> list[RoundShape]:
    """The calibration rounds of a campaign, newest first."""
    return [_shown(each) for each in calibration.every(session, campaign.id)]


@router.post("/campaigns/{campaign_id}/calibration", status_code=201)
def begin_round(user: Admin, campaign: CampaignChanged, session: Writing, given: NewRound) -> RoundShape:
    """Begin a calibration round."""
    begun = calibration.begin(session, campaign, given.name.strip(), given.turns, actor_id=user.id)
    session.flush()
    return _shown(begun)


@router.get("/campaigns/{campaign_id}/calibration/{round_id}")
def get_round(found: RoundSeen, session: Reading) -> FullRound:
    """One calibration round, with the agreement before and after."""
    cases = calibration.cases(session, found)
    k = campaigns.get(session, found.campaign_id).k
    before, after = (figures_of(figures(side, k).items()) for side in calibration.agreement(cases))
    done = dict(calibration.done(cases))
    return FullRound(**_shown(found).model_dump(), turns=len(cases), done=done, before=before, after=after)


@router.post("/campaigns/{campaign_id}/calibration/{round_id}/reveal")
def reveal_round(user: Admin, found: RoundChanged, session: Writing) -> RoundShape:
    """Show everyone's rankings to everyone."""
    calibration.reveal(session, found, actor_id=user.id)
    return _shown(found)


@router.post("/campaigns/{campaign_id}/calibration/{round_id}/close")
def close_round(user: Admin, found: RoundChanged, session: Writing) -> RoundShape:
    """End a round: its rankings can no longer be changed."""
    calibration.close(session, found, actor_id=user.id)
    return _shown(found)


def _of(campaign_id: int, found: CalibrationRound) -> CalibrationRound:
    if found.campaign_id != campaign_id:
        raise Missing("This calibration round does not exist.")
    return found


def _shown(found: CalibrationRound) -> RoundShape:
    return RoundShape(**{name: getattr(found, name) for name in RoundShape.model_fields})
