"""Turns whose responses a reward model all scores low, for the admin's programs: seen, given out first, taken out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from annotation.store import scores
from annotation.tables import Turn, TurnState
from app.api.paging import Cursor, Limit, Page, page_of, score_in
from app.api.shapes import Given
from app.deps import Admin, CampaignChanged, CampaignSeen, Reading, Writing

router = APIRouter(tags=["turns"])

MOST_AT_ONCE = 500


class LowTurn(BaseModel):
    """A turn all of whose responses score low."""

    id: int
    dialogue: str = Field(description="The dialogue's own id")
    number: int = Field(description="Which turn of the dialogue, from 1")
    state: TurnState
    best_score: float = Field(description="The best of its responses' scores")
    score_spread: float = Field(description="Their standard deviation")


class LowScores(Page[LowTurn]):
    """A piece of what a scoring run flags, the lowest first."""

    run_id: int | None = Field(description="The run that flags them; null where no scoring run of the campaign is done")
    threshold: float | None = Field(description="The best score below which it does")
    count: int = Field(description="How many turns it flags in all")


class Chosen(Given):
    """Some turns of the campaign."""

    turn_ids: list[int] = Field(min_length=1, max_length=MOST_AT_ONCE)


class Changed(BaseModel):
    """What was done."""

    turns: int = Field(description="With how many of them; the others were not in a state for it")


@router.get("/campaigns/{campaign_id}/low-scores")
def list_low_scores(
    campaign: CampaignSeen,
    session: Reading,
    run_id: Annotated[int | None, Query(description="Of this scoring run; left out: the newest that is done")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> LowScores:
    """The turns all of whose responses a scoring run says are low, the lowest first."""
    flagging = scores.flagging(session, campaign.id, run_id)
    after = score_in(cursor)
    if flagging is None:
        return LowScores(items=[], next=None, run_id=None, threshold=None, count=0)
    rows = scores.flagged(session, flagging, after=after, limit=limit + 1)
    found = page_of(rows, limit, _shown, lambda row: (row.best_score or 0.0, row.id))
    count = scores.count_flagged(session, flagging)
    return LowScores(**dict(found), run_id=flagging.run_id, threshold=flagging.threshold, count=count)


@router.post("/campaigns/{campaign_id}/low-scores/raise")
def raise_low_scores(user: Admin, campaign: CampaignChanged, session: Writing, given: Chosen) -> Changed:
    """Have turns that wait for rankings given out before all others."""
    return Changed(turns=scores.raise_priority(session, campaign.id, given.turn_ids, actor_id=user.id))


@router.post("/campaigns/{campaign_id}/low-scores/withdraw")
def withdraw_low_scores(user: Admin, campaign: CampaignChanged, session: Writing, given: Chosen) -> Changed:
    """Take turns out of the work that are neither settled nor in review."""
    return Changed(turns=scores.withdraw(session, campaign.id, given.turn_ids, actor_id=user.id))


def _shown(turn: Turn) -> LowTurn:
    names = set(LowTurn.model_fields) - {"dialogue"}
    return LowTurn(**{name: getattr(turn, name) for name in names}, dialogue=turn.dialogue.external_id)
