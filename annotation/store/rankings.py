"""Rankings come in, are kept once, and settle a turn or send it to review."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload, lazyload

from annotation import ranking as rules
from annotation.db import utcnow
from annotation.refusals import Conflict, Missing
from annotation.review_policy import Policy, most_important_ability, needs_review, pairs_to_ask
from annotation.store import audit, calibration, guidelines, hooks, places
from annotation.tables import (
    Assignment,
    AssignmentState,
    Campaign,
    Draft,
    Purpose,
    Ranking,
    SettledBy,
    Turn,
    TurnState,
    User,
)

WITHOUT_TEXT = lazyload(Ranking.guideline)
"""A guideline is long, and which one it was does not matter to what follows from a ranking."""

CLOSED = "This turn has been closed in the meantime, so its ranking can no longer be changed. Yours is kept as it was."


@dataclass(frozen=True)
class Submission:
    """What somebody submits; the key is minted by the form, so that the same again is recognised."""

    key: str
    ranking: rules.Ranking
    note: str = ""
    active_seconds: float = 0.0

    def content_hash(self) -> str:
        """Tells the same submission from a different one under the same key."""
        content = json.dumps([self.ranking.to_json(), self.note], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


def own_assignment(session: Session, user: User, assignment_id: int) -> Assignment:
    """The assignment, if it is this user's; to anybody else it does not exist."""
    with_rules = joinedload(Assignment.turn, innerjoin=True).joinedload(Turn.campaign, innerjoin=True)
    assignment = session.get(Assignment, assignment_id, options=[with_rules])
    if assignment is None or assignment.user_id != user.id:
        raise Missing("There is no such turn for you.")
    return assignment


def submit(session: Session, assignment: Assignment, submission: Submission, now: datetime | None = None) -> Ranking:
    """Keeps the ranking, once however often it is sent, and moves the turn on.

    The same key and content again returns what was stored; the same key with other content raises Conflict. A ranking
    whose place is gone is kept as late. A correction raises Conflict once the turn is closed.
    """
    turn = places.lock_turn(session, assignment.turn_id)
    session.refresh(assignment, ["place", "state"])
    known = (Ranking.submission_key == submission.key) | (Ranking.assignment_id == assignment.id)
    found = session.scalars(select(Ranking).where(known).order_by(Ranking.version).options(WITHOUT_TEXT)).all()
    same = next((each for each in found if each.submission_key == submission.key), None)
    if same is not None:
        return _same_again(same, assignment, submission)
    late = _comes_late(session, turn, assignment)
    version = found[-1].version + 1 if found else 1
    stored = _keep(session, assignment, submission, version, late=late, now=now or utcnow())
    if assignment.state is not AssignmentState.SUBMITTED:  # a correction is no further turn done
        assignment.finished_at = stored.created_at
    if late:
        if assignment.state is AssignmentState.RESERVED:  # nothing keeps its annotator any longer
            places.leave_place(session, turn, assignment, AssignmentState.EXPIRED)
    else:
        assignment.state = AssignmentState.SUBMITTED
        session.flush()
        if assignment.purpose is Purpose.LABEL:  # the others measure people and settle nothing
            _move_on(session, turn, stored.created_at)
    return stored


def latest(session: Session, assignment_id: int) -> Ranking | None:
    """The version that counts."""
    versions = select(Ranking).where(Ranking.assignment_id == assignment_id).order_by(Ranking.version.desc())
    return session.scalar(versions.limit(1))


def counting(session: Session, turn_id: int) -> list[Ranking]:
    """The latest version of each ranking that holds a place of the turn, the first place first: none to two."""
    versions = (
        select(Ranking)
        .join(Assignment, Ranking.assignment_id == Assignment.id)
        .where(Assignment.turn_id == turn_id, Assignment.place.is_not(None))
        .where(Assignment.state == AssignmentState.SUBMITTED)
        .order_by(Assignment.place, Ranking.version)
        .options(WITHOUT_TEXT)
    )
    return list({ranking.assignment_id: ranking for ranking in session.scalars(versions)}.values())


def correctable(assignment: Assignment) -> bool:
    """Whether a new version would still be taken; the reason why not is the same whatever happened."""
    if assignment.purpose is Purpose.CALIBRATION:
        return assignment.state is AssignmentState.SUBMITTED and calibration.still_open(assignment)
    return assignment.state is AssignmentState.SUBMITTED and assignment.turn.state in (
        TurnState.ONE_RANKING,
        TurnState.CONTESTED,
    )


def late_ones(session: Session, campaign_id: int) -> Sequence[Ranking]:
    """Rankings that came after their place was gone, newest first."""
    late = select(Ranking).join(Assignment).join(Turn).where(Turn.campaign_id == campaign_id, Ranking.late.is_(True))
    return session.scalars(late.order_by(Ranking.id.desc())).all()


