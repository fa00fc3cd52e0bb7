"""Rankings that measure people: each beside what it is measured against, as columns like those of a campaign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Select, exists, select
from sqlalchemy.orm import Session, aliased

from annotation.adjudication import Provenance, order_of
from annotation.columns import Doubles, Judgements, Turns, doubles_of, pack
from annotation.ranking import Relation
from annotation.report import Audited
from annotation.review_tables import Adjudication, ReviewKind, ReviewState
from annotation.store import second_look
from annotation.tables import Assignment, AssignmentState, Campaign, Purpose, Ranking, Turn, TurnState

NOBODY = 0


def repeats(session: Session, campaign: Campaign) -> Doubles:
    """Every repeated ranking behind the first one of the same person, as that stood when the turn came to them again.

    A correction after that is no first opinion: whoever makes it has seen the turn twice.
    """
    again = aliased(Assignment)
    came_again = exists().where(
        again.turn_id == Assignment.turn_id, again.user_id == Assignment.user_id, again.purpose == Purpose.REPEAT
    )
    before: dict[tuple[int, int], list[Any]] = {}
    for row in session.execute(_given(campaign.id, Purpose.LABEL).where(came_again)):
        before.setdefault((row.turn_id, row.user_id), []).append(row)
    both = []
    for row in _newest(session, _given(campaign.id, Purpose.REPEAT)):
        stood = [each for each in before.get((row.turn_id, row.user_id), ()) if each.created_at <= row.handed_out]
        if stood:
            both.append((stood[-1].body, row))
    return _beside(both, campaign.k)


def gold(session: Session, campaign: Campaign) -> Doubles:
    """Every ranking of a gold turn behind the order in which that turn is settled."""
    given = _newest(session, _given(campaign.id, Purpose.GOLD))
    settled = settled_orders(session, campaign, sorted({row.turn_id for row in given}))
    return _beside([(settled[row.turn_id], row) for row in given if row.turn_id in settled], campaign.k)


def settled_orders(session: Session, campaign: Campaign, turn_ids: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    """By turn the settled order as a ranking stores it, without abilities; turns with unreviewed pairs have none."""
    agreed = (
        _given(campaign.id, Purpose.LABEL)
        .where(Turn.id.in_(turn_ids), Turn.state == TurnState.SETTLED)
        .where(Assignment.place == 1)
    )
    found: dict[int, Mapping[str, Any]] = {
        row.turn_id: _order(row.body["groups"], none_acceptable=row.body["none_acceptable"])
        for row in session.execute(agreed)
    }
    decided = select(Adjudication.turn_id, Adjudication.result).where(
        Adjudication.turn_id.in_(turn_ids), Adjudication.state == ReviewState.DECIDED
    )
    for turn_id, result in session.execute(decided.order_by(Adjudication.id)):
        found.pop(turn_id, None)
        pairs = result["pairs"]
        if pairs and all(each["provenance"] != Provenance.UNREVIEWED for each in pairs):
            relations = {(each["pair"][0], each["pair"][1]): Relation(each["relation"]) for each in pairs}
            order = order_of(relations, campaign.k)
            found[turn_id] = _order(order, none_acceptable=result["none_acceptable"])
    return found


def audits(session: Session, campaign_id: int) -> list[Audited]:
    """What each finished audit of an agreed turn found that was drawn by chance."""
    done = (
        select(Turn.dialogue_id, Adjudication.result)
        .join(Turn, Adjudication.turn_id == Turn.id)
        .where(
            Turn.campaign_id == campaign_id,
            Turn.id.not_in(second_look.handed_over(session, campaign_id)),
            Adjudication.kind == ReviewKind.AUDIT,
            Adjudication.state == ReviewState.DECIDED,
        )
    )
    return [
        Audited(row.dialogue_id, row.result["audit"]["overturned"], row.result["audit"]["differing"],
                row.result["audit"]["pairs"])
        for row in session.execute(done)
        if row.result and "audit" in row.result
    ]  # fmt: skip


def _given(campaign_id: int, purpose: Purpose) -> Select[Any]:
    """What was submitted for a purpose, older versions first."""
    return (
        select(
            Assignment.turn_id,
            Assignment.user_id,
            Turn.dialogue_id,
            Ranking.body,
            Ranking.response_order,
            Ranking.active_seconds,
            Ranking.created_at,
            Assignment.created_at.label("handed_out"),
        )
        .join(Assignment, Ranking.assignment_id == Assignment.id)
        .join(Turn, Assignment.turn_id == Turn.id)
        .where(
            Turn.campaign_id == campaign_id,
            Assignment.purpose == purpose,
            Assignment.state == AssignmentState.SUBMITTED,
            Ranking.late.is_(False),
        )
        .order_by(Assignment.turn_id, Assignment.user_id, Ranking.version)
    )


def _newest(session: Session, given: Select[Any]) -> list[Any]:
    return list({(row.turn_id, row.user_id): row for row in session.execute(given)}.values())


def _order(groups: Sequence[Sequence[int]], *, none_acceptable: bool) -> Mapping[str, Any]:
    return {"groups": groups, "boundaries": [], "none_acceptable": none_acceptable}


def _beside(both: Sequence[tuple[Mapping[str, Any], Any]], k: int) -> Doubles:
    """Each measured ranking as the second of a turn of its own, what it is measured against as the first."""
    packed = [pack(body, row.response_order, k) for before, row in both for body in (before, row.body)]
    _, dialogue = np.unique(np.array([row.dialogue_id for _, row in both], dtype=np.int64), return_inverse=True)
    count = len(both)
    nothing = np.zeros(count, dtype=np.int64)
    judgements = Judgements(
        k=k,
        packed=np.frombuffer(b"".join(packed), dtype=np.int8).reshape(-1, 3 * k),
        turn=np.repeat(np.arange(count), 2),
        dialogue=np.repeat(dialogue, 2),
        annotator=np.array([each for _, row in both for each in (NOBODY, row.user_id)], dtype=np.int64),
        guideline=np.repeat(nothing, 2),
        seconds=np.repeat(np.array([row.active_seconds for _, row in both], dtype=float), 2),
        at=np.repeat(np.array([row.created_at.replace(tzinfo=None) for _, row in both], dtype="datetime64[s]"), 2),
    )
    turns = Turns(
        id=np.array([row.turn_id for _, row in both], dtype=np.int64),
        department=np.full(count, "", dtype=np.str_),
        depth=nothing,
        source=nothing.astype(np.int8),
        reviewed=np.zeros(count, dtype=np.bool_),
    )
    return doubles_of(turns, judgements)
