"""The turns of a campaign, for the admin's programs, with all that was said about each."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from annotation.ranking import LETTERS, Ranking, Relation
from annotation.store import listing, measuring, places, rankings, turns
from annotation.tables import AssignmentState, SettledBy, Turn, TurnState
from annotation.tables import Ranking as StoredRanking
from app.api.paging import Cursor, Limit, Page, number_in, page_of
from app.api.shapes import AbilityNumber, Exchange, Letter, OrderShape, Words, write_order
from app.deps import CampaignSeen, Reading

router = APIRouter(tags=["turns"])

OWN_LETTERS = dict(enumerate(LETTERS))
"""As the turn holds its responses: response 0 is A."""


class TurnShape(BaseModel):
    """A turn, and where it stands."""

    id: int
    dialogue: str = Field(description="The dialogue's own id")
    number: int = Field(description="Which turn of the dialogue, from 1")
    department: str
    in_distribution: bool | None
    safety: bool
    priority: int
    gold: bool = Field(description="Whether people are measured by it")
    state: TurnState
    settled_by: SettledBy | None
    settled_at: datetime | None


class FullResponse(BaseModel):
    """A response, and which model gave it."""

    letter: str
    text: str
    model: str
    sampling: dict[str, Any]


class Holder(BaseModel):
    """Who has a place on the turn."""

    user_id: int
    name: str
    place: int | None
    state: AssignmentState


class GivenRanking(BaseModel):
    """What one annotator said, in the letters of the turn."""

    user_id: int
    version: int
    guideline_version: int
    submitted_at: datetime
    active_seconds: float
    note: str
    order: OrderShape


class SettledPairShape(BaseModel):
    """What is settled about a pair, and how it came to that."""

    first: Letter
    second: Letter
    relation: Relation | None = Field(description="null where the review policy left the pair unreviewed")
    ability: AbilityNumber | None = Field(description="What decides between them")
    provenance: str


class FullTurn(TurnShape):
    """A turn with everything that was said about it."""

    system: str | None
    history: list[Exchange]
    message: str
    reference_reply: str | None
    responses: list[FullResponse]
    holders: list[Holder]
    rankings: list[GivenRanking]
    settled_pairs: list[SettledPairShape] = Field(description="Empty until the turn is settled")
    rewrite: str | None


class LateRanking(BaseModel):
    """A ranking that came after its place was given to someone else: it is kept, and settles nothing."""

    id: int
    turn_id: int
    user_id: int
    submitted_at: datetime
    order: OrderShape


@router.get("/campaigns/{campaign_id}/turns")
def list_turns(
    campaign: CampaignSeen,
    session: Reading,
    state: TurnState | None = None,
    department: Annotated[Words | None, Query(max_length=64)] = None,
    dialogue: Annotated[Words | None, Query(max_length=128)] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[TurnShape]:
    """The turns of a campaign in the order of their import."""
    chosen = {"state": state, "department": department, "dialogue": dialogue}
    rows = listing.turns(session, campaign.id, number_in(cursor), limit + 1, **chosen)  # type: ignore[arg-type]
    return page_of(rows, limit, lambda row: TurnShape(**_facts(row)), lambda row: (row.id,))


@router.get("/campaigns/{campaign_id}/turns/{turn_id}")
def get_turn(campaign: CampaignSeen, turn_id: int, session: Reading) -> FullTurn:
    """One turn with everything that was said about it."""
    turn = turns.in_campaign(session, campaign.id, turn_id)
    rewrite = turns.rewrite_of(session, turn.id)
    settled = measuring.settled_pairs(session, turn) if turn.state is TurnState.SETTLED else []
    return FullTurn(
        **_facts(turn),
        system=turn.system,
        history=[Exchange(patient=patient, doctor=doctor) for patient, doctor in turn.history],
        message=turn.message,
        reference_reply=turn.reference_reply,
        responses=[
            FullResponse(letter=LETTERS[r.number], text=r.text, model=r.model, sampling=r.sampling)
            for r in turn.responses
        ],
        holders=[
            Holder(user_id=h.user_id, name=h.user.name, place=h.place, state=h.state)
            for h in places.holders(session, turn.id)
        ],
        rankings=[_given(each) for each in rankings.counting(session, turn.id)],
        settled_pairs=[
            SettledPairShape(
                first=LETTERS[each.pair[0]],
                second=LETTERS[each.pair[1]],
                relation=each.relation,
                ability=each.ability,
                provenance=each.provenance,
            )
            for each in settled
        ],
        rewrite=rewrite.text if rewrite else None,
    )


@router.get("/campaigns/{campaign_id}/late-rankings")
def list_late_rankings(
    campaign: CampaignSeen, session: Reading, cursor: Cursor = None, limit: Limit = 50
) -> Page[LateRanking]:
    """Rankings that came after their place was gone, newest first."""
    rows = listing.late_rankings(session, campaign.id, number_in(cursor), limit + 1)
    return page_of(rows, limit, _late, lambda row: (row.id,))


def _facts(turn: Turn) -> dict[str, Any]:
    names = set(TurnShape.model_fields) - {"dialogue"}
    return {name: getattr(turn, name) for name in names} | {"dialogue": turn.dialogue.external_id}


def _given(stored: StoredRanking) -> GivenRanking:
    return GivenRanking(
        user_id=stored.assignment.user_id,
        version=stored.version,
        guideline_version=stored.guideline.version,
        submitted_at=stored.created_at,
        active_seconds=stored.active_seconds,
        note=stored.note,
        order=_order(rankings.read(stored)),
    )


def _late(stored: StoredRanking) -> LateRanking:
    return LateRanking(
        id=stored.id,
        turn_id=stored.assignment.turn_id,
        user_id=stored.assignment.user_id,
        submitted_at=stored.created_at,
        order=_order(rankings.read(stored)),
    )


def _order(ranking: Ranking) -> OrderShape:
    return write_order(ranking, OWN_LETTERS)
