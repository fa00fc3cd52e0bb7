"""The turns of a campaign, for the admin's programs, with all that was said about each."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from annotation.ranking import LETTERS, Ranking, Relation
from annotation.review_tables import Adjudication, ReviewKind, ReviewState
from annotation.store import calibration, listing, measuring, places, rankings, turns
from annotation.store.turns import Behind
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


class ReviewOfTurn(BaseModel):
    """A third expert's work on the turn."""

    id: int
    kind: ReviewKind
    adjudicator_id: int
    state: ReviewState
    created_at: datetime
    decided_at: datetime | None
    overturned: bool = Field(description="Whether what both annotators agree on was opened again or overturned")
    reason: str = Field(description="Why, where it was")


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
    review: ReviewOfTurn | None = Field(description="The third expert's work on it that is open or decided")
    calibration_round_id: int | None = Field(description="The round that the turn is in, if any")


class LateRanking(BaseModel):
    """A ranking that came after its place was given to someone else: it is kept, and settles nothing."""

    id: int
    turn_id: int
    user_id: int
    submitted_at: datetime
    order: OrderShape


SOURCES = {"in": 1, "out": 0, "unstated": -1}


Holders = Annotated[list[int] | None, Query(max_length=2, description="Who holds a place on it: one, or both")]
Contested = Annotated[int | None, Query(ge=1, le=9, description="The most important that decides a contested pair")]


def counted(
    annotator_id: Holders = None,
    ability: Contested = None,
    department: Annotated[Words | None, Query(max_length=64)] = None,
    depth: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Which turn of its dialogue it is")] = None,
    source: Annotated[Literal["in", "out", "unstated"] | None, Query(description="In or out of distribution")] = None,
    week: Annotated[date | None, Query(description="The Monday, in UTC, of the week of its last ranking")] = None,
    guideline_version: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="That it was ranked under")] = None,
    handed_back: Annotated[int, Query(ge=0, le=2, description="So often or more")] = 0,
    calibration: Annotated[bool, Query(description="Only those of a calibration round")] = False,
) -> Behind:
    """The turns that a figure of the statistics counts."""
    return Behind(
        annotators=tuple(annotator_id or ()),
        ability=ability,
        department=department,
        depth=depth,
        source=None if source is None else SOURCES[source],
        week=week,
        guideline=guideline_version,
        handed_back=handed_back,
        calibration=calibration,
    )


@router.get("/campaigns/{campaign_id}/turns")
def list_turns(
    campaign: CampaignSeen,
    session: Reading,
    behind: Annotated[Behind, Depends(counted)],
    state: TurnState | None = None,
    dialogue: Annotated[Words | None, Query(max_length=128)] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[TurnShape]:
    """The turns of a campaign in the order of their import, or those behind a figure of its statistics."""
    before = number_in(cursor)
    rows = listing.turns(session, campaign.id, before, limit + 1, state=state, dialogue=dialogue, behind=behind)
    return page_of(rows, limit, lambda row: TurnShape(**_facts(row)), lambda row: (row.id,))


@router.get("/campaigns/{campaign_id}/turns/{turn_id}")
def get_turn(campaign: CampaignSeen, turn_id: int, session: Reading) -> FullTurn:
    """One turn with everything that was said about it."""
    turn = turns.in_campaign(session, campaign.id, turn_id)
    rewrite, review = turns.rewrite_of(session, turn.id), turns.review_of(session, turn.id)
    held_in = calibration.rounds_of(session, [turn]).get(turn.id)
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
        review=_review(review) if review else None,
        calibration_round_id=held_in.id if held_in else None,
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


def _review(review: Adjudication) -> ReviewOfTurn:
    names = set(ReviewOfTurn.model_fields) - {"overturned", "reason"}
    reason = review.decisions.get("unlocked_because", "")
    return ReviewOfTurn(**{name: getattr(review, name) for name in names}, overturned=bool(reason), reason=reason)


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
