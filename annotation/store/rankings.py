"""Rankings come in, are kept once, and settle a turn or send it to review."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Executable, String, bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload, lazyload
from sqlalchemy.orm.attributes import set_committed_value

from annotation import ranking as rules
from annotation.agreement import agree
from annotation.db import utcnow
from annotation.people_tables import User
from annotation.refusals import Conflict, Missing
from annotation.review_policy import Policy, most_important_ability, needs_review, pairs_to_ask
from annotation.store import audit, calibration, guidelines, hooks, places, turn_queue
from annotation.tables import Assignment, AssignmentState, Campaign, Draft, Purpose, Ranking, SettledBy, Turn, TurnState

WITHOUT_TEXT = lazyload(Ranking.guideline)
"""A guideline is long, and which one it was does not matter to what follows from a ranking."""

_OF_USER = select(Assignment).where(
    Assignment.id == bindparam("assignment_id"), Assignment.user_id == bindparam("user_id")
)
_WITH_TURN = joinedload(Assignment.turn, innerjoin=True)
_WITH_RULES = joinedload(Turn.campaign, innerjoin=True)
_TO_SHOW = _OF_USER.options(_WITH_TURN.options(_WITH_RULES))
_TO_WORK_ON = _OF_USER.options(_WITH_TURN.options(_WITH_RULES, *turn_queue.WITHOUT_TEXTS))
_AS_IT_STANDS = (
    select(Assignment.place, Assignment.state, Ranking)
    .outerjoin(
        Ranking,
        (Ranking.assignment_id == bindparam("assignment_id")) | (Ranking.submission_key == bindparam("submission_key")),
    )
    .where(Assignment.id == bindparam("assignment_id"))
    .order_by(Ranking.version)
    .options(WITHOUT_TEXT)
)
_COUNTING = (
    select(Ranking)
    .join(Assignment, Ranking.assignment_id == Assignment.id)
    .where(Assignment.turn_id == bindparam("turn_id"), Assignment.place.is_not(None))
    .where(Assignment.state == AssignmentState.SUBMITTED)
    .order_by(Assignment.place, Ranking.version)
    .options(WITHOUT_TEXT)
)
_LATEST = (
    select(Ranking)
    .where(Ranking.assignment_id == bindparam("assignment_id"))
    .order_by(Ranking.version.desc())
    .limit(1)
    .options(WITHOUT_TEXT)
)
_DRAFT_DONE = delete(Draft).where(Draft.assignment_id == bindparam("of")).execution_options(synchronize_session=False)
_WINDOW = func.coalesce(func.nullif(Draft.body["window"].as_string(), ""), Draft.body["key"].as_string())
_BY_THIS_WINDOW = bindparam("window", type_=String) == _WINDOW
_SAVED_AGAIN = (
    update(Draft)
    .where(Draft.assignment_id == bindparam("of"), (Draft.revision == bindparam("known")) | _BY_THIS_WINDOW)
    .values(revision=Draft.revision + 1, body=bindparam("form"), updated_at=bindparam("now"))
    .returning(Draft.revision)
    .execution_options(synchronize_session=False)
)
"""What every request asks for is put together once: that costs more than to ask."""

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


def own_assignment(session: Session, user: User, assignment_id: int, *, texts: bool = True) -> Assignment:
    """The assignment, if it is this user's; to anybody else it does not exist.

    Without ``texts`` those of the turn are read when they are asked for.
    """
    mine = _TO_SHOW if texts else _TO_WORK_ON
    assignment = session.scalar(mine, {"assignment_id": assignment_id, "user_id": user.id})
    if assignment is None:
        raise Missing("There is no such turn for you.")
    return assignment


def submit(session: Session, assignment: Assignment, submission: Submission, now: datetime | None = None) -> Ranking:
    """Keeps the ranking, once however often it is sent, and moves the turn on.

    The same key and content again returns what was stored; the same key with other content raises Conflict. A ranking
    whose place is gone is kept as late. A correction raises Conflict once the turn is closed.
    """
    turn = places.lock_turn(session, assignment.turn_id)
    found = _known(session, assignment, submission.key)
    same = next((each for each in found if each.submission_key == submission.key), None)
    if same is not None:
        return _same_again(same, assignment, submission)
    late = _comes_late(session, turn, assignment)
    version = found[-1].version + 1 if found else 1
    stored = _version(session, assignment, submission, version, late=late, now=now or utcnow())
    if assignment.state is not AssignmentState.SUBMITTED:  # a correction is no further turn done
        assignment.finished_at = stored.created_at
    if not late:
        assignment.state = AssignmentState.SUBMITTED
    _keep(session, stored)
    if not late and assignment.purpose is Purpose.LABEL:  # the others measure people and settle nothing
        _move_on(session, turn, stored.created_at)
    if late and assignment.state is AssignmentState.RESERVED:  # nothing keeps its annotator any longer
        places.leave_place(session, turn, assignment, AssignmentState.EXPIRED)
    return stored


def latest(session: Session, assignment_id: int) -> Ranking | None:
    """The version that counts."""
    return session.scalar(_LATEST, {"assignment_id": assignment_id})


def counting(session: Session, turn_id: int) -> list[Ranking]:
    """The latest version of each ranking that holds a place of the turn, the first place first: none to two."""
    versions = session.scalars(_COUNTING, {"turn_id": turn_id})
    return list({ranking.assignment_id: ranking for ranking in versions}.values())


def correctable(assignment: Assignment) -> bool:
    """Whether a new version would still be taken; the reason why not is the same whatever happened."""
    if assignment.purpose is Purpose.CALIBRATION:
        return assignment.state is AssignmentState.SUBMITTED and calibration.still_open(assignment)
    return assignment.state is AssignmentState.SUBMITTED and assignment.turn.state in (
        TurnState.ONE_RANKING,
        TurnState.CONTESTED,
    )


def draft_of(session: Session, assignment_id: int) -> Draft | None:
    """The saved draft, if there is one."""
    return session.get(Draft, assignment_id, populate_existing=True)


def save_draft(session: Session, assignment: Assignment, revision: int, body: dict[str, Any]) -> int:
    """Keeps the form as it stands and renews the lease; returns the new revision.

    ``revision`` is the one that the form was loaded with or last saved as; a tab that is behind raises Conflict. A body
    of the ``window`` that saved last, by its ``key`` where it has no name, is never behind: the answer to its own save
    may have been lost, or a page that was loaded again overtaken by it.
    """
    if not places.renew(session, assignment):  # a correction has no lease, but is saved by one window at a time as well
        session.execute(select(Assignment.id).where(Assignment.id == assignment.id).with_for_update())
    saved = _SAVED_AGAIN if revision else _saved_first(session.get_bind().dialect.name)
    values = {
        "of": assignment.id,
        "form": body,
        "now": utcnow(),
        "window": body.get("window") or body.get("key"),
        "known": revision,
    }
    current: int | None = session.scalar(saved, values)
    if current is None:
        raise Conflict("This turn is open in another window that is further on: continue there, or reload this one.")
    return current


def discard_draft(session: Session, assignment: Assignment) -> None:
    """Forgets what was changed after a submission and not submitted; a window that still has it is behind then."""
    session.execute(delete(Draft).where(Draft.assignment_id == assignment.id))


@cache
def _saved_first(dialect: str) -> Executable:
    """A draft from a form that knew of none; one that is there is saved over by the window that saved it alone."""
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    first = insert(Draft).values(
        assignment_id=bindparam("of"), revision=1, body=bindparam("form"), updated_at=bindparam("now")
    )
    further = {"revision": Draft.revision + 1, "body": first.excluded.body, "updated_at": first.excluded.updated_at}
    saved = first.on_conflict_do_update(index_elements=["assignment_id"], set_=further, where=_BY_THIS_WINDOW)
    return saved.returning(Draft.revision)


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


def _known(session: Session, assignment: Assignment, key: str) -> list[Ranking]:
    """The versions of a ranking, and whatever came under the same key; the assignment is then as it stands now."""
    wanted = {"assignment_id": assignment.id, "submission_key": key}
    rows = session.execute(_AS_IT_STANDS, wanted).all()
    set_committed_value(assignment, "place", rows[0].place)
    set_committed_value(assignment, "state", rows[0].state)
    return [row.Ranking for row in rows if row.Ranking is not None]


def _version(
    session: Session, assignment: Assignment, submission: Submission, version: int, *, late: bool, now: datetime
) -> Ranking:
    return Ranking(
        assignment=assignment,
        version=version,
        submission_key=submission.key,
        content_hash=submission.content_hash(),
        body=submission.ranking.to_json(),
        response_order=assignment.response_order,
        guideline_id=guidelines.made_under(session, assignment.user_id, assignment.turn.campaign_id),
        note=submission.note,
        active_seconds=submission.active_seconds,
        late=late,
        created_at=now,
    )


def _keep(session: Session, stored: Ranking) -> None:
    """Writes a version, with what it did to its assignment, and drops the draft that it came from."""
    assignment = stored.assignment
    action = "ranking corrected" if stored.version > 1 else "ranking submitted"
    action = "ranking kept as late" if stored.late else action
    audit.record(session, assignment.user_id, action, f"turn {assignment.turn_id}", version=stored.version)
    session.add(stored)
    try:
        session.flush()
    except IntegrityError as error:  # the same key for another turn at the same moment
        raise Conflict("This form was submitted before with other content, which is kept. Reload to see it.") from error
    session.execute(_DRAFT_DONE, {"of": assignment.id})


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
    drawn = random.SystemRandom().random() < turn.campaign.audit_share
    turn.audit_drawn = drawn and agree(first, second)  # one that a policy left unreviewed was not agreed on


def policy_of(campaign: Campaign) -> Policy:
    """The campaign's review policy as the rules know it."""
    return Policy(campaign.review_policy, campaign.review_distance)
