"""What the review screens show of a case: letters, claims, the state of each pair, the order that came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from sqlalchemy.orm import Session

from annotation import adjudication as rules
from annotation import blind_audit
from annotation.ranking import LETTERS, Pair, Ranking, Relation, pairs_of
from annotation.review_tables import Adjudication, ReviewState
from annotation.store import audits, campaigns, doubts, reviews
from app.differences import differences, marked
from app.pictures import two_orders

Letters = Mapping[int, str]


def review_context(session: Session, review: Adjudication) -> dict[str, Any]:
    """A contested turn with its open question."""
    case, said = reviews.case_of(session, review), reviews.decisions_of(review)
    question = rules.next_step(case, said)
    letters = letters_of(review)
    sides = [side for side in (case.first, case.second) if side is not None]
    settled = _settled(case, said, question)
    still_open = rules.open_pairs(case, said.answers)
    return _frame(session, review, letters) | {
        "case": case,
        "said": said,
        "question": question,
        "asked": _asked(review, case, question, letters, settled),
        "sides": sides,
        "picture": two_orders(sides, letters, case, still_open, question.pair) if len(sides) == 2 else None,
        "pairs": _pairs(case, said, letters, question.pair),
        "final": final_order(settled, letters, case.k),
        "settled_pairs": _in_letters(settled, letters),
    }


def audit_context(session: Session, review: Adjudication) -> dict[str, Any]:
    """An audit; what was agreed is in it only once the auditor's own order is fixed."""
    case, opinion = audits.case_of(session, review), audits.opinion_of(review)
    letters, asks = letters_of(review), blind_audit.next_step(case, opinion)
    own = blind_audit.own_ranking(opinion, case.k)
    groups = own.groups if own is not None and own.has_order else blind_audit.groups_of(opinion.steps, case.k)
    placed = {response for response, _ in opinion.steps}
    context = _frame(session, review, letters) | {
        "asks": asks,
        "opinion": opinion,
        "groups": [[letters[r] for r in group] for group in groups],
        "placed": placed,
        "left": [r for r in review.response_order if r not in placed],
        "boundary": next(iter(list(pairwise(groups))[len(opinion.abilities) :]), None),
        "agreed": None,
        "picture": None,
        "pairs": [],
    }
    return context | (_revealed(case, own, letters) if opinion.fixed and own is not None else {})


def letters_of(review: Adjudication) -> dict[int, str]:
    """The letter under which this expert sees each response."""
    return {response: LETTERS[i] for i, response in enumerate(review.response_order)}


def final_order(settled: Sequence[rules.SettledPair], letters: Letters, k: int) -> list[dict[str, Any]] | None:
    """The groups in letters, each with what decides that it stands above the next; None without a whole order."""
    relations = {each.pair: each.relation for each in settled if each.relation is not None}
    if not settled or len(relations) < len(pairs_of(k)):
        return None
    groups = rules.order_of(relations, k)
    ability = {each.pair: each.ability for each in settled}
    below = [ability[min(a[0], b[0]), max(a[0], b[0])] for a, b in pairwise(groups)]
    return [
        {"letters": sorted(letters[r] for r in group), "decides": decides}
        for group, decides in zip(groups, [*below, None], strict=True)
    ]


def _frame(session: Session, review: Adjudication, letters: Letters) -> dict[str, Any]:
    turn = review.turn
    return {
        "review": review,
        "turn": turn,
        "campaign": turn.campaign,
        "letters_of": letters,
        "shown": [(letters[number], turn.responses[number]) for number in review.response_order],
        "done": review.state is ReviewState.DECIDED,
        "guideline": campaigns.guideline(session, turn.campaign_id),
        "doubts": doubts.raised_by(session, review),
    }


def _revealed(case: rules.Case, own: Ranking, letters: Letters) -> dict[str, Any]:
    relations = case.agreed
    whole = len(relations) == len(pairs_of(case.k))
    theirs = Ranking(rules.order_of(relations, case.k)) if whole else None
    differing = blind_audit.differing(case, own)
    return {
        "agreed": [[letters[r] for r in group] for group in theirs.groups] if theirs else None,
        "picture": two_orders([theirs, own], letters, rules.Case(case.k, theirs, own), differing) if theirs else None,
        "pairs": [{"text": relation_text(pair, relations[pair], letters), "state": "open"} for pair in differing],
    }


