"""Ranking, for an annotator's programs: the next turn, its draft, its ranking."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from annotation.abilities import Contradiction, Fault
from annotation.mending import mend, mend_all
from annotation.ranking import Ranking
from annotation.refusals import Conflict, Invalid
from annotation.store import calibration, campaigns, guidelines, places, rankings
from annotation.store.rankings import Submission
from annotation.tables import Assignment, AssignmentState, Guideline
from app import forms
from app.api.problems import FieldProblem, ProblemError, say
from app.api.shapes import Given, OrderShape, ShownTurn, Words, letters_of, read_order, shown_turn, write_order
from app.deps import Annotator, CampaignRankedIn, OwnAssignment, Reading, SeenAssignment, Writing
from app.words import N_

router = APIRouter(tags=["ranking"])

OBJECTED = N_("The ranking was not kept: mend what is listed under errors, and send it again.")
UNNAMED = N_("Name the ability that decides below group {number}.")
TIES = N_("This campaign allows no ties: put every response in a group of its own.")
FAULTS = {
    Fault.UPPER_IS_MARKED: N_(
        "{upper} stands above {lower}, but has a fault in ability {ability}, which is no less important than what "
        "decides there: move it down, or take the mark off."
    ),
    Fault.MARK_MUST_DECIDE: N_(
        "{lower} has a fault in ability {ability}, which is more important than what decides above it: let that "
        "ability decide, or take the mark off."
    ),
    Fault.TIED_BUT_MARKED_DIFFERENTLY: N_(
        "{upper} and {lower} are level, but only {lower} has a fault in ability {ability}: move it down, or mark both "
        "alike."
    ),
}


class Work(BaseModel):
    """A campaign in which you rank."""

    campaign_id: int
    name: str
    k: int = Field(description="Responses a turn")
    ties_allowed: bool
    left: int = Field(description="Turns that you could still be given")


class WhyNothing(BaseModel):
    """Why you would be given no turn."""

    why: places.Nothing = Field(
        description="kept: what is left is held by others or kept for them; done: all is ranked"
    )


class GuidelineShape(BaseModel):
    """The guideline in force."""

    version: int
    text: str
    created_at: datetime


class GuidelineShown(GuidelineShape):
    """The guideline in force, beside the version that you know."""

    before: GuidelineShape | None = Field(description="What you were shown last, where that was another version")


class GuidelineRead(Given):
    """What you have read."""

    version: int = Field(ge=1, le=2**31 - 1)


class AssignmentShape(BaseModel):
    """Your place on a turn, with the responses in an order of your own."""

    id: int
    campaign_id: int
    state: AssignmentState
    correctable: bool = Field(description="Whether a ranking, or another version of it, would be taken")
    round: int | None = Field(description="The calibration round that you rank again, since it was revealed")
    turn: ShownTurn
    ranking: OrderShape | None = Field(description="What you have submitted, in its latest version")


class DraftShape(BaseModel):
    """An unfinished form, as the browser keeps it."""

    revision: int
    fields: dict[str, str | list[str]]
    updated_at: datetime | None


Marks = Annotated[list[Annotated[Words, Field(max_length=2)]], Field(max_length=9)]
FieldName = Annotated[str, Field(max_length=40, pattern="^[a-z0-9-]+$")]


class InLetters(Given):
    """What is said in the letters of a turn; they change once, when its calibration round is revealed."""

    round: int | None = Field(None, description="The `round` that the turn came with")


class DraftGiven(InLetters):
    """The form as it stands: `place-a` a group's number, `ability-1`, `strength-1`, `fault-a`, `none`, `note`."""

    revision: int = Field(ge=0, le=2**31 - 1, description="The revision that you have read or saved last; 0 at first")
    fields: dict[FieldName, Annotated[Words, Field(max_length=2000)] | Marks] = Field(max_length=60)


