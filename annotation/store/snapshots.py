"""What a campaign has settled, as the rows of a snapshot."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from annotation import adjudication, snapshot
from annotation.db import Database
from annotation.outside_tables import Event
from annotation.ranking import Relation, format_order, pairs_of
from annotation.refusals import Conflict, Missing
from annotation.run_tables import Snapshot
from annotation.store import audit, campaigns, hooks, rankings, reviews
from annotation.tables import (
    Adjudication,
    Assignment,
    AssignmentState,
    Campaign,
    Ranking,
    ReviewState,
    Rewrite,
    Turn,
    TurnState,
)

BATCH = 500


def every(session: Session, campaign_id: int | None = None) -> Sequence[Snapshot]:
    """All snapshots, or those of one campaign, newest first."""
    wanted = select(Snapshot).order_by(Snapshot.id.desc())
    return session.scalars(wanted if campaign_id is None else wanted.where(Snapshot.campaign_id == campaign_id)).all()


def get(session: Session, snapshot_id: int) -> Snapshot:
    """The snapshot; raises Missing."""
    found = session.get(Snapshot, snapshot_id)
    if found is None:
        raise Missing("This snapshot does not exist.")
    return found


def freeze(database: Database, campaign_id: int, root: Path, *, actor_id: int | None) -> int:
    """Writes all that the campaign has settled to a new folder under ``root`` and returns the snapshot's id.

    Everything is read in one transaction, so the folder shows one moment; raises Conflict where nothing is settled.
    """
    with database.reading() as session:
        campaign = campaigns.get(session, campaign_id)
        name = _free_name(session, campaign_id, root)
        counts: Counter[str] = Counter()
        about = _about(session, campaign, name)
        if session.scalar(select(Turn.id).where(*_settled(campaign_id)).limit(1)) is None:
            raise Conflict("No turn is settled yet, so there is nothing to freeze.")
        try:
            frozen = snapshot.write(root / name, about, _rows(session, campaign, counts))
        except FileExistsError as error:
            raise Conflict("Somebody else freezes this campaign at this moment: look at its snapshots.") from error
    with database.writing() as session:
        row = Snapshot(
            campaign_id=campaign_id,
            name=name,
            folder=str(frozen.folder),
            sha256=frozen.sha256,
            counts=dict(sorted(counts.items())),
            created_by_id=actor_id,
        )
        session.add(row)
        session.flush()
        hooks.tell(session, Event.SNAPSHOT_FROZEN, campaign_id=campaign_id, snapshot_id=row.id, sha256=row.sha256)
        audit.record(session, actor_id, "snapshot frozen", f"snapshot {row.id}", sha256=frozen.sha256, **row.counts)
        return row.id


def _free_name(session: Session, campaign_id: int, root: Path) -> str:
    """The next number that neither a snapshot has nor a folder that a crash left behind."""
    known = {snapshot.name for snapshot in every(session, campaign_id)}
    names = (f"{campaign_id}-{number}" for number in count(len(known) + 1))
    return next(name for name in names if name not in known and not (root / name).exists())


def code_version() -> str:
    """The version of this software, for the manifest."""
    try:
        return version("zhongjing-feedback")
    except PackageNotFoundError:
        return "unknown"


def pseudonym(campaign: Campaign, user_id: int) -> str:
    """How an annotator is named outside: always the same within a campaign, and telling nothing."""
    return hashlib.sha256(f"{campaign.id}:{campaign.created_at.isoformat()}:{user_id}".encode()).hexdigest()[:8]


def _about(session: Session, campaign: Campaign, name: str) -> dict[str, Any]:
    return {
        "snapshot": name,
        "campaign": campaign.name,
        "k": campaign.k,
        "ties_allowed": campaign.ties_allowed,
        "priority_rule": campaign.priority_rule,
        "guideline_version": campaigns.guideline(session, campaign.id).version,
        "code_version": code_version(),
    }


def _settled(campaign_id: int) -> tuple[Any, ...]:
    return Turn.campaign_id == campaign_id, Turn.state == TurnState.SETTLED


def _rows(session: Session, campaign: Campaign, counts: Counter[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    last = 0
    while True:
        batch = session.scalars(
            select(Turn).where(*_settled(campaign.id), Turn.id > last).order_by(Turn.id).limit(BATCH)
        ).all()
        if not batch:
            return
        last = batch[-1].id
        context = _Context(session, [turn.id for turn in batch])
        for turn in batch:
            row = _turn_row(turn, context)
            counts["turns"] += 1
            counts[f"turns {turn.settled_by}"] += 1
            counts["pairs"] += sum("better" in pair for pair in row["pairs"])
            counts["ties"] += sum("tie" in pair for pair in row["pairs"])
            yield snapshot.TURNS, row
            for user_id, given in context.given.get(turn.id, []):
                counts["rankings"] += 1
                yield snapshot.RANKINGS, _ranking_row(turn, pseudonym(campaign, user_id), given)
        session.expunge_all()
        session.add(campaign)


class _Context:
    """What belongs to a batch of turns, fetched in three queries."""

    def __init__(self, session: Session, turn_ids: Sequence[int]) -> None:
        submitted = (
            select(Assignment.turn_id, Assignment.user_id, Ranking)
            .join(Ranking, Ranking.assignment_id == Assignment.id)
            .where(Assignment.turn_id.in_(turn_ids), Assignment.state == AssignmentState.SUBMITTED)
            .where(Ranking.late.is_(False), Assignment.place.is_not(None))
            .order_by(Assignment.place, Ranking.version)
        )
        newest = {(turn_id, user_id): given for turn_id, user_id, given in session.execute(submitted)}
        self.given: dict[int, list[tuple[int, Ranking]]] = {}
        for (turn_id, user_id), given in newest.items():
            self.given.setdefault(turn_id, []).append((user_id, given))
        decided = select(Adjudication).where(
            Adjudication.turn_id.in_(turn_ids), Adjudication.state == ReviewState.DECIDED
        )
        self.reviews = {review.turn_id: review for review in session.scalars(decided)}
        written = select(Rewrite).where(Rewrite.turn_id.in_(turn_ids))
        self.rewrites = {rewrite.turn_id: rewrite.text for rewrite in session.scalars(written)}


def _turn_row(turn: Turn, context: _Context) -> dict[str, Any]:
    review, rewrite = context.reviews.get(turn.id), context.rewrites.get(turn.id)
    settled = _settled_pairs(turn, context)
    relations = {each.pair: each.relation for each in settled if each.relation is not None}
    complete = len(relations) == len(pairs_of(turn.campaign.k))
    return {
        "dialogue": turn.dialogue.external_id,
        "number": turn.number,
        "split": snapshot.split_of(turn.dialogue.external_id),
        "department": turn.department,
        "in_distribution": turn.in_distribution,
        "safety": turn.safety,
        "system": turn.system,
        "history": turn.history,
        "message": turn.message,
        "responses": [{"text": r.text, "model": r.model, "sampling": r.sampling} for r in turn.responses],
        "rewrite": rewrite,
        "none_acceptable": rewrite is not None,
        "settled_by": turn.settled_by,
        "order": format_order(adjudication.order_of(relations, turn.campaign.k)) if complete else None,
        "pairs": [_pair_row(each) for each in settled] + _rewrite_pairs(turn, rewrite),
        "unlocked_because": (review.decisions.get("unlocked_because") if review else None) or None,
    }


def _settled_pairs(turn: Turn, context: _Context) -> list[adjudication.SettledPair]:
    review = context.reviews.get(turn.id)
    if review is not None and review.result is not None:
        return [reviews.pair_from_json(pair) for pair in review.result["pairs"]]
    first, second = (rankings.read(given) for _, given in context.given[turn.id])
    return adjudication.settle_agreed(first, second)


def _pair_row(settled: adjudication.SettledPair) -> dict[str, Any]:
    first, second = settled.pair
    how = {"ability": settled.ability, "provenance": settled.provenance}
    if settled.relation is None:
        return {"unreviewed": [first, second], **how}
    if settled.relation is Relation.TIE:
        return {"tie": [first, second], **how}
    better, worse = (first, second) if settled.relation is Relation.BETTER else (second, first)
    return {"better": better, "worse": worse, **how}


def _rewrite_pairs(turn: Turn, rewrite: str | None) -> list[dict[str, Any]]:
    """The rewrite, numbered after the K responses, stands above each of them."""
    if rewrite is None:
        return []
    how = {"ability": None, "provenance": adjudication.Provenance.REWRITTEN}
    return [{"better": turn.campaign.k, "worse": response.number, **how} for response in turn.responses]


def _ranking_row(turn: Turn, annotator: str, given: Ranking) -> dict[str, Any]:
    return {
        "dialogue": turn.dialogue.external_id,
        "number": turn.number,
        "annotator": annotator,
        "version": given.version,
        "guideline_version": given.guideline.version,
        "shown_order": given.response_order,
        "active_seconds": round(given.active_seconds, 1),
        **given.body,
    }
