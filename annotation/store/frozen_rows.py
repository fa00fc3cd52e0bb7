"""What a campaign has settled, as the rows of a snapshot: read column by column, some hundred turns at a time."""

from __future__ import annotations

import json
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Row, Text, case, cast, select
from sqlalchemy.orm import Session

from annotation import adjudication, snapshot
from annotation.abilities import Ability
from annotation.adjudication import Provenance, SettledPair
from annotation.ranking import Pair, Ranking, Relation, Strength, format_order, pairs_of
from annotation.review_tables import Adjudication, ReviewState, Rewrite
from annotation.store.reviews import pair_from_json
from annotation.tables import (
    Assignment,
    AssignmentState,
    Campaign,
    Dialogue,
    Guideline,
    Purpose,
    Response,
    Turn,
    TurnState,
)
from annotation.tables import Ranking as RankingRow

BATCH = 500
FileRow = tuple[str, dict[str, Any]]
NO_RANKING: dict[str, Any] = {"groups": [], "boundaries": [], "marks": {}, "none_acceptable": False}
IN_FRONT = case({purpose.value: number for number, purpose in enumerate(Purpose)}, value=Assignment.purpose)


@dataclass
class _Said:
    """What was said about one turn."""

    rankings: list[dict[str, Any]] = field(default_factory=list)
    reviews: list[dict[str, Any]] = field(default_factory=list)
    rewrite: str | None = None

    def counting(self) -> list[Ranking]:
        """The rankings that count, the first place first."""
        return [Ranking.from_json(row) for row in self.rankings if row["counts"]]


def about(campaign: Campaign, guideline_version: int, code_version: str) -> dict[str, Any]:
    """What the manifest says about the campaign: nothing of this installation, so that it travels unchanged."""
    return {
        "campaign": campaign.name,
        "k": campaign.k,
        "ties_allowed": campaign.ties_allowed,
        "priority_rule": campaign.priority_rule,
        "rewrite_template": campaign.rewrite_template,
        "review_policy": campaign.review_policy,
        "review_distance": campaign.review_distance,
        "audit_share": campaign.audit_share,
        "guideline_version": guideline_version,
        "code_version": code_version,
    }


def settled(campaign_id: int) -> tuple[Any, ...]:
    """Which turns are frozen."""
    return Turn.campaign_id == campaign_id, Turn.state == TurnState.SETTLED


def rows(session: Session, campaign: Campaign, names: Mapping[int, str], counts: Counter[str]) -> Iterator[FileRow]:
    """Every row of every file, in an order that depends on nothing but the order of the import; counts on the way."""
    wanted = select(Guideline).where(Guideline.campaign_id == campaign.id).order_by(Guideline.version)
    for guideline in session.scalars(wanted):
        about_it = {"version": guideline.version, "text": guideline.text, "created_at": _time(guideline.created_at)}
        yield snapshot.GUIDELINES, about_it
    ids = array("q", session.scalars(select(Turn.id).where(*settled(campaign.id)).order_by(Turn.id)))
    for start in range(0, len(ids), BATCH):
        yield from _of_turns(session, campaign, ids[start : start + BATCH], names, counts)


def _of_turns(
    session: Session, campaign: Campaign, ids: Sequence[int], names: Mapping[int, str], counts: Counter[str]
) -> Iterator[FileRow]:
    turns = session.execute(
        select(Dialogue.external_id.label("dialogue"), Dialogue.source, *_columns())
        .join(Dialogue, Dialogue.id == Turn.dialogue_id)
        .where(Turn.id.in_(ids))
        .order_by(Turn.id)
    ).all()
    responses = _responses(session, ids)
    said = _said(session, {turn.id: {"dialogue": turn.dialogue, "number": turn.number} for turn in turns}, names)
    for turn in turns:
        told = said[turn.id]
        row = _turn_row(turn, responses[turn.id], told, campaign)
        _count(counts, row, told)
        yield snapshot.TURNS, row
        yield from ((snapshot.RANKINGS, each) for each in told.rankings)
        yield from ((snapshot.REVIEWS, each) for each in told.reviews)


def _columns() -> tuple[Any, ...]:
    return (
        Turn.id,
        Turn.number,
        Turn.department,
        Turn.in_distribution,
        Turn.safety,
        Turn.gold,
        Turn.priority,
        Turn.system,
        Turn.history,
        Turn.message,
        Turn.reference_reply,
        Turn.settled_by,
        Turn.settled_at,
    )


def _count(counts: Counter[str], row: dict[str, Any], said: _Said) -> None:
    counts["turns"] += 1
    counts[f"turns {row['settled_by']}"] += 1
    counts["pairs"] += sum("better" in pair for pair in row["pairs"])
    counts["ties"] += sum("tie" in pair for pair in row["pairs"])
    counts["rankings"] += sum(ranking["counts"] for ranking in said.rankings)


