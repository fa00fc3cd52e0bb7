"""Blind audits of agreed turns: what the auditor says, how it ends, and how often the agreed order was wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from annotation import blind_audit as rules
from annotation.abilities import Ability
from annotation.adjudication import Case
from annotation.db import utcnow
from annotation.ranking import Ranking
from annotation.refusals import Conflict, Invalid
from annotation.review_tables import Adjudication, ReviewKind, ReviewState, Rewrite
from annotation.store import audit, hooks, places, rankings, review_queue, reviews, second_look
from annotation.tables import SettledBy, Turn


@dataclass(frozen=True)
class AuditFigures:
    """What the audits of a campaign found; ``wrong`` counts turns whose agreed order was overturned."""

    drawn: int
    done: int
    differed: int
    wrong: int
    pairs: int
    pairs_differed: int


def case_of(session: Session, review: Adjudication) -> Case:
    """The two rankings behind the audit; what they agree on is what is audited."""
    first, second = map(rankings.read, rankings.counting(session, review.turn_id))
    return Case(review.turn.campaign.k, first, second, ties=review.turn.campaign.ties_allowed)


def opinion_of(review: Adjudication) -> rules.Opinion:
    """What the auditor has said so far."""
    data = review.decisions.get("audit", {})
    return rules.Opinion(
        steps=tuple((response, level) for response, level in data.get("steps", [])),
        none_acceptable=data.get("none_acceptable", False),
        fixed=data.get("fixed", False),
        overturns=data.get("overturns"),
        reason=data.get("reason", ""),
        abilities=tuple(map(Ability, data.get("abilities", []))),
        rewrite=data.get("rewrite"),
    )


def place(session: Session, review: Adjudication, version: int, response: int, *, level: bool) -> None:
    """Places a response next in the auditor's own order."""
    campaign, before = review.turn.campaign, opinion_of(review)
    if before.fixed or (level and not campaign.ties_allowed):
        raise Invalid("This answer does not fit the question: reload the page.")
    try:
        after = rules.place(before, response, campaign.k, level=level)
    except rules.NoSuchStepError as error:
        raise Invalid("This response has its place already, or a tie has nothing to join: take a step back.") from error
    _save(session, review, version, after)


def none_acceptable(session: Session, review: Adjudication, version: int) -> None:
    """Says that no response is acceptable."""
    before = opinion_of(review)
    if before.fixed:
        raise Invalid("This answer does not fit the question: reload the page.")
    _save(session, review, version, replace(before, none_acceptable=True))


def order(session: Session, review: Adjudication, version: int, own: Ranking) -> None:
    """Says the auditor's whole order at once, which stands from then on; what decides in it is asked later."""
    places.lock_turn(session, review.turn_id)
    before = opinion_of(review)
    if before.fixed:
        raise Invalid("Your own order stands already: it was said blind, so it stays as it is.")
    if own.has_ties and not review.turn.campaign.ties_allowed:
        raise Invalid("This campaign allows no ties: put every response in a group of its own.")
    steps, none = rules.steps_of(own.groups), own.none_acceptable
    _save(session, review, version, replace(before, steps=steps, none_acceptable=none, fixed=True))
    _end_if_whole(session, review)


def fix(session: Session, review: Adjudication, version: int) -> None:
    """Lets the own order stand; only now anything is compared. Where nothing differs the audit is done."""
    places.lock_turn(session, review.turn_id)
    _require_step(session, review, rules.AuditAsks.FIX)
    _save(session, review, version, replace(opinion_of(review), fixed=True))
    _end_if_whole(session, review)


def judge(session: Session, review: Adjudication, version: int, *, overturns: bool, reason: str) -> None:
    """Keeps the agreed order, or overturns it for a reason."""
    places.lock_turn(session, review.turn_id)
    _require_step(session, review, rules.AuditAsks.VERDICT)
    if overturns and not reason.strip():
        raise Invalid("Overturning what both annotators agree on needs a reason: say why.")
    _save(session, review, version, replace(opinion_of(review), overturns=overturns, reason=reason.strip()))
    _end_if_whole(session, review)


def name_ability(session: Session, review: Adjudication, version: int, ability: Ability) -> None:
    """Names what decides at the next boundary of the auditor's order."""
    places.lock_turn(session, review.turn_id)
    _require_step(session, review, rules.AuditAsks.ABILITY)
    before = opinion_of(review)
    _save(session, review, version, replace(before, abilities=(*before.abilities, ability)))
    _end_if_whole(session, review)