def draft_of(session: Session, assignment_id: int) -> Draft | None:
    """The saved draft, if there is one."""
    return session.get(Draft, assignment_id)


def save_draft(session: Session, assignment: Assignment, revision: int, body: dict[str, Any]) -> int:
    """Keeps the form as it stands and renews the lease; returns the new revision.

    ``revision`` is the one that the form was loaded with or last saved as; a tab that is behind raises Conflict. A body
    with the ``key`` of the window that saved last is never behind.
    """
    if not places.renew(session, assignment):  # a correction has no lease, but is saved by one window at a time as well
        session.execute(select(Assignment.id).where(Assignment.id == assignment.id).with_for_update())
    draft = session.get(Draft, assignment.id, populate_existing=True)
    current = 0 if draft is None else draft.revision
    repeated = draft is not None and "key" in body and draft.body.get("key") == body["key"]
    if revision != current and not repeated:  # the answer to a window's own save may have been lost
        raise Conflict("This turn is open in another window that is further on: continue there, or reload this one.")
    if draft is None:
        draft = Draft(assignment_id=assignment.id, revision=0, body={})
        session.add(draft)
    draft.revision, draft.body, draft.updated_at = current + 1, body, utcnow()
    return draft.revision


def read(ranking: Ranking) -> rules.Ranking:
    """The ranking as the rules know it."""
    return rules.Ranking.from_json(ranking.body)


def _same_again(stored: Ranking, assignment: Assignment, submission: Submission) -> Ranking:
    if stored.assignment_id != assignment.id or stored.content_hash != submission.content_hash():
        raise Conflict("This form was submitted before with other content, which is kept. Reload to see it.")
    return stored


def _comes_late(session: Session, turn: Turn, assignment: Assignment) -> bool:
    """Whether the place is gone; takes it back where it is still free. Raises Conflict for a closed correction."""
    if assignment.state is AssignmentState.SUBMITTED:
        if not correctable(assignment):
            raise Conflict(CLOSED)
        return False
    if assignment.state is AssignmentState.CANNOT_JUDGE:
        raise Conflict("You have handed this turn back, so it is no longer yours to rank.")
    if assignment.place is not None:
        return turn.state in (TurnState.IN_REVIEW, TurnState.SETTLED, TurnState.WITHDRAWN)
    return assignment.purpose is Purpose.LABEL and not places.take_place(session, turn, assignment)


def _keep(
    session: Session, assignment: Assignment, submission: Submission, version: int, *, late: bool, now: datetime
) -> Ranking:
    stored = Ranking(
        assignment=assignment,
        version=version,
        submission_key=submission.key,
        content_hash=submission.content_hash(),
        body=submission.ranking.to_json(),
        response_order=assignment.response_order,
        guideline=guidelines.made_under(session, assignment.user_id, assignment.turn.campaign_id),
        note=submission.note,
        active_seconds=submission.active_seconds,
        late=late,
        created_at=now,
    )
    session.add(stored)
    session.query(Draft).filter(Draft.assignment_id == assignment.id).delete()
    try:
        session.flush()
    except IntegrityError as error:  # the same key for another turn at the same moment
        raise Conflict("This form was submitted before with other content, which is kept. Reload to see it.") from error
    action = "ranking kept as late" if late else "ranking submitted" if version == 1 else "ranking corrected"
    audit.record(session, assignment.user_id, action, f"turn {assignment.turn_id}", version=version)
    return stored


def _move_on(session: Session, turn: Turn, now: datetime) -> None:
    """Settles the turn, or sends it to review, once both rankings are there."""
    if turn.state not in (*places.WAITING_FOR_RANKINGS, TurnState.CONTESTED):
        return
    found = [read(ranking) for ranking in counting(session, turn.id)]
    if len(found) < 2:
        turn.state = TurnState.CONTESTED if turn.state is TurnState.CONTESTED else TurnState.ONE_RANKING
        return
    first, second = found
    before = turn.state
    sort_out(turn, first, second, now)
    hooks.moved(session, turn, before)


def sort_out(turn: Turn, first: rules.Ranking, second: rules.Ranking, now: datetime) -> None:
    """Settles a turn with two rankings, or sends it to review, as the campaign's policy says; the turn is locked."""
    policy = policy_of(turn.campaign)
    if needs_review(policy, first, second):
        turn.state = TurnState.CONTESTED
        turn.contested_ability = most_important_ability(pairs_to_ask(policy, first, second), first, second)
        return
    turn.state, turn.settled_by, turn.settled_at = TurnState.SETTLED, SettledBy.AGREED, now
    turn.contested_ability = None
    turn.audit_drawn = random.SystemRandom().random() < turn.campaign.audit_share


def policy_of(campaign: Campaign) -> Policy:
    """The campaign's review policy as the rules know it."""
    return Policy(campaign.review_policy, campaign.review_distance)