def _settled(case: rules.Case, said: rules.Decisions, question: rules.Question) -> list[rules.SettledPair]:
    """Every pair, once no pair is asked about any more."""
    if question.asks in (rules.Asks.OUTCOME, rules.Asks.PAIR) or not rules.sorts(case, bool(rules.outcome(case, said))):
        return []
    return rules.settle(case, said.answers)


def _pairs(case: rules.Case, said: rules.Decisions, letters: Letters, asked: Pair | None) -> list[dict[str, Any]]:
    """Each pair in letters with its state: locked, open, asked, answered, implied, or left unreviewed."""
    possible = zip(*rules.candidates(case, said.answers), strict=True)
    answered = {answer.pair for answer in said.answers}
    told = []
    for pair, relations in zip(pairs_of(case.k), possible, strict=True):
        known = relations[0] if len(set(relations)) == 1 else None
        told.append({"text": relation_text(pair, known, letters), "state": _state(case, pair, known, asked, answered)})
    return sorted(told, key=lambda each: each["text"])


def _state(case: rules.Case, pair: Pair, known: Relation | None, asked: Pair | None, answered: set[Pair]) -> str:
    if pair == asked:
        return "asked"
    if pair in case.agreed:
        return "locked"
    if known is None:
        return "open" if pair in case.to_settle else "unreviewed"
    return "answered" if pair in answered else "implied"


def _in_letters(settled: Sequence[rules.SettledPair], letters: Letters) -> list[dict[str, Any]]:
    return sorted(
        (
            {
                "text": relation_text(each.pair, each.relation, letters),
                "ability": each.ability,
                "provenance": each.provenance,
            }
            for each in settled
        ),
        key=lambda each: str(each["text"]),
    )


def relation_text(pair: Pair, relation: Relation | None, letters: Letters) -> str:
    """Such as ``B > A``; the better one first, else the earlier letter."""
    first, second = (letters[response] for response in pair)
    if relation is Relation.WORSE or (relation is not Relation.BETTER and second < first):
        first, second = second, first
    sign = {None: "?", Relation.TIE: "="}.get(relation, ">")
    return f"{first} {sign} {second}"


def _asked(
    review: Adjudication,
    case: rules.Case,
    question: rules.Question,
    letters: Letters,
    settled: Sequence[rules.SettledPair],
) -> dict[str, Any] | None:
    """The pair that is asked about, the earlier letter on the left, what each side says, and what the rule suggests."""
    if question.pair is None:
        return None
    left, right = sorted(question.pair, key=lambda response: letters[response])
    suggested = None if rules.hides_suggestion(review.id, question.pair) else rules.suggestion(case, question.pair)
    known = {each.pair: each.relation for each in settled}.get(question.pair)
    told = differences(*(review.turn.responses[number].text for number in (left, right)))
    claims = [_claim(side, left, right) for side in (case.first, case.second) if side is not None]
    return {
        "left": left,
        "right": right,
        "texts": {number: marked(segments) for number, segments in zip((left, right), told, strict=True)},
        "claims": claims,
        "suggested": seen_from(suggested, question.pair, left),
        "relation": seen_from(known, question.pair, left),
        "in_doubt": min((claim["ability"] for claim in claims if claim["ability"]), default=None),
    }


def _claim(side: Ranking, left: int, right: int) -> dict[str, Any]:
    pair = (min(left, right), max(left, right))
    relation = side.relations().get(pair)
    return {"relation": seen_from(relation, pair, left), "ability": side.deciding_ability(pair) if relation else None}


def seen_from(relation: Relation | None, pair: Pair, left: int) -> Relation | None:
    """The relation read from the response on the left."""
    if relation is None:
        return None
    return relation if pair[0] == left else relation.mirrored
