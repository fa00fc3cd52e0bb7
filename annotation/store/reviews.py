"""Reviews of contested turns: who holds which, what was answered, how it ended."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, exists, select, update
from sqlalchemy.orm import Session

from annotation import adjudication as rules
from annotation.abilities import Ability
from annotation.db import utcnow
from annotation.people_tables import User
from annotation.ranking import Pair, Relation
from annotation.refusals import Conflict, Invalid, Missing
from annotation.review_policy import pairs_to_ask
from annotation.review_tables import Adjudication, ReviewKind, ReviewState, Rewrite
from annotation.store import audit, hooks, places, rankings, review_queue
from annotation.tables import Ranking, SettledBy, Turn, TurnState

REVIEW_LEASE = timedelta(hours=1)
TAKEN_BACK_WITHIN = timedelta(hours=1)
"""So long a decision may be taken back, if the next turn is not opened before."""

KEPT = ("unlocked_because", "pairs_asked")
"""What a further answer leaves as it is."""


def open_next(session: Session, user: User, now: datetime | None = None, *, audits: bool = True) -> Adjudication | None:
    """The review that this adjudicator has open, else the next contested turn, the most important ability first.

    With ``audits`` agreed turns come in between, to be ordered blind.
    """
    now = now or utcnow()
    _require_right(user)
    _one_window_at_a_time(session, user.id)
    held = _held_by(session, user)
    if held is not None and held.kind is ReviewKind.AUDIT and not audits:
        raise Conflict("You have a turn open that you order alone: finish it, hand it back, or ask with audits=true.")
    if held is not None:
        held.leased_until = now + REVIEW_LEASE
        return held
    release_expired(session, now)
    while (found := review_queue.find(session, user, audits=audits)) is not None:
        turn, kind = found
        if not _settled_since(session, turn, kind, now):
            return _open(session, turn, kind, user, now)
    return None


def _settled_since(session: Session, turn: Turn, kind: ReviewKind, now: datetime) -> bool:
    """Whether the policy in force needs no third expert: it may have changed while the second ranking came in."""
    given = rankings.counting(session, turn.id)
    if kind is not ReviewKind.CONTESTED or len(given) < 2:
        return False
    first, second = map(rankings.read, given)
    rankings.sort_out(turn, first, second, now)
    hooks.moved(session, turn, TurnState.CONTESTED)
    session.flush()
    return turn.state is TurnState.SETTLED


def release_expired(session: Session, now: datetime) -> None:
    """Puts turns back into the queue whose adjudicator has gone away; one whose lease was renewed meanwhile stays.

    A turn that somebody works on this moment is passed over, so this never waits for anyone.
    """
    run_out = (Adjudication.state == ReviewState.OPEN) & (Adjudication.leased_until < now)
    turns = (
        select(Turn)
        .where(Turn.id.in_(select(Adjudication.turn_id).where(run_out)))
        .order_by(Turn.id)
        .with_for_update(of=Turn, skip_locked=True)
        .execution_options(populate_existing=True)
    )
    left = {turn.id: turn for turn in session.scalars(turns)}
    for adjudication in session.scalars(select(Adjudication).where(run_out, Adjudication.turn_id.in_(left))).all():
        if change(session, adjudication, ReviewState.OPEN, Adjudication.leased_until < now, state=ReviewState.RELEASED):
            _back_in_queue(left[adjudication.turn_id], adjudication)


def renew(session: Session, adjudication: Adjudication, now: datetime | None = None) -> bool:
    """Extends the lease of a review that is open; says whether it still was. What a window shows stays current."""
    mine = (Adjudication.id == adjudication.id) & (Adjudication.state == ReviewState.OPEN)
    until = (now or utcnow()) + REVIEW_LEASE
    renewed = update(Adjudication).where(mine).values(leased_until=until).returning(Adjudication.id)
    return session.scalar(renewed) is not None


def hand_back(session: Session, adjudication: Adjudication, version: int, now: datetime | None = None) -> None:
    """Gives the turn to somebody else, undecided; what was answered is kept with the review and counts for nothing."""
    turn = places.lock_turn(session, adjudication.turn_id)
    current = Adjudication.version == version
    done = {"state": ReviewState.RELEASED, "decided_at": now or utcnow()}
    require(change(session, adjudication, ReviewState.OPEN, current, **done))
    _back_in_queue(turn, adjudication)
    audit.record(session, adjudication.adjudicator_id, "review handed back", f"turn {turn.id}")


def _back_in_queue(turn: Turn, adjudication: Adjudication) -> None:
    if adjudication.kind is ReviewKind.CONTESTED:
        turn.state = TurnState.CONTESTED


def own_review(session: Session, user: User, adjudication_id: int) -> Adjudication:
    """The review, if it is this user's; to anybody else it does not exist."""
    adjudication = session.get(Adjudication, adjudication_id)
    if adjudication is None or adjudication.adjudicator_id != user.id:
        raise Missing("There is no such review for you.")
    return adjudication


