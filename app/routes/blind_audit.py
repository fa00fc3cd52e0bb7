"""What an auditor answers: the own order, the verdict, what decides."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Response

from annotation.abilities import Ability
from annotation.refusals import Missing
from annotation.review_tables import Adjudication, ReviewKind
from annotation.store import audits
from app.deps import OwnReview, Writing
from app.routes.review import back_to

router = APIRouter(prefix="/reviews/{review_id}/audit")


def own_audit(review: OwnReview) -> Adjudication:
    """The review, if it is theirs and an audit."""
    if review.kind is not ReviewKind.AUDIT:
        raise Missing("There is no such review for you.")
    return review


OwnAudit = Annotated[Adjudication, Depends(own_audit)]
Version = Annotated[int, Form()]


@router.post("/place")
def place(
    audit: OwnAudit,
    session: Writing,
    version: Version,
    response: Annotated[int, Form()],
    level: Annotated[bool, Form()] = False,
) -> Response:
    """Places a response next."""
    audits.place(session, audit, version, response, level=level)
    return back_to(audit)


@router.post("/none")
def none(audit: OwnAudit, session: Writing, version: Version) -> Response:
    """Says that none is acceptable."""
    audits.none_acceptable(session, audit, version)
    return back_to(audit)


@router.post("/fix")
def fix(audit: OwnAudit, session: Writing, version: Version) -> Response:
    """Lets the own order stand."""
    audits.fix(session, audit, version)
    return back_to(audit)


@router.post("/verdict")
def verdict(
    audit: OwnAudit,
    session: Writing,
    version: Version,
    overturns: Annotated[bool, Form()],
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Keeps the agreed order or overturns it."""
    audits.judge(session, audit, version, overturns=overturns, reason=reason[:2000])
    return back_to(audit)


@router.post("/ability")
def ability(audit: OwnAudit, session: Writing, version: Version, ability: Annotated[int, Form(ge=1, le=9)]) -> Response:
    """Names what decides at the next boundary."""
    audits.name_ability(session, audit, version, Ability(ability))
    return back_to(audit)


@router.post("/rewrite")
def rewrite(audit: OwnAudit, session: Writing, version: Version, text: Annotated[str, Form()] = "") -> Response:
    """Writes the answer that stands above all unacceptable ones."""
    audits.rewrite(session, audit, version, text)
    return back_to(audit)


@router.post("/back")
def back(audit: OwnAudit, session: Writing, version: Version) -> Response:
    """Takes the last thing back."""
    audits.take_back(session, audit, version)
    return back_to(audit)