def _responses(session: Session, ids: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    found = defaultdict(list)
    wanted = select(Response.turn_id, Response.text, Response.model, cast(Response.sampling, Text))
    rows = session.execute(wanted.where(Response.turn_id.in_(ids)).order_by(Response.turn_id, Response.number))
    for turn_id, text, model, sampling in rows:
        found[turn_id].append({"text": text, "model": model, "sampling": _decoded(sampling)})
    return found


@lru_cache(maxsize=1000)
def _decoded(text: str) -> Any:
    """JSON that is the same in many rows: how a response was sampled, in which order responses were shown."""
    return json.loads(text)


def _said(session: Session, turns: Mapping[int, dict[str, Any]], names: Mapping[int, str]) -> defaultdict[int, _Said]:
    """Rankings, votes and rewrites of these turns; each row begins with what names its turn."""
    found: defaultdict[int, _Said] = defaultdict(_Said)
    for given in session.execute(_rankings(turns)):
        found[given.turn_id].rankings.append({**turns[given.turn_id], **_ranking_row(given, names)})
    for said in found.values():
        _mark_counting(said.rankings)
    for vote in session.execute(_reviews(turns)):
        found[vote.turn_id].reviews.append({**turns[vote.turn_id], **_review_row(vote, names)})
        found[vote.turn_id].rewrite = vote.rewrite
    return found


def _rankings(turns: Mapping[int, Any]) -> Any:
    """All that annotators said: every version, whatever it was for, and what they could not judge."""
    finished = (AssignmentState.SUBMITTED, AssignmentState.EXPIRED, AssignmentState.CANNOT_JUDGE)
    return (
        select(
            *(Assignment.turn_id, Assignment.user_id, Assignment.purpose, Assignment.place, Assignment.state),
            *(Assignment.reason, Assignment.created_at.label("given_at"), Assignment.finished_at),
            *(Assignment.selection_probability, cast(Assignment.response_order, Text).label("drawn_order")),
            *(
                RankingRow.version,
                RankingRow.body,
                cast(RankingRow.response_order, Text).label("shown_order"),
                RankingRow.note,
                RankingRow.late,
            ),
            *(RankingRow.active_seconds, RankingRow.created_at, Guideline.version.label("guideline_version")),
        )
        .outerjoin(RankingRow, RankingRow.assignment_id == Assignment.id)
        .outerjoin(Guideline, Guideline.id == RankingRow.guideline_id)
        .where(Assignment.turn_id.in_(turns), Assignment.state.in_(finished))
        .where(RankingRow.id.is_not(None) | (Assignment.state == AssignmentState.CANNOT_JUDGE))
        .order_by(Assignment.turn_id, IN_FRONT, Assignment.place.is_(None), Assignment.place, Assignment.id)
        .order_by(RankingRow.version)
    )


def _ranking_row(given: Row[Any], names: Mapping[int, str]) -> dict[str, Any]:
    judged = given.version is not None
    body = given.body if judged else NO_RANKING
    outcome = "none acceptable" if body["none_acceptable"] else "ranking"
    return {
        "annotator": names[given.user_id],
        "purpose": given.purpose,
        "place": given.place,
        "state": given.state,
        "outcome": outcome if judged else "cannot judge",
        "reason": given.reason,
        "version": given.version if judged else 0,
        "counts": False,
        "late": bool(given.late),
        "guideline_version": given.guideline_version,
        "shown_order": _decoded(given.shown_order if judged else given.drawn_order),
        "active_seconds": round(given.active_seconds, 1) if judged else 0.0,
        "note": given.note if judged else "",
        "given_at": _time(given.given_at),
        "submitted_at": _time(given.created_at if judged else given.finished_at),
        "selection_probability": given.selection_probability,
        **body,
    }


def _mark_counting(given: list[dict[str, Any]]) -> None:
    """The newest version of each of the two places counts; everything else is kept beside it."""
    newest = {row["place"]: row for row in given if row["place"] is not None and row["version"] and not row["late"]}
    for row in newest.values():
        row["counts"] = row["state"] == AssignmentState.SUBMITTED


def _reviews(turns: Mapping[int, Any]) -> Any:
    return (
        select(
            *(Adjudication.turn_id, Adjudication.adjudicator_id, Adjudication.kind, Adjudication.response_order),
            *(Adjudication.first_annotator_id, Adjudication.second_annotator_id, Adjudication.decisions),
            *(Adjudication.result, Adjudication.created_at, Adjudication.decided_at),
            *(Rewrite.text.label("rewrite"), Rewrite.author_id, Rewrite.created_at.label("rewritten_at")),
        )
        .outerjoin(Rewrite, Rewrite.adjudication_id == Adjudication.id)
        .where(Adjudication.turn_id.in_(turns), Adjudication.state == ReviewState.DECIDED)
        .order_by(Adjudication.turn_id, Adjudication.id)
    )


def _review_row(vote: Row[Any], names: Mapping[int, str]) -> dict[str, Any]:
    return {
        "adjudicator": names[vote.adjudicator_id],
        "kind": vote.kind,
        "annotators": [
            None if user is None else names[user] for user in (vote.first_annotator_id, vote.second_annotator_id)
        ],
        "shown_order": vote.response_order,
        "decisions": vote.decisions,
        "result": vote.result,
        "opened_at": _time(vote.created_at),
        "decided_at": _time(vote.decided_at),
        "rewritten_at": _time(vote.rewritten_at),
    }


def _turn_row(turn: Row[Any], responses: list[dict[str, Any]], said: _Said, campaign: Campaign) -> dict[str, Any]:
    given = said.counting()
    graded = [ranking for ranking in given if any(boundary.strength for boundary in ranking.boundaries)]
    result = next((review["result"] for review in said.reviews), None)
    pairs = _settled_pairs(given, result)
    relations = {each.pair: each.relation for each in pairs if each.relation is not None}
    complete = len(relations) == len(pairs_of(campaign.k))
    unlocked = [review["decisions"].get("unlocked_because") for review in said.reviews]
    return {
        "dialogue": turn.dialogue,
        "number": turn.number,
        "split": snapshot.split_of(turn.dialogue),
        "source": turn.source,
        "department": turn.department,
        "in_distribution": turn.in_distribution,
        "safety": turn.safety,
        "gold": turn.gold,
        "priority": turn.priority,
        "system": turn.system,
        "history": turn.history,
        "message": turn.message,
        "reply": turn.reference_reply,
        "responses": responses,
        "rewrite": said.rewrite,
        "none_acceptable": said.rewrite is not None,
        "settled_by": turn.settled_by,
        "settled_at": _time(turn.settled_at),
        "order": format_order(adjudication.order_of(relations, campaign.k)) if complete else None,
        "pairs": [_pair_row(each, graded) for each in pairs] + _rewrite_pairs(responses, said.rewrite),
        "unlocked_because": next(iter(unlocked), None) or None,
    }


def _settled_pairs(given: Sequence[Ranking], result: dict[str, Any] | None) -> list[SettledPair]:
    if result is not None:
        return [pair_from_json(pair) for pair in result["pairs"]]
    first, second = given
    relations = first.relations()
    if relations != second.relations():
        return adjudication.settle_agreed(first, second)
    return [  # the same in all pairs, so no order has to be searched for
        SettledPair(pair, relation, _more_important(first, second, pair), Provenance.AGREED)
        for pair, relation in relations.items()
    ]


def _more_important(first: Ranking, second: Ranking, pair: Pair) -> Ability | None:
    named = (first.deciding_ability(pair), second.deciding_ability(pair))
    return min((ability for ability in named if ability is not None), default=None)


def _pair_row(settled_pair: SettledPair, graded: Sequence[Ranking]) -> dict[str, Any]:
    (first, second), relation = settled_pair.pair, settled_pair.relation
    how = {"ability": settled_pair.ability, "provenance": settled_pair.provenance}
    if relation is None:
        return {"unreviewed": [first, second], **how}
    if relation is Relation.TIE:
        return {"tie": [first, second], **how}
    better, worse = (first, second) if relation is Relation.BETTER else (second, first)
    return {"better": better, "worse": worse, "strength": _strength(graded, (first, second), relation), **how}


def _strength(graded: Sequence[Ranking], pair: Pair, relation: Relation) -> Strength | None:
    """How much better: clear where all who put the pair so and said anything say clear, else slight; None unsaid."""
    said = [ranking.strength_of(pair) for ranking in graded if ranking.relations().get(pair) is relation]
    told = [strength for strength in said if strength is not None]
    if not told:
        return None
    return Strength.CLEAR if all(strength is Strength.CLEAR for strength in told) else Strength.SLIGHT


def _rewrite_pairs(responses: Sequence[Any], rewrite: str | None) -> list[dict[str, Any]]:
    """The rewrite, numbered after the K responses, stands above each of them."""
    if rewrite is None:
        return []
    how = {"ability": None, "provenance": Provenance.REWRITTEN, "strength": None}
    return [{"better": len(responses), "worse": number, **how} for number in range(len(responses))]


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="microseconds")
