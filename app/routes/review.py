"""The review queue and the decision of one contested turn."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from annotation import adjudication as rules
from annotation.abilities import Ability
from annotation.ranking import Pair, Relation
from annotation.refusals import Conflict, Invalid
from annotation.review_tables import Adjudication, ReviewKind, ReviewState
from annotation.store import doubts, listing, review_queue, reviews
from app.deps import Adjudicator, OwnReview, Reading, SeenReview, Writing
from app.render import page
from app.review_view import audit_context, review_context

router = APIRouter()


@router.get("/review")
def queue(request: Request, user: Adjudicator, session: Reading) -> HTMLResponse:
    """What waits."""
    waiting, decided = review_queue.queue(session, user), listing.decided(session, user.id, None, 10)
    return page(request, "review/queue.html", queue=waiting, decided=decided)


@router.post("/review/next")
def next_review(user: Adjudicator, session: Writing) -> Response:
    """Opens the next turn."""
    review = reviews.open_next(session, user)
    if review is None:
        return RedirectResponse("/review", status_code=303)
    return RedirectResponse(f"/reviews/{review.id}", status_code=303)


@router.get("/reviews/{review_id}")
def show(request: Request, review: SeenReview, session: Reading) -> HTMLResponse:
    """A contested turn, both orders and the question that is open; or an audit, which begins without any order."""
    if review.state is ReviewState.RELEASED:
        raise Conflict("This turn went back to the queue, so it is no longer yours to decide.")
    if review.kind is ReviewKind.AUDIT:
        return page(request, "review/audit.html", **audit_context(session, review))
    return page(request, "review/screen.html", **review_context(session, review))


@router.post("/reviews/{review_id}/outcome")
def outcome(
    review: OwnReview, session: Writing, version: Annotated[int, Form()], none_acceptable: Annotated[bool, Form()]
) -> Response:
    """Says whether none is acceptable."""
    reviews.answer_outcome(session, review, version, none_acceptable=none_acceptable)
    return back_to(review)


@router.post("/reviews/{review_id}/pair")
def pair(
    review: OwnReview,
    session: Writing,
    version: Annotated[int, Form()],
    first: Annotated[int, Form()],
    second: Annotated[int, Form()],
    relation: Annotated[str, Form()],
    ability: Annotated[int | None, Form()] = None,
) -> Response:
    """Answers how the first of two responses stands to the second, or what decides between them."""
    answer = _answer(review, (first, second), relation, ability)
    reviews.answer_pair(session, review, version, answer)
    return back_to(review)


@router.post("/reviews/{review_id}/rewrite")
def rewrite(
    review: OwnReview, session: Writing, version: Annotated[int, Form()], text: Annotated[str, Form()] = ""
) -> Response:
    """Writes the answer that stands above all unacceptable ones."""
    reviews.answer_rewrite(session, review, version, text)
    return back_to(review)


@router.post("/reviews/{review_id}/back")
def back(review: OwnReview, session: Writing, version: Annotated[int, Form()]) -> Response:
    """Takes the last answer back, or the whole decision where it was the last thing done."""
    if review.state is ReviewState.DECIDED:
        reviews.reopen(session, review, version)
    else:
        reviews.take_back(session, review, version)
    return back_to(review)


@router.post("/reviews/{review_id}/unlock")
def unlock(
    review: OwnReview, session: Writing, version: Annotated[int, Form()], reason: Annotated[str, Form()] = ""
) -> Response:
    """Opens the agreed part, for a reason."""
    reviews.unlock(session, review, version, reason)
    return back_to(review)


@router.post("/reviews/{review_id}/decide")
def decide(
    review: OwnReview,
    user: Adjudicator,
    session: Writing,
    version: Annotated[int, Form()],
    on: Annotated[bool, Form()] = False,
) -> Response:
    """Settles the turn, and opens the next one where they go on."""
    reviews.decide(session, review, version)
    return next_review(user, session) if on else back_to(review)


@router.post("/reviews/{review_id}/renew")
def renew(review: OwnReview, session: Writing) -> Response:
    """Keeps the turn for whoever is still at work on it."""
    return Response(status_code=204 if reviews.renew(session, review) else 409)


@router.post("/reviews/{review_id}/hand-back")
def hand_back(review: OwnReview, session: Writing, version: Annotated[int, Form()]) -> Response:
    """Gives the turn to somebody else."""
    reviews.hand_back(session, review, version)
    return RedirectResponse("/review", status_code=303)


@router.post("/reviews/{review_id}/doubt")
def doubt(
    review: OwnReview, session: Writing, ability: Annotated[int, Form(ge=1, le=9)], note: Annotated[str, Form()] = ""
) -> Response:
    """Tells the admin that the guideline is unclear about an ability."""
    doubts.raise_doubt(session, review, Ability(ability), note[:2000])
    return back_to(review)


def _answer(review: Adjudication, asked: Pair, relation: str, ability: int | None) -> rules.Answer:
    k = review.turn.campaign.k
    if relation not in set(Relation) or not (0 <= asked[0] < k and 0 <= asked[1] < k and asked[0] != asked[1]):
        raise Invalid("This answer does not fit the question: reload the page.")
    if ability is not None and ability not in set(Ability):
        raise Invalid("This answer does not fit the question: reload the page.")
    told = Relation(relation)
    normal, told = (asked, told) if asked[0] < asked[1] else (asked[::-1], told.mirrored)
    return rules.Answer((normal[0], normal[1]), told, Ability(ability) if ability else None)


def back_to(review: Adjudication) -> RedirectResponse:
    """The page of the review, which shows what comes next."""
    return RedirectResponse(f"/reviews/{review.id}", status_code=303)