def rewrite(session: Session, review: Adjudication, version: int, text: str) -> None:
    """Writes the answer that stands above all unacceptable ones."""
    places.lock_turn(session, review.turn_id)
    _require_step(session, review, rules.AuditAsks.REWRITE)
    if not text.strip():
        raise Invalid("The rewritten answer is empty: write what the model should have said.")
    _save(session, review, version, replace(opinion_of(review), rewrite=text.strip()))
    _end_if_whole(session, review)


def take_back(session: Session, review: Adjudication, version: int) -> None:
    """Takes back the last thing said, or the verdict where it was; the own order stays once it is fixed."""
    if review.state is not ReviewState.DECIDED:
        _save(session, review, version, rules.take_back(opinion_of(review)))
        return
    overturned = opinion_of(review).overturns
    if overturned is None:
        raise Conflict("The audit confirmed what both say, so there is nothing to take back.")
    turn = reviews.unsettle(session, review, version)
    turn.settled_by = SettledBy.AGREED
    if overturned:
        hooks.overturned(session, turn, taken_back=True)
    back = replace(opinion_of(review), overturns=None, reason="", abilities=(), rewrite=None)
    _save(session, review, review.version, back)
    audit.record(session, review.adjudicator_id, "decision taken back", f"turn {turn.id}")


def figures(session: Session, campaign_id: int) -> AuditFigures:
    """What the audits of a campaign found, at the first blind look and after the verdict.

    Turns that were handed over for a second look are left out: they were not drawn by chance.
    """
    by_chance = Turn.id.not_in(second_look.handed_over(session, campaign_id))
    drawn = select(func.count(Turn.id)).where(review_queue.DRAWN, Turn.campaign_id == campaign_id, by_chance)
    done = (
        select(Adjudication.result)
        .join(Turn)
        .where(
            Turn.campaign_id == campaign_id,
            by_chance,
            Adjudication.kind == ReviewKind.AUDIT,
            Adjudication.state == ReviewState.DECIDED,
        )
    )
    found = [result["audit"] for result in session.scalars(done) if result and "audit" in result]
    return AuditFigures(
        drawn=session.scalar(drawn) or 0,
        done=len(found),
        differed=sum(bool(each["differing"]) or each["outcome_differs"] for each in found),
        wrong=sum(each["overturned"] for each in found),
        pairs=sum(each["pairs"] for each in found),
        pairs_differed=sum(each["differing"] for each in found),
    )


def _require_step(session: Session, review: Adjudication, wanted: rules.AuditAsks) -> None:
    if rules.next_step(case_of(session, review), opinion_of(review)) is not wanted:
        raise Invalid("This answer does not fit the question: reload the page.")


def _save(session: Session, review: Adjudication, version: int, opinion: rules.Opinion) -> None:
    data: dict[str, Any] = {
        "steps": [list(step) for step in opinion.steps],
        "none_acceptable": opinion.none_acceptable,
        "fixed": opinion.fixed,
        "overturns": opinion.overturns,
        "reason": opinion.reason,
        "abilities": list(opinion.abilities),
        "rewrite": opinion.rewrite,
    }
    why = {"unlocked_because": opinion.reason} if opinion.overturns else {}
    reviews.save(session, review, version, {"audit": data, **why})


def _end_if_whole(session: Session, review: Adjudication, now: datetime | None = None) -> None:
    """Ends the audit where nothing is left to ask; the turn is settled already, its pairs now say more."""
    turn = places.lock_turn(session, review.turn_id)
    case, opinion = case_of(session, review), opinion_of(review)
    if rules.next_step(case, opinion) is not rules.AuditAsks.NOTHING:
        return
    overturned = bool(opinion.overturns)
    none = overturned and opinion.none_acceptable
    result = {
        "none_acceptable": none,
        "pairs": [reviews.pair_to_json(pair) for pair in rules.settled(case, opinion)],
        "audit": _found(case, opinion),
    }
    done = {"state": ReviewState.DECIDED, "result": result, "decided_at": now or utcnow()}
    reviews.require(reviews.change(session, review, ReviewState.OPEN, **done))
    if none and opinion.rewrite is not None:
        author = review.adjudicator_id
        session.add(Rewrite(turn_id=turn.id, adjudication_id=review.id, author_id=author, text=opinion.rewrite))
        turn.settled_by = SettledBy.REWRITTEN
    if overturned:
        hooks.overturned(session, turn, taken_back=False)
    audit.record(session, review.adjudicator_id, "turn audited", f"turn {turn.id}", overturned=overturned)


def _found(case: Case, opinion: rules.Opinion) -> dict[str, Any]:
    own = rules.own_ranking(opinion, case.k)
    assert own is not None
    return {
        "pairs": len(case.agreed),
        "differing": len(rules.differing(case, own)),
        "outcome_differs": own.none_acceptable,
        "overturned": bool(opinion.overturns),
    }