class RankingGiven(OrderShape, InLetters):
    """A ranking to keep."""

    key: Words = Field(
        min_length=16,
        max_length=64,
        description="Yours for this submission: sent again, it is kept once",
        examples=["6f1c8a52-0c4e-4d8e-9a57-2f4b1f6f0c11"],
    )
    note: Words = Field("", max_length=2000)
    active_seconds: float = Field(0, ge=0, le=4 * 3600, description="How long somebody worked on it")
    confirmed: bool = Field(False, description="Keep it although the rule objects, where the campaign only warns")


class KeptRanking(BaseModel):
    """What was kept."""

    assignment_id: int
    version: int
    late: bool = Field(description="It came after its place was given to someone else: it is kept, and settles nothing")
    submitted_at: datetime


class CannotJudge(Given):
    """Why a turn is handed back."""

    reason: Words = Field(min_length=1, max_length=1000)


@router.get("/ranking/campaigns")
def list_work(user: Annotator, session: Reading) -> list[Work]:
    """The campaigns in which you rank, and what is left for you"""
    return [
        Work(
            campaign_id=each.id,
            name=each.name,
            k=each.k,
            ties_allowed=each.ties_allowed,
            left=places.left_for(session, user, each),
        )
        for each in campaigns.campaigns_of(session, user.id)
    ]


@router.get("/ranking/campaigns/{campaign_id}/guideline")
def get_guideline(campaign: CampaignRankedIn, user: Annotator, session: Reading) -> GuidelineShown:
    """The guideline by which you rank, beside the version that you know"""
    found, known = campaigns.guideline(session, campaign.id), guidelines.last_read(session, user.id, campaign.id)
    before = show_guideline(known) if known is not None and known.version != found.version else None
    return GuidelineShown(**show_guideline(found).model_dump(), before=before)


@router.post("/ranking/campaigns/{campaign_id}/guideline/read", status_code=204)
def read_guideline(campaign: CampaignRankedIn, user: Annotator, session: Writing, given: GuidelineRead) -> None:
    """Say that you were shown a version of the guideline; your next rankings name it"""
    guidelines.note_reading(session, user, guidelines.version(session, campaign.id, given.version))


@router.post("/ranking/campaigns/{campaign_id}/next", responses={204: {"description": "Nothing is left for you."}})
def reserve_next(
    campaign: CampaignRankedIn, user: Annotator, session: Writing, response: Response
) -> AssignmentShape | None:
    """Reserve the next turn: the one you hold, else a new one; 204 where nothing is left

    The first one goes by the guideline in force. It answers 409 once there is a newer version than the one you know:
    get it, and say that you read it.
    """
    known, current = guidelines.standing(session, user.id, campaign.id)
    if known is not None and known != current:
        raise Conflict("There is a new version of the guideline: get it, and say that you read it.")
    assignment = places.reserve_next(session, user, campaign)
    if assignment is None:
        response.status_code = 204
        return None
    if known is None:
        guidelines.note_reading(session, user, guidelines.version(session, campaign.id, current))
    session.flush()
    return _shown(session, assignment)


@router.get("/ranking/campaigns/{campaign_id}/why-nothing")
def get_why_nothing(campaign: CampaignRankedIn, user: Annotator, session: Reading) -> WhyNothing:
    """Why nothing was left, after `next` gave no turn"""
    return WhyNothing(why=places.why_nothing(session, user, campaign))


@router.get("/assignments/{assignment_id}")
def get_assignment(assignment: SeenAssignment, session: Reading) -> AssignmentShape:
    """One of your turns"""
    return _shown(session, assignment)


@router.get("/assignments/{assignment_id}/draft")
def get_draft(assignment: SeenAssignment, session: Reading) -> DraftShape:
    """The saved draft; revision 0 and no fields where there is none"""
    draft = rankings.draft_of(session, assignment.id)
    if draft is None:
        return DraftShape(revision=0, fields={}, updated_at=None)
    return DraftShape(revision=draft.revision, fields=draft.body, updated_at=draft.updated_at)


