"""A snapshot comes back as a campaign: all of it, such that freezing it gives the same bytes, or nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from annotation import snapshot
from annotation.abilities import Ability
from annotation.formats import frozen
from annotation.formats.frozen import GuidelineRow, Ranker, RankingRow, ReviewRow, TurnRow
from annotation.formats.rows import digest
from annotation.formats.unpacking import Manifest
from annotation.measure_tables import Pseudonym
from annotation.people_tables import Role, User, UserState
from annotation.refusals import Conflict, Invalid
from annotation.review_policy import most_important_ability, pairs_to_ask
from annotation.review_tables import Adjudication, ReviewKind, ReviewState, Rewrite
from annotation.store import audit, campaigns, frozen_rows, pseudonyms, rankings
from annotation.store.rankings import Submission
from annotation.tables import (
    Assignment,
    AssignmentState,
    Campaign,
    Dialogue,
    Guideline,
    Purpose,
    Ranking,
    Response,
    Turn,
    TurnState,
)

BATCH = 500
CONTRADICTORY = (ValueError, LookupError, TypeError, AttributeError)
UNTOLD = "The archive contradicts itself: what its turns settle cannot be told."
OfTurn = TypeVar("OfTurn", RankingRow, ReviewRow)
Held = dict[tuple[int, str, Purpose], int]
"""The assignments of some turns, by turn, pseudonym and purpose."""


class _InStep(Generic[OfTurn]):
    """The rows of a file that follow the turns in their order."""

    def __init__(self, rows: Iterator[OfTurn]) -> None:
        self._rows: Iterator[OfTurn] = rows
        self._next: OfTurn | None = next(rows, None)

    def of(self, turn: TurnRow) -> list[OfTurn]:
        """The rows of this turn, which stand next in the file."""
        found = []
        while self._next is not None and (self._next.dialogue, self._next.number) == (turn.dialogue, turn.number):
            found.append(self._next)
            self._next = next(self._rows, None)
        return found


def restore(session: Session, folder: Path, manifest: Manifest, *, actor_id: int | None, name: str = "") -> Campaign:
    """Makes a campaign of an unpacked archive, whose people can never log in, under its own or another name.

    Raises Conflict where a campaign of that name is here, and Invalid where the archive contradicts itself, which is
    so whenever freezing what was restored would not give the bytes that were sealed.
    """
    name = name or manifest.campaign
    if campaigns.by_name(session, name) is not None:
        raise Conflict("There is a campaign named {name} already: choose another name.", name=name)
    try:
        campaign = _campaign(session, manifest, name)
        names = _people(session, folder, campaign)
        _turns(session, folder, campaign, names)
    except DBAPIError as error:
        raise Invalid("The archive contradicts itself: the database refuses what it says.") from error
    except CONTRADICTORY as error:
        raise Invalid(UNTOLD) from error
    _require_same_bytes(session, campaign, manifest)
    audit.record(session, actor_id, "archive restored", f"campaign {campaign.id}", name=campaign.name)
    return campaign


def _campaign(session: Session, manifest: Manifest, name: str) -> Campaign:
    rules = manifest.model_dump(exclude={"format", "campaign", "guideline_version", "code_version", "files"})
    campaign = Campaign(name=name, open=False, **rules)
    session.add(campaign)
    session.flush()
    return campaign


def _people(session: Session, folder: Path, campaign: Campaign) -> dict[str, int]:
    """The people of the archive, by pseudonym: deactivated, without a password, of this campaign alone."""
    ranked = {row.annotator for row in frozen.read(folder, snapshot.RANKINGS, Ranker)}
    decided = {row.adjudicator for row in frozen.read(folder, snapshot.REVIEWS, ReviewRow)}
    users = {}
    for name in sorted(ranked | decided):
        users[name] = User(
            login=f"restored-{campaign.id}-{name}",
            name=name,
            role=Role.ADJUDICATOR if name in decided - ranked else Role.ANNOTATOR,
            may_adjudicate=name in decided & ranked,
            state=UserState.DEACTIVATED,
        )
    session.add_all(users.values())
    session.flush()
    session.add_all(Pseudonym(campaign_id=campaign.id, user_id=user.id, name=name) for name, user in users.items())
    session.flush()
    return {name: user.id for name, user in users.items()}


def _turns(session: Session, folder: Path, campaign: Campaign, people: dict[str, int]) -> None:
    guidelines = {}
    for row in frozen.read(folder, snapshot.GUIDELINES, GuidelineRow):
        guideline = Guideline(campaign_id=campaign.id, **row.model_dump())
        session.add(guideline)
        session.flush()
        guidelines[row.version] = guideline.id
    of_annotators = _InStep(frozen.read(folder, snapshot.RANKINGS, RankingRow))
    of_experts = _InStep(frozen.read(folder, snapshot.REVIEWS, ReviewRow))
    dialogues: dict[str, int] = {}
    rows = frozen.read(folder, snapshot.TURNS, TurnRow)
    while batch := list(islice(rows, BATCH)):
        _dialogues(session, campaign, batch, dialogues)
        given, votes = [of_annotators.of(row) for row in batch], [of_experts.of(row) for row in batch]
        turns = [
            _turn_row(campaign.id, dialogues[row.dialogue], row) | _standing(campaign, said, voted, people)
            for row, said, voted in zip(batch, given, votes, strict=True)
        ]
        ids = _ids(session, Turn, turns)
        _insert(session, Response, (each for turn, row in zip(ids, batch, strict=True) for each in _of(turn, row)))
        held = _assignments(session, ids, given, people)
        _insert(
            session,
            Ranking,
            (
                _ranking_row(held[turn, row.annotator, row.purpose], row, guidelines)
                for turn, said in zip(ids, given, strict=True)
                for row in said
                if row.version
            ),
        )
        _votes(session, ids, batch, votes, held, people)


def _dialogues(session: Session, campaign: Campaign, batch: Sequence[TurnRow], known: dict[str, int]) -> None:
    fresh = {row.dialogue: row for row in batch if row.dialogue not in known}
    ids = _ids(
        session,
        Dialogue,
        [
            {"campaign_id": campaign.id, "external_id": name, "department": row.department, "source": row.source}
            for name, row in fresh.items()
        ],
    )
    known.update(zip(fresh, ids, strict=True))


def _turn_row(campaign_id: int, dialogue_id: int, row: TurnRow) -> dict[str, Any]:
    history = [list(exchange) for exchange in row.history]
    return {
        "campaign_id": campaign_id,
        "dialogue_id": dialogue_id,
        "number": row.number,
        "fingerprint": digest([row.system, history, row.message]),
        "system": row.system,
        "history": history,
        "message": row.message,
        "reference_reply": row.reply,
        "department": row.department,
        "in_distribution": row.in_distribution,
        "safety": row.safety,
        "gold": row.gold,
        "priority": row.priority,
        "state": TurnState.SETTLED,
        "settled_by": row.settled_by,
        "settled_at": row.settled_at,
    }


def _standing(
    campaign: Campaign, said: Sequence[RankingRow], votes: Sequence[ReviewRow], people: dict[str, int]
) -> dict[str, Any]:
    """What a turn repeats of its rankings and votes: who holds its places, why it was contested, whether audited."""
    newest = {(row.annotator, row.purpose): row for row in said}.values()
    holders = {row.place: row for row in newest if row.place is not None}
    handed_back = [row for row in newest if row.state is AssignmentState.CANNOT_JUDGE and row.purpose is Purpose.LABEL]
    contested = next((vote for vote in votes if vote.kind is ReviewKind.CONTESTED), None)
    return {
        "places_taken": len(holders),
        "holder_id": people[next(iter(holders.values())).annotator] if len(holders) == 1 else None,
        "times_unjudgeable": len(handed_back),
        "contested_ability": _contested_ability(campaign, holders, contested) if len(holders) == 2 else None,
        "audit_drawn": any(vote.kind is ReviewKind.AUDIT for vote in votes),
    }


def _contested_ability(campaign: Campaign, holders: dict[int, RankingRow], review: ReviewRow | None) -> Ability | None:
    """The most important ability that decides a pair which was asked; by the policy in force where nobody noted it."""
    if review is None:
        return None
    first, second = (holders[place].ranking() for place in (1, 2))
    noted = review.decisions.get("pairs_asked")
    if noted is None:
        asked = pairs_to_ask(rankings.policy_of(campaign), first, second)
    else:
        asked = frozenset((one, other) for one, other in noted)
    return most_important_ability(asked, first, second)


def _of(turn: int, row: TurnRow) -> Iterator[dict[str, Any]]:
    return ({"turn_id": turn, "number": n, **response.model_dump()} for n, response in enumerate(row.responses))


def _assignments(
    session: Session, turns: Sequence[int], given: Sequence[Sequence[RankingRow]], people: dict[str, int]
) -> Held:
    """Their ids, by turn, pseudonym and purpose; the last version says how each ended."""
    last = {(turn, row.annotator, row.purpose): row for turn, said in zip(turns, given, strict=True) for row in said}
    rows = [
        {
            "turn_id": turn,
            "user_id": people[row.annotator],
            "purpose": row.purpose,
            "place": row.place,
            "state": row.state,
            "leased_until": row.given_at,
            "response_order": row.shown_order,
            "reason": row.reason,
            "created_at": row.given_at,
            "finished_at": None if row.state is AssignmentState.EXPIRED else row.submitted_at,
            "selection_probability": row.selection_probability,
        }
        for (turn, *_), row in last.items()
    ]
    return dict(zip(last, _ids(session, Assignment, rows), strict=True))


def _ranking_row(assignment: int, row: RankingRow, guidelines: dict[int, int]) -> dict[str, Any]:
    ranking = row.ranking()
    return {
        "assignment_id": assignment,
        "version": row.version,
        "submission_key": f"restored-{assignment}-{row.version}",
        "content_hash": Submission("", ranking, row.note).content_hash(),
        "body": ranking.to_json(),
        "response_order": row.shown_order,
        "guideline_id": guidelines.get(row.guideline_version or 0),
        "note": row.note,
        "active_seconds": row.active_seconds,
        "late": row.late,
        "created_at": row.submitted_at,
    }


def _votes(
    session: Session,
    turns: Sequence[int],
    batch: Sequence[TurnRow],
    votes: Sequence[Sequence[ReviewRow]],
    held: Held,
    people: dict[str, int],
) -> None:
    """What adjudicators decided, and what they wrote."""
    of_turns = [(turn, row, vote) for turn, row, said in zip(turns, batch, votes, strict=True) for vote in said]
    ids = _ids(session, Adjudication, [_vote_row(turn, vote, held, people) for turn, _, vote in of_turns])
    _insert(
        session,
        Rewrite,
        (
            {
                "turn_id": turn,
                "adjudication_id": adjudication,
                "author_id": people[vote.adjudicator],
                "text": row.rewrite,
                "created_at": vote.rewritten_at,
            }
            for adjudication, (turn, row, vote) in zip(ids, of_turns, strict=True)
            if vote.rewritten_at is not None
        ),
    )


def _vote_row(turn: int, vote: ReviewRow, held: Held, people: dict[str, int]) -> dict[str, Any]:
    first, second = vote.annotators
    return {
        "turn_id": turn,
        "adjudicator_id": people[vote.adjudicator],
        "kind": vote.kind,
        "first_assignment_id": first and held.get((turn, first, Purpose.LABEL)),
        "first_annotator_id": first and people.get(first),
        "second_assignment_id": second and held.get((turn, second, Purpose.LABEL)),
        "second_annotator_id": second and people.get(second),
        "state": ReviewState.DECIDED,
        "version": 1,
        "leased_until": vote.decided_at,
        "response_order": vote.shown_order,
        "decisions": vote.decisions,
        "result": vote.result,
        "created_at": vote.opened_at,
        "decided_at": vote.decided_at,
    }


def _ids(session: Session, table: type[Any], rows: list[dict[str, Any]]) -> Sequence[int]:
    if not rows:
        return []
    wanted = insert(table).returning(table.id, sort_by_parameter_order=True)
    return session.scalars(wanted, rows).all()


def _insert(session: Session, table: type[Any], rows: Iterable[dict[str, Any]]) -> None:
    found = list(rows)
    if found:
        session.execute(insert(table), found)


def _require_same_bytes(session: Session, campaign: Campaign, manifest: Manifest) -> None:
    """What was restored must freeze to what was sealed: else the files said more, or other things, than they may."""
    names = pseudonyms.names(session, campaign.id)
    try:
        seals = snapshot.seal(frozen_rows.rows(session, campaign, names, Counter()))
    except CONTRADICTORY as error:
        raise Invalid(UNTOLD) from error
    for name, found in seals.items():
        if found.sha256 != manifest.files[name].sha256:
            raise Invalid("The archive contradicts itself: {name} does not follow from the other files.", name=name)
    about = frozen_rows.about(campaign, campaigns.guideline(session, campaign.id).version, manifest.code_version)
    said = {**manifest.model_dump(mode="json", exclude={"format", "files"}), "campaign": campaign.name}
    if json.loads(json.dumps(about)) != said:
        raise Invalid("The archive contradicts itself: {name} does not follow from the other files.", name="manifest")