def case_of(session: Session, adjudication: Adjudication) -> rules.Case:
    """The case before the adjudicator, from the rankings that count; raises Missing for an audit, which is blind."""
    _require_contested(adjudication)
    found = [rankings.read(ranking) for ranking in rankings.counting(session, adjudication.turn_id)]
    if adjudication.response_order[0] > adjudication.response_order[1]:  # drawn, so who came first cannot be told
        found.reverse()
    first, second = [*found, None, None][:2]
    return rules.Case(
        k=adjudication.turn.campaign.k,
        first=first,
        second=second,
        ties=adjudication.turn.campaign.ties_allowed,
        unlocked=bool(adjudication.decisions.get("unlocked_because")),
        asked_about=_pairs_asked(adjudication),
    )


def _pairs_asked(adjudication: Adjudication) -> frozenset[Pair] | None:
    """The pairs that the policy had asked when the review was opened; None for all."""
    asked = adjudication.decisions.get("pairs_asked")
    return None if asked is None else frozenset((pair[0], pair[1]) for pair in asked)


def decisions_of(adjudication: Adjudication) -> rules.Decisions:
    """What was answered so far; raises Missing for an audit."""
    _require_contested(adjudication)
    data = adjudication.decisions
    return rules.Decisions(
        none_acceptable=data.get("none_acceptable"),
        answers=tuple(
            rules.Answer(
                (a["pair"][0], a["pair"][1]), Relation(a["relation"]), Ability(a["ability"]) if a["ability"] else None
            )
            for a in data.get("answers", [])
        ),
        rewrite=data.get("rewrite"),
    )


def answer_outcome(session: Session, adjudication: Adjudication, version: int, *, none_acceptable: bool) -> None:
    """Says whether none of the responses is acceptable."""
    _save(session, adjudication, version, replace(decisions_of(adjudication), none_acceptable=none_acceptable))


def answer_pair(session: Session, adjudication: Adjudication, version: int, answer: rules.Answer) -> None:
    """Answers a pair, or names what decides one that was answered; raises CannotFollowError where it contradicts."""
    case, before = case_of(session, adjudication), decisions_of(adjudication)
    others = tuple(given for given in before.answers if given.pair != answer.pair)
    if answer.pair not in case.to_settle:
        raise Invalid("This pair is agreed and locked: unlock the agreed part first, giving a reason.")
    rules.candidates(case, (*others, answer))
    _save(session, adjudication, version, replace(before, answers=(*others, answer)))


def answer_rewrite(session: Session, adjudication: Adjudication, version: int, text: str) -> None:
    """Writes the answer that stands above all unacceptable ones."""
    if not text.strip():
        raise Invalid("The rewritten answer is empty: write what the model should have said.")
    _save(session, adjudication, version, replace(decisions_of(adjudication), rewrite=text.strip()))


def take_back(session: Session, adjudication: Adjudication, version: int) -> None:
    """Takes back the last thing that was said."""
    before = decisions_of(adjudication)
    if before.rewrite is not None:
        after = replace(before, rewrite=None)
    elif before.answers:
        after = replace(before, answers=before.answers[:-1])
    else:
        after = replace(before, none_acceptable=None)
    _save(session, adjudication, version, after)


