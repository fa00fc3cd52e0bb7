"""The ranking screen: the next turn, its draft, its submission, and what is shown before and beside it."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from sqlalchemy.orm import Session

from annotation.mending import mend, mend_all
from annotation.people_tables import User
from annotation.ranking import Ranking
from annotation.refusals import Conflict, Invalid
from annotation.store import calibration, campaigns, guidelines, outcomes, places, rankings
from annotation.store.rankings import Submission
from annotation.tables import Assignment, AssignmentState, Campaign
from annotation.tables import Response as TurnResponse
from app import forms, likeness, revisions
from app.deps import Annotator, CampaignRankedIn, OwnAssignment, Reading, SeenAssignment, SubmittedForm, Writing
from app.render import page, wants_fragment
from app.words import N_

router = APIRouter()

LONGEST_ACTIVE_S = 4 * 3600.0


@router.get("/rank")
def start(request: Request, user: Annotator, session: Reading) -> HTMLResponse:
    """The campaigns in which somebody ranks, and what is left for them."""
    open_ones = campaigns.campaigns_of(session, user.id)
    mine = [(campaign, places.left_for(session, user, campaign)) for campaign in open_ones]
    fresh = [c for c in open_ones if guidelines.last_read(session, user.id, c.id) is None]
    return page(
        request,
        "rank/start.html",
        campaigns=mine,
        rounds=calibration.revealed_to(session, user.id),
        done=outcomes.history(session, user.id, outcomes.Shown.ALL, limit=6),
        guidelines={c.id: campaigns.guideline(session, c.id) for c in fresh},
    )


@router.post("/rank/{campaign_id}/next")
def next_turn(request: Request, campaign: CampaignRankedIn, user: Annotator, session: Writing) -> Response:
    """Reserves the next turn and opens it; a new version of the guideline is shown first."""
    known, current = guidelines.standing(session, user.id, campaign.id)
    if known is not None and known != current:
        return RedirectResponse(f"/rank/{campaign.id}/guideline", status_code=303)
    return _open_next(request, session, user, campaign, begins=known is None)


@router.get("/rank/{campaign_id}/guideline")
def show_guideline(request: Request, campaign: CampaignRankedIn, user: Annotator, session: Reading) -> HTMLResponse:
    """The guideline in force, and what has changed since somebody last read it."""
    revision = guidelines.unread(session, user, campaign.id)
    current = campaigns.guideline(session, campaign.id)
    changes = revisions.changes(revision.known.text, revision.new.text) if revision else None
    return page(
        request, "rank/guideline.html", campaign=campaign, guideline=current, revision=revision, changes=changes
    )


@router.post("/rank/{campaign_id}/guideline")
def guideline_read(
    request: Request, campaign: CampaignRankedIn, user: Annotator, session: Writing, version: Annotated[int, Form()]
) -> Response:
    """Notes that this version was read, and goes on to the next turn."""
    guidelines.note_reading(session, user, guidelines.version(session, campaign.id, version))
    return next_turn(request, campaign, user, session)


@router.get("/assignments/{assignment_id}")
def show(request: Request, user: Annotator, assignment: SeenAssignment, session: Reading) -> Response:
    """The ranking screen, with the draft or, for a correction, with what was submitted."""
    if assignment.state is AssignmentState.CANNOT_JUDGE:
        return RedirectResponse("/history", status_code=303)
    submitted = rankings.latest(session, assignment.id)
    draft = rankings.draft_of(session, assignment.id)
    fields: dict[str, Any] = draft.body if draft else {}
    if draft is None and submitted is not None:
        fields = forms.write_fields(rankings.read(submitted), assignment.response_order)
    return page(
        request,
        "rank/screen.html",
        **_context(assignment, fields),
        again=calibration.revealed_round(session, assignment),
        key=uuid.uuid4().hex,
        revision=draft.revision if draft else 0,
        saved_at=draft.updated_at if draft else None,
        left=places.left_for(session, user, assignment.turn.campaign),
        today=campaigns.rankings_today(session, user.id),
        guideline=campaigns.guideline(session, assignment.turn.campaign_id),
        submitted=submitted,
        kept=forms.shown_order(rankings.read(submitted), assignment.response_order) if submitted and draft else None,
        correctable=assignment.state is not AssignmentState.SUBMITTED or rankings.correctable(assignment),
    )


@router.post("/assignments/{assignment_id}/draft/discard")
def discard_draft(assignment: OwnAssignment, session: Writing) -> Response:
    """Back to what was submitted; what was changed since then and not submitted is forgotten."""
    if rankings.latest(session, assignment.id) is None:
        raise Conflict("Nothing of this turn was submitted yet, so its draft is all there is: change it instead.")
    rankings.discard_draft(session, assignment)
    return RedirectResponse(f"/assignments/{assignment.id}", status_code=303)


@router.post("/assignments/{assignment_id}/draft")
def save_draft(assignment: OwnAssignment, session: Writing, form: SubmittedForm) -> JSONResponse:
    """Keeps the form as it stands, and the place with it."""
    fields = forms.fields_of(form)
    revision = fields.pop("revision", "0")
    fields.pop("confirmed", None)
    forms.take_round(fields, calibration.revealed_round(session, assignment))
    if not isinstance(revision, str) or not revision.isdecimal() or len(revision) > 9:
        raise Invalid("The form does not describe a ranking: reload the page.")
    return JSONResponse({"revision": rankings.save_draft(session, assignment, int(revision), fields)})


@router.post("/assignments/{assignment_id}/ranking")
def submit(request: Request, assignment: OwnAssignment, session: Writing, form: SubmittedForm) -> Response:
    """Keeps the ranking, or shows what it runs into with the mend."""
    fields = forms.fields_of(form)
    again = calibration.revealed_round(session, assignment)
    forms.take_round(fields, again)
    campaign = assignment.turn.campaign
    ranking, unplaced = forms.read_ranking(fields, assignment.response_order)
    found = forms.objections(fields, ranking, unplaced, campaign)
    if ranking is None or found.stand(campaign, confirmed=fields.get("confirmed") == "on"):
        return _objections(request, session, assignment, fields, found, ranking)
    stored = rankings.submit(session, assignment, _submission(fields, ranking))
    target = f"/rank/{campaign.id}/stored?late={int(stored.late)}"
    if again is not None:  # back to the round, where the others' rankings of the next turn are
        target = f"/calibration/{again}#turn-{assignment.turn_id}"
    if wants_fragment(request):
        told = {"next": f"/rank/{campaign.id}/next"} if again is None else {"back": target}
        return JSONResponse({**told, "late": stored.late})
    return RedirectResponse(target, status_code=303)


@router.get("/rank/{campaign_id}/stored")
def stored(request: Request, campaign: CampaignRankedIn, late: bool = False) -> HTMLResponse:
    """After a submission without script: that it is kept, and the way to the next turn."""
    return page(request, "rank/stored.html", campaign=campaign, late=late)


@router.post("/assignments/{assignment_id}/cannot-judge")
def cannot_judge(
    request: Request, assignment: OwnAssignment, session: Writing, reason: Annotated[str, Form()] = ""
) -> Response:
    """Hands the turn back with a reason and goes on."""
    if not reason.strip():
        raise Invalid(N_("Say in a few words why this turn cannot be judged."))
    places.cannot_judge(session, assignment, reason.strip()[:1000])
    target = f"/rank/{assignment.turn.campaign_id}/next"
    if wants_fragment(request):
        return JSONResponse({"next": target})
    return RedirectResponse("/rank", status_code=303)


@router.get("/assignments/{assignment_id}/compare")
def compare(request: Request, assignment: SeenAssignment, of: str) -> HTMLResponse:
    """Two responses word by word, named by their letters as they are shown: ``of=ab``."""
    texts = {letter.lower(): response.text for letter, response in _shown(assignment)}
    if len(of) != 2 or not set(of) <= set(texts) or len(set(of)) != 2:
        raise Invalid("The form does not describe a ranking: reload the page.")
    marked = dict(zip(of, likeness.compared(texts[of[0]], texts[of[1]]), strict=True))
    return page(request, "rank/_compare.html", marked=marked)


def _open_next(request: Request, session: Session, user: User, campaign: Campaign, *, begins: bool) -> Response:
    assignment = places.reserve_next(session, user, campaign)
    if assignment is None:
        why = places.why_nothing(session, user, campaign)
        return page(request, "rank/nothing.html", campaign=campaign, why=why)
    if begins:  # it stood on the page from which they began
        guidelines.note_reading(session, user, campaigns.guideline(session, campaign.id))
    session.flush()
    return RedirectResponse(f"/assignments/{assignment.id}", status_code=303)


def _submission(fields: forms.Fields, ranking: Ranking) -> Submission:
    key, active = str(fields.get("key", "")), str(fields.get("active", "0"))
    if len(key) < 16:
        raise Invalid("The form does not describe a ranking: reload the page.")
    try:
        seconds = min(max(0.0, float(active)), LONGEST_ACTIVE_S)  # in this order "nan" is 0
    except ValueError:
        seconds = 0.0
    return Submission(key[:64], ranking, str(fields.get("note", "")).strip()[:2000], seconds)


def _objections(
    request: Request,
    session: Session,
    assignment: Assignment,
    fields: forms.Fields,
    found: forms.Objections,
    ranking: Ranking | None,
) -> HTMLResponse:
    order, mends, mended = assignment.response_order, [], None
    if ranking is not None and found.contradictions:
        mends = [forms.write_fields(mend(ranking, each), order) for each in found.contradictions]
        mended = forms.write_fields(mend_all(ranking), order)
    context = _context(assignment, fields) | {"objections": found, "mends": mends, "mended": mended}
    if wants_fragment(request):
        return page(request, "rank/_objections.html", status=422, **context)
    return page(
        request,
        "rank/screen.html",
        status=422,
        **context,
        again=calibration.revealed_round(session, assignment),
        key=fields.get("key") or uuid.uuid4().hex,
        revision=fields.get("revision") or 0,
        saved_at=None,
        left=None,
        today=None,
        guideline=campaigns.guideline(session, assignment.turn.campaign_id),
        submitted=None,
        correctable=True,
    )


def _context(assignment: Assignment, fields: forms.Fields) -> dict[str, Any]:
    order, shown = assignment.response_order, _shown(assignment)
    return {
        "assignment": assignment,
        "turn": assignment.turn,
        "campaign": assignment.turn.campaign,
        "shown": shown,
        "near": likeness.near({letter: response.text for letter, response in shown}),
        "fields": fields,
        "letter_of": lambda response: forms.shown_letter(response, order),
        "objections": None,
    }


def _shown(assignment: Assignment) -> list[tuple[str, TurnResponse]]:
    """The responses in the order of this annotator, each with its letter there."""
    order = assignment.response_order
    return [(forms.shown_letter(number, order), assignment.turn.responses[number]) for number in order]