@router.put("/assignments/{assignment_id}/draft")
def put_draft(assignment: OwnAssignment, session: Writing, given: DraftGiven) -> DraftShape:
    """Save a draft, and keep the place"""
    forms.require_round(given.round, calibration.revealed_round(session, assignment))
    fields = dict(given.fields)
    rankings.save_draft(session, assignment, given.revision, fields)
    session.flush()
    return get_draft(assignment, session)


@router.put("/assignments/{assignment_id}/ranking")
def put_ranking(request: Request, assignment: OwnAssignment, session: Writing, given: RankingGiven) -> KeptRanking:
    """Submit a ranking, or correct it; the same under the same key is kept once"""
    forms.require_round(given.round, calibration.revealed_round(session, assignment))
    ranking = read_order(given, assignment.response_order)
    _refuse_what_stands_against(request, assignment, ranking, confirmed=given.confirmed)
    submission = Submission(given.key, ranking, given.note.strip(), given.active_seconds)
    kept = rankings.submit(session, assignment, submission)
    return KeptRanking(assignment_id=assignment.id, version=kept.version, late=kept.late, submitted_at=kept.created_at)


@router.post("/assignments/{assignment_id}/cannot-judge", status_code=204)
def cannot_judge(assignment: OwnAssignment, session: Writing, given: CannotJudge) -> None:
    """Hand a turn back that cannot be judged, saying why"""
    if not given.reason.strip():
        raise Invalid("Say in a few words why this turn cannot be judged.")
    places.cannot_judge(session, assignment, given.reason.strip())


def show_guideline(guideline: Guideline) -> GuidelineShape:
    """A version of a guideline as it is told."""
    return GuidelineShape(version=guideline.version, text=guideline.text, created_at=guideline.created_at)


def _shown(session: Reading, assignment: Assignment) -> AssignmentShape:
    return AssignmentShape(
        id=assignment.id,
        campaign_id=assignment.turn.campaign_id,
        state=assignment.state,
        correctable=assignment.state is AssignmentState.RESERVED or rankings.correctable(assignment),
        round=calibration.revealed_round(session, assignment),
        turn=shown_turn(assignment.turn, assignment.response_order),
        ranking=own_order(session, assignment),
    )


def own_order(session: Reading, assignment: Assignment) -> OrderShape | None:
    """What somebody has submitted, in their letters and its latest version."""
    stored = rankings.latest(session, assignment.id)
    return None if stored is None else write_order(rankings.read(stored), letters_of(assignment.response_order))


def _refuse_what_stands_against(request: Request, assignment: Assignment, ranking: Ranking, *, confirmed: bool) -> None:
    """Raises ProblemError with everything that the web would send back to its annotator."""
    campaign = assignment.turn.campaign
    found = forms.objections({}, ranking, (), campaign)
    if not found.stand(campaign, confirmed=confirmed):
        return
    letters = letters_of(assignment.response_order)
    errors = [FieldProblem(where=f"boundaries.{n - 1}", message=say(request, UNNAMED, number=n)) for n in found.unnamed]
    if found.ties:
        errors.append(FieldProblem(where="groups", message=say(request, TIES)))
    errors += [_fault(request, ranking, each, letters) for each in found.contradictions]
    mended = write_order(mend_all(ranking), letters) if found.contradictions else None
    raise ProblemError(422, OBJECTED, errors=errors, mended=mended)


def _fault(request: Request, ranking: Ranking, found: Contradiction, letters: Mapping[int, str]) -> FieldProblem:
    """A contradiction in the letters of the annotator, with the ranking that is rid of it."""
    pair = letters[found.upper], letters[found.lower]
    said = say(request, FAULTS[found.fault], upper=pair[0], lower=pair[1], ability=found.ability.value)
    mended = write_order(mend(ranking, found), letters)
    return FieldProblem(where="faults", message=said, pair=pair, ability=found.ability, mended=mended)