def unlock(session: Session, adjudication: Adjudication, version: int, reason: str) -> None:
    """Opens what both annotators agree on, for a stated reason; what was answered so far stands."""
    if not reason.strip():
        raise Invalid("Overturning what both annotators agree on needs a reason: say why.")
    _save(session, adjudication, version, decisions_of(adjudication), unlocked_because=reason.strip())
    audit.record(session, adjudication.adjudicator_id, "agreed part unlocked", f"turn {adjudication.turn_id}")


def decide(session: Session, adjudication: Adjudication, version: int, now: datetime | None = None) -> None:
    """Settles the turn; raises Invalid while a question is open."""
    now = now or utcnow()
    turn = places.lock_turn(session, adjudication.turn_id)
    case, said = case_of(session, adjudication), decisions_of(adjudication)
    if rules.next_step(case, said).asks is not rules.Asks.NOTHING:
        raise Invalid("There are still questions open: answer them first.")
    none_acceptable = bool(rules.outcome(case, said))
    settled = rules.settle(case, said.answers) if rules.sorts(case, none_acceptable) else []
    result = {"none_acceptable": none_acceptable, "pairs": [pair_to_json(pair) for pair in settled]}
    done = {"state": ReviewState.DECIDED, "result": result, "decided_at": now}
    require(change(session, adjudication, ReviewState.OPEN, Adjudication.version == version, **done))
    if none_acceptable and said.rewrite is not None:
        author = adjudication.adjudicator_id
        session.add(Rewrite(turn_id=turn.id, adjudication_id=adjudication.id, author_id=author, text=said.rewrite))
    turn.state = TurnState.SETTLED
    turn.settled_by = SettledBy.REWRITTEN if none_acceptable else SettledBy.ADJUDICATED
    turn.settled_at = now
    hooks.settled(session, turn)
    audit.record(session, adjudication.adjudicator_id, "turn adjudicated", f"turn {turn.id}", by=turn.settled_by)


def reopen(session: Session, adjudication: Adjudication, version: int) -> None:
    """Takes a decision back, until the same adjudicator has opened the next turn."""
    _require_contested(adjudication)
    turn = unsettle(session, adjudication, version)
    turn.state, turn.settled_by, turn.settled_at = TurnState.IN_REVIEW, None, None
    hooks.reopened(session, turn)
    audit.record(session, adjudication.adjudicator_id, "decision taken back", f"turn {turn.id}")


def unsettle(session: Session, adjudication: Adjudication, version: int) -> Turn:
    """Opens a decided review again and returns its turn, locked; raises Conflict once the next one was opened."""
    _one_window_at_a_time(session, adjudication.adjudicator_id)
    newer = exists().where(
        Adjudication.adjudicator_id == adjudication.adjudicator_id, Adjudication.id > adjudication.id
    )
    if session.scalar(select(newer)):
        raise Conflict("You have opened the next turn since, so this decision stands.")
    if adjudication.decided_at is not None and adjudication.decided_at < utcnow() - TAKEN_BACK_WITHIN:
        raise Conflict("This was decided more than an hour ago, so the decision stands.")
    turn = places.lock_turn(session, adjudication.turn_id)
    undone = {"state": ReviewState.OPEN, "result": None, "decided_at": None, "leased_until": utcnow() + REVIEW_LEASE}
    require(change(session, adjudication, ReviewState.DECIDED, Adjudication.version == version, **undone))
    session.query(Rewrite).filter(Rewrite.adjudication_id == adjudication.id).delete()
    return turn


def pair_to_json(settled: rules.SettledPair) -> dict[str, Any]:
    """The form in which a settled pair is stored."""
    return {
        "pair": list(settled.pair),
        "relation": settled.relation,
        "ability": settled.ability,
        "provenance": settled.provenance,
    }


