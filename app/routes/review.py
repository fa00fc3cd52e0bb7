"""The review queue and the decision of one contested turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from annotation import adjudication as rules
from annotation.abilities import Ability
from annotation.ranking import LETTERS, Pair, Ranking, Relation
from annotation.refusals import Conflict, Invalid
from annotation.store import reviews
from annotation.tables import Adjudication, ReviewState
from app.deps import Adjudicator, OwnReview, Reading, SeenReview, Writing
from app.pictures import two_orders
from app.render import page

router = APIRouter()


@router.get("/review")
def queue(request: Request, user: Adjudicator, session: Reading) -> HTMLResponse:
    """What waits."""
    return page(
        request, "review/queue.html", queue=reviews.queue(session, user), decided=reviews.decided(session, user.id, 10)
    )


@router.post("/review/next")
def next_review(request: Request, user: Adjudicator, session: Writing) -> Response:
    """Opens the next contested turn."""
    review = reviews.open_next(session, user)
    if review is None:
        return RedirectResponse("/review", status_code=303)
    return RedirectResponse(f"/reviews/{review.id}", status_code=303)


@router.get("/reviews/{review_id}")
def show(request: Request, review: SeenReview, session: Reading) -> HTMLResponse:
    """A contested turn: both orders, and the question that is open."""
    return page(request, "review/screen.html", **_context(session, review))


@router.post("/reviews/{review_id}/outcome")
def outcome(
    review: OwnReview, session: Writing, version: Annotated[int, Form()], none_acceptable: Annotated[bool, Form()]
) -> Response:
    """Says whether none is acceptable."""
    reviews.answer_outcome(session, review, version, none_acceptable=none_acceptable)
    return _back(review)


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
    return _back(review)


@router.post("/reviews/{review_id}/rewrite")
def rewrite(
    review: OwnReview, session: Writing, version: Annotated[int, Form()], text: Annotated[str, Form()] = ""
) -> Response:
    """Writes the answer that stands above all unacceptable ones."""
    reviews.answer_rewrite(session, review, version, text)
    return _back(review)


@router.post("/reviews/{review_id}/back")
def back(review: OwnReview, session: Writing, version: Annotated[int, Form()]) -> Response:
    """Takes the last answer back, or the whole decision where it was the last thing done."""
    if review.state is ReviewState.DECIDED:
        reviews.reopen(session, review, version)
    else:
        reviews.take_back(session, review, version)
    return _back(review)


@router.post("/reviews/{review_id}/unlock")
def unlock(
    review: OwnReview, session: Writing, version: Annotated[int, Form()], reason: Annotated[str, Form()] = ""
) -> Response:
    """Opens the agreed part, for a reason."""
    reviews.unlock(session, review, version, reason)
    return _back(review)


@router.post("/reviews/{review_id}/decide")
def decide(review: OwnReview, session: Writing, version: Annotated[int, Form()]) -> Response:
    """Settles the turn."""
    reviews.decide(session, review, version)
    return _back(review)


def _answer(review: Adjudication, asked: Pair, relation: str, ability: int | None) -> rules.Answer:
    k = review.turn.campaign.k
    if relation not in set(Relation) or not (0 <= asked[0] < k and 0 <= asked[1] < k and asked[0] != asked[1]):
        raise Invalid("This answer does not fit the question: reload the page.")
    if ability is not None and ability not in set(Ability):
        raise Invalid("This answer does not fit the question: reload the page.")
    told = Relation(relation)
    normal, told = (asked, told) if asked[0] < asked[1] else (asked[::-1], told.mirrored)
    return rules.Answer((normal[0], normal[1]), told, Ability(ability) if ability else None)


def _back(review: Adjudication) -> RedirectResponse:
    return RedirectResponse(f"/reviews/{review.id}", status_code=303)


def _context(session: Reading, review: Adjudication) -> dict[str, Any]:
    if review.state is ReviewState.RELEASED:
        raise Conflict("This turn went back to the queue because nobody worked on it for a while.")
    case, said = reviews.case_of(session, review), reviews.decisions_of(review)
    question = rules.next_step(case, said)
    letters = {response: LETTERS[i] for i, response in enumerate(review.response_order)}
    sides = [side for side in (case.first, case.second) if side is not None]
    settled = _settled(case, said, question)
    return {
        "review": review,
        "turn": review.turn,
        "campaign": review.turn.campaign,
        "case": case,
        "said": said,
        "question": question,
        "asked": _asked(review.id, case, question, letters, settled),
        "letters_of": letters,
        "shown": [(letters[number], review.turn.responses[number]) for number in review.response_order],
        "sides": sides,
        "picture": two_orders(sides, letters, case) if len(sides) == 2 else None,
        "order": _order(settled, letters, case.k),
        "done": review.state is ReviewState.DECIDED,
    }


def _settled(case: rules.Case, said: rules.Decisions, question: rules.Question) -> list[rules.SettledPair]:
    """Every pair, once no pair is asked about any more."""
    if question.asks in (rules.Asks.OUTCOME, rules.Asks.PAIR) or not rules.sorts(case, bool(rules.outcome(case, said))):
        return []
    return rules.settle(case, said.answers)


def _order(settled: list[rules.SettledPair], letters: Mapping[int, str], k: int) -> str | None:
    relations = {each.pair: each.relation for each in settled if each.relation is not None}
    if not settled or len(relations) < len(settled):
        return None
    groups = rules.order_of(relations, k)
    return " > ".join(" = ".join(sorted(letters[r] for r in group)) for group in groups)


def _asked(
    review: int,
    case: rules.Case,
    question: rules.Question,
    letters: Mapping[int, str],
    settled: list[rules.SettledPair],
) -> dict[str, Any] | None:
    """The pair that is asked about, the earlier letter on the left, what each side says, and what the rule suggests."""
    if question.pair is None:
        return None
    left, right = sorted(question.pair, key=lambda response: letters[response])
    suggested = None if rules.hides_suggestion(review, question.pair) else rules.suggestion(case, question.pair)
    known = {each.pair: each.relation for each in settled}.get(question.pair)
    return {
        "left": left,
        "right": right,
        "claims": [_claim(side, left, right) for side in (case.first, case.second) if side is not None],
        "suggested": _seen_from(suggested, question.pair, left),
        "relation": _seen_from(known, question.pair, left),
    }


def _claim(side: Ranking, left: int, right: int) -> dict[str, Any]:
    pair = (min(left, right), max(left, right))
    relation = side.relations().get(pair)
    return {"relation": _seen_from(relation, pair, left), "ability": side.deciding_ability(pair) if relation else None}


def _seen_from(relation: Relation | None, pair: Pair, left: int) -> Relation | None:
    if relation is None:
        return None
    return relation if pair[0] == left else relation.mirrored
