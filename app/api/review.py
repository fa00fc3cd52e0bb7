"""Reviewing, for an adjudicator's programs: the queue, a contested turn, the answers that settle it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from annotation import adjudication as rules
from annotation.abilities import Ability
from annotation.ranking import Pair, Ranking, Relation
from annotation.refusals import Conflict, Invalid
from annotation.review_tables import Adjudication, ReviewKind, ReviewState
from annotation.store import doubts, listing, review_queue, reviews
from app.api.blind_audit import BlindAuditShape, shown_audit
from app.api.paging import Cursor, Limit, Page, number_in, page_of
from app.api.review_shapes import (
    RewriteAnswer,
    ToldDoubt,
    Version,
    in_letters,
    pair_shape,
    seen_from,
    told_doubts,
)
from app.api.shapes import (
    AbilityNumber,
    Given,
    Letter,
    OrderShape,
    PairShape,
    ShownTurn,
    Words,
    letters_of,
    response_of,
    shown_turn,
    write_order,
)
from app.deps import Adjudicator, OwnReview, Reading, SeenReview, Writing
from app.words import N_

router = APIRouter(tags=["review"])

GONE = N_("This turn went back to the queue because nobody worked on it for a while.")


class QueueShape(BaseModel):
    """What waits for you."""

    waiting: int = Field(description="Contested turns")
    oldest: datetime | None = Field(description="Since when the oldest of those waits")
    audits: int = Field(description="Agreed turns to be ordered blind")


class Claim(BaseModel):
    """What one of the two annotators says about the pair that is asked about."""

    relation: Relation | None
    ability: AbilityNumber | None


class QuestionShape(BaseModel):
    """What is asked next; `nothing`: the turn can be decided."""

    asks: rules.Asks
    first: Letter | None = None
    second: Letter | None = None
    relation: Relation | None = Field(None, description="Where only what decides is asked: how the pair stands")
    claims: list[Claim] = Field(default_factory=list, description="What each annotator says of the pair")
    suggestion: Relation | None = Field(None, description="What the priority rule suggests, where it is shown")


class ReviewShape(BaseModel):
    """A turn before you: both rankings, not whose they are, and the question that is open."""

    id: int
    kind: Literal[ReviewKind.CONTESTED]
    version: int = Field(description="Send it with every answer; it tells one that comes from an older page")
    state: ReviewState
    campaign_id: int
    leased_until: datetime
    turn: ShownTurn
    rankings: list[OrderShape] = Field(description="None to two, in no telling order")
    agreed: list[PairShape] = Field(description="What both say, and is locked")
    contested: list[tuple[Letter, Letter]] = Field(description="The pairs that you decide")
    none_acceptable: bool | None = Field(description="What you have answered")
    answers: list[PairShape] = Field(description="What you have answered, in that order")
    rewrite: str | None
    unlocked_because: str | None
    question: QuestionShape
    doubts: list[ToldDoubt]


class Decided(BaseModel):
    """A turn that you have decided."""

    id: int
    kind: ReviewKind
    campaign_id: int
    decided_at: datetime | None


class OutcomeAnswer(Version):
    """Whether none of the responses is acceptable."""

    kind: Literal["outcome"]
    none_acceptable: bool


class PairAnswer(Version):
    """How one response stands to another, and what decides where nobody has named it."""

    kind: Literal["pair"]
    first: Letter
    second: Letter
    relation: Relation
    ability: AbilityNumber | None = None


class UnlockAnswer(Version):
    """Why what both agree on is opened again."""

    kind: Literal["unlock"]
    reason: Words = Field(min_length=1, max_length=2000)


class Doubt(Given):
    """What is unclear about an ability."""

    ability: AbilityNumber
    note: Words = Field(min_length=1, max_length=2000)


AnyReview = Annotated[ReviewShape | BlindAuditShape, Field(discriminator="kind")]
Answer = Annotated[OutcomeAnswer | PairAnswer | RewriteAnswer | UnlockAnswer, Field(discriminator="kind")]


@router.get("/review/queue")
def get_queue(user: Adjudicator, session: Reading) -> QueueShape:
    """How many contested turns wait for you, and how many to be ordered blind"""
    found = review_queue.queue(session, user)
    return QueueShape(waiting=found.contested, oldest=found.oldest, audits=found.audits)


@router.post("/review/next", responses={204: {"description": "Nothing waits for you."}})
def open_next(
    user: Adjudicator,
    session: Writing,
    response: Response,
    audits: Annotated[bool, Query(description="Also agreed turns, drawn to be ordered blind")] = False,
) -> AnyReview | None:
    """Open the next turn: the one you hold, else a new one; 204 where none waits

    With `audits` the queue draws between contested turns and blind audits, as it does in the browser; `kind` says
    which of them came.
    """
    review = reviews.open_next(session, user, audits=audits)
    if review is None:
        response.status_code = 204
        return None
    return _any_shown(session, review)


@router.get("/review/decided")
def list_decided(user: Adjudicator, session: Reading, cursor: Cursor = None, limit: Limit = 50) -> Page[Decided]:
    """What you have decided, newest first"""
    rows = listing.decided(session, user.id, number_in(cursor), limit + 1)
    return page_of(rows, limit, _decided, lambda row: (row.id,))


@router.get("/reviews/{review_id}")
def get_review(review: SeenReview, session: Reading) -> AnyReview:
    """One of your reviews: a contested turn, or a blind audit"""
    return _any_shown(session, review)


@router.post("/reviews/{review_id}/answers")
def answer(review: OwnReview, session: Writing, given: Answer) -> ReviewShape:
    """Answer the outcome, a pair, the rewrite, or unlock what is agreed"""
    match given:
        case OutcomeAnswer():
            reviews.answer_outcome(session, review, given.version, none_acceptable=given.none_acceptable)
        case PairAnswer():
            reviews.answer_pair(session, review, given.version, _pair_answer(review, given))
        case RewriteAnswer():
            reviews.answer_rewrite(session, review, given.version, given.text)
        case UnlockAnswer():
            reviews.unlock(session, review, given.version, given.reason)
    return _shown(session, review)


@router.post("/reviews/{review_id}/back")
def take_back(review: OwnReview, session: Writing, given: Version) -> ReviewShape:
    """Take the last answer back, or the decision where that came last"""
    if review.state is ReviewState.DECIDED:
        reviews.reopen(session, review, given.version)
    else:
        reviews.take_back(session, review, given.version)
    return _shown(session, review)


@router.post("/reviews/{review_id}/decide")
def decide(review: OwnReview, session: Writing, given: Version) -> ReviewShape:
    """Settle the turn"""
    reviews.decide(session, review, given.version)
    return _shown(session, review)


@router.post("/reviews/{review_id}/renew", status_code=204)
def renew(review: OwnReview, session: Writing) -> None:
    """Keep the turn while you are still at work on it; an answer does so as well."""
    if not reviews.renew(session, review):
        raise Conflict(GONE)


@router.post("/reviews/{review_id}/hand-back", status_code=204)
def hand_back(review: OwnReview, session: Writing, given: Version) -> None:
    """Give the turn to somebody else."""
    reviews.hand_back(session, review, given.version)


@router.post("/reviews/{review_id}/doubts", status_code=204)
def raise_doubt(review: OwnReview, session: Writing, given: Doubt) -> None:
    """Tell the admin that the guideline is unclear about an ability."""
    doubts.raise_doubt(session, review, Ability(given.ability), given.note)


def _decided(review: Adjudication) -> Decided:
    campaign_id = review.turn.campaign_id
    return Decided(id=review.id, kind=review.kind, campaign_id=campaign_id, decided_at=review.decided_at)


def _pair_answer(review: Adjudication, given: PairAnswer) -> rules.Answer:
    first, second = (response_of(letter, review.response_order) for letter in (given.first, given.second))
    if first == second:
        raise Invalid("A pair has two different responses.")
    told = given.relation if first < second else given.relation.mirrored
    return rules.Answer(_pair(first, second), told, Ability(given.ability) if given.ability else None)


def _any_shown(session: Reading, review: Adjudication) -> ReviewShape | BlindAuditShape:
    if review.state is ReviewState.RELEASED:
        raise Conflict(GONE)
    if review.kind is ReviewKind.AUDIT:
        return shown_audit(session, review)
    return _shown(session, review)


def _shown(session: Reading, review: Adjudication) -> ReviewShape:
    case, said = reviews.case_of(session, review), reviews.decisions_of(review)
    letters = letters_of(review.response_order)
    sides = [side for side in (case.first, case.second) if side is not None]
    return ReviewShape(
        id=review.id,
        kind=ReviewKind.CONTESTED,
        version=review.version,
        state=review.state,
        campaign_id=review.turn.campaign_id,
        leased_until=review.leased_until,
        turn=shown_turn(review.turn, review.response_order),
        rankings=[write_order(side, letters) for side in sides],
        agreed=[
            pair_shape(pair, relation, case.ability_for(pair, relation), letters)
            for pair, relation in case.agreed.items()
        ],
        contested=[in_letters(pair, letters) for pair in case.to_settle],
        none_acceptable=said.none_acceptable,
        answers=[pair_shape(each.pair, each.relation, each.ability, letters) for each in said.answers],
        rewrite=said.rewrite,
        unlocked_because=review.decisions.get("unlocked_because"),
        question=_question(review.id, case, said, letters, sides),
        doubts=told_doubts(session, review),
    )


def _question(
    review_id: int, case: rules.Case, said: rules.Decisions, letters: Mapping[int, str], sides: list[Ranking]
) -> QuestionShape:
    question = rules.next_step(case, said)
    pair = question.pair
    if pair is None:
        return QuestionShape(asks=question.asks)
    suggested = None if rules.hides_suggestion(review_id, pair) else rules.suggestion(case, pair)
    known = rules.settle(case, said.answers) if question.asks is rules.Asks.ABILITY else []
    first, second = sorted(pair, key=lambda response: letters[response])
    return QuestionShape(
        asks=question.asks,
        first=letters[first],
        second=letters[second],
        relation=_seen(next((each.relation for each in known if each.pair == pair), None), pair, first),
        claims=[
            Claim(
                relation=_seen(side.relations().get(pair), pair, first),
                ability=side.deciding_ability(pair) if side.has_order else None,
            )
            for side in sides
        ],
        suggestion=_seen(suggested, pair, first),
    )


def _seen(relation: Relation | None, pair: Pair, first: int) -> Relation | None:
    return None if relation is None else seen_from(relation, pair, first)


def _pair(one: int, other: int) -> Pair:
    return (one, other) if one < other else (other, one)