def pair_from_json(data: dict[str, Any]) -> rules.SettledPair:
    """Reads what ``pair_to_json`` wrote."""
    return rules.SettledPair(
        (data["pair"][0], data["pair"][1]),
        Relation(data["relation"]) if data["relation"] else None,
        Ability(data["ability"]) if data["ability"] else None,
        rules.Provenance(data["provenance"]),
    )


def _require_contested(adjudication: Adjudication) -> None:
    if adjudication.kind is not ReviewKind.CONTESTED:
        raise Missing("There is no such review for you.")


def _require_right(user: User) -> None:
    if not user.adjudicates:
        raise Missing("There is no review queue for you.")


def _one_window_at_a_time(session: Session, user_id: int) -> None:
    """Of several windows of one adjudicator that open a turn or take a decision back, each waits for the one before."""
    session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))


def _held_by(session: Session, user: User) -> Adjudication | None:
    held = select(Adjudication).where(Adjudication.adjudicator_id == user.id, Adjudication.state == ReviewState.OPEN)
    return session.scalar(held.order_by(Adjudication.id).limit(1))


def _open(session: Session, turn: Turn, kind: ReviewKind, user: User, now: datetime) -> Adjudication:
    given = rankings.counting(session, turn.id)
    first, second = [*(ranking.assignment for ranking in given), None, None][:2]
    adjudication = Adjudication(
        turn=turn,
        adjudicator_id=user.id,
        kind=kind,
        first_assignment_id=first and first.id,
        first_annotator_id=first and first.user_id,
        second_assignment_id=second and second.id,
        second_annotator_id=second and second.user_id,
        leased_until=now + REVIEW_LEASE,
        response_order=random.SystemRandom().sample(range(turn.campaign.k), turn.campaign.k),
        decisions=_asked_at_opening(turn, given) if kind is ReviewKind.CONTESTED else {},
    )
    session.add(adjudication)
    if kind is ReviewKind.CONTESTED:
        turn.state = TurnState.IN_REVIEW
    session.flush()
    audit.record(session, user.id, "review opened", f"turn {turn.id}")
    return adjudication


def _asked_at_opening(turn: Turn, given: Sequence[Ranking]) -> dict[str, Any]:
    """The pairs that the policy has asked now: a later one does not change a review that is open."""
    if len(given) < 2:
        return {}
    first, second = map(rankings.read, given)
    return {"pairs_asked": sorted(pairs_to_ask(rankings.policy_of(turn.campaign), first, second))}


def _save(session: Session, adjudication: Adjudication, version: int, said: rules.Decisions, **more: str) -> None:
    kept = {key: adjudication.decisions[key] for key in KEPT if key in adjudication.decisions}
    answers = [
        {
            "pair": list(a.pair),
            "relation": a.relation,
            "ability": a.ability,
            "suggestion_hidden": rules.hides_suggestion(adjudication.id, a.pair),
        }
        for a in said.answers
    ]
    data = {**kept, **more, "none_acceptable": said.none_acceptable, "answers": answers, "rewrite": said.rewrite}
    save(session, adjudication, version, data)


def save(session: Session, adjudication: Adjudication, version: int, decisions: dict[str, Any]) -> None:
    """Keeps what was said, if this window is current, and renews the lease."""
    current, until = Adjudication.version == version, utcnow() + REVIEW_LEASE
    require(change(session, adjudication, ReviewState.OPEN, current, decisions=decisions, leased_until=until))


def change(
    session: Session, adjudication: Adjudication, was: ReviewState, *conditions: ColumnElement[bool], **values: Any
) -> bool:
    """Compare-and-set: changes the review if it is still in this state and the conditions hold; says whether it did."""
    expected = (Adjudication.id == adjudication.id, Adjudication.state == was, *conditions)
    changed = update(Adjudication).where(*expected).values(version=Adjudication.version + 1, **values)
    won = session.scalar(changed.returning(Adjudication.id))
    session.refresh(adjudication)
    return won is not None


def require(won: bool) -> None:
    """Raises Conflict where a change was not made because another window was faster."""
    if not won:
        raise Conflict("This turn went on in another window: here is how it stands now.")
