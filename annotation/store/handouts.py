"""Turns that are handed out to measure people: they settle nothing, and look like any other turn."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import BindParameter, ColumnElement, exists, func, select, text
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from annotation.measure_tables import CalibrationRound, CalibrationTurn
from annotation.review_tables import Adjudication
from annotation.tables import Assignment, AssignmentState, Campaign, Purpose, Turn, TurnState


def due(draw: float, *, repeat_share: float, gold_share: float) -> Purpose:
    """Why the next turn is handed out, ``draw`` being uniform over [0, 1)."""
    if draw < repeat_share:
        return Purpose.REPEAT
    return Purpose.GOLD if draw < repeat_share + gold_share else Purpose.LABEL


def blind_round(campaign_id: int | BindParameter[int]) -> ColumnElement[bool]:
    """That a calibration round of the campaign is ranked blind."""
    blind = CalibrationRound.revealed_at.is_(None) & CalibrationRound.closed_at.is_(None)
    return exists().where(CalibrationRound.campaign_id == campaign_id, blind)


def to_calibrate(session: Session, user_id: int, campaign_id: int, now: datetime) -> Assignment | None:
    """The next turn of a calibration round that is ranked blind by everyone; it comes before other work."""
    had = _had(user_id, CalibrationTurn.turn_id, Purpose.CALIBRATION)
    blind = CalibrationRound.revealed_at.is_(None) & CalibrationRound.closed_at.is_(None)
    wanted = (
        select(CalibrationTurn.turn_id)
        .join(CalibrationRound, CalibrationRound.id == CalibrationTurn.round_id)
        .where(CalibrationRound.campaign_id == campaign_id, blind, ~had)
        .order_by(CalibrationTurn.round_id, CalibrationTurn.turn_id)
        .limit(1)
    )
    turn_id = session.scalar(wanted)
    return None if turn_id is None else _hand_out(session, turn_id, user_id, Purpose.CALIBRATION, now)


def to_measure(session: Session, user_id: int, campaign: Campaign, now: datetime) -> Assignment | None:
    """A repeat or a gold turn, for the campaign's share of the hand-outs and where there is one; else None."""
    draw = random.SystemRandom().random()
    purpose = due(draw, repeat_share=campaign.repeat_share, gold_share=campaign.gold_share)
    if purpose is Purpose.REPEAT:
        return _repeat(session, user_id, campaign, now)
    return _gold(session, user_id, campaign, now) if purpose is Purpose.GOLD else None


def _repeat(session: Session, user_id: int, campaign: Campaign, now: datetime) -> Assignment | None:
    """A turn that they ranked long enough ago, never twice the same, its responses in another order than then."""
    long_ago = now - timedelta(days=campaign.repeat_after_days)
    first = (
        select(Assignment.turn_id, Assignment.response_order)
        .join(Turn)
        .where(Assignment.user_id == user_id, Assignment.finished_at <= long_ago)
        .where(Assignment.purpose == Purpose.LABEL, Assignment.state == AssignmentState.SUBMITTED)
        .where(Turn.campaign_id == campaign.id, Turn.state != TurnState.WITHDRAWN)
        .where(~_had(user_id, Turn.id, Purpose.REPEAT))
        .order_by(func.random())
        .limit(1)
    )
    found = session.execute(first).one_or_none()
    if found is None:
        return None
    return _hand_out(session, found.turn_id, user_id, Purpose.REPEAT, now, unlike=found.response_order)


def _gold(session: Session, user_id: int, campaign: Campaign, now: datetime) -> Assignment | None:
    """A gold turn that is new to them: neither ranked nor adjudicated by them."""
    decided = exists().where(Adjudication.turn_id == Turn.id, Adjudication.adjudicator_id == user_id)
    new = (
        select(Turn.id)
        .where(Turn.campaign_id == campaign.id, text("turns.gold"), Turn.state == TurnState.SETTLED)
        .where(~_had(user_id, Turn.id, *Purpose), ~decided)
        .order_by(func.random())
        .limit(1)
    )
    turn_id = session.scalar(new)
    return None if turn_id is None else _hand_out(session, turn_id, user_id, Purpose.GOLD, now)


def _had(user_id: int, turn_id: InstrumentedAttribute[int], *purposes: Purpose) -> ColumnElement[bool]:
    own = aliased(Assignment)
    return exists().where(own.turn_id == turn_id, own.user_id == user_id, own.purpose.in_(purposes))


def _hand_out(
    session: Session, turn_id: int, user_id: int, purpose: Purpose, now: datetime, unlike: Sequence[int] = ()
) -> Assignment:
    k = session.scalar(select(Campaign.k).join(Turn, Turn.campaign_id == Campaign.id).where(Turn.id == turn_id))
    assert k is not None
    assignment = Assignment(
        turn_id=turn_id,
        user_id=user_id,
        purpose=purpose,
        response_order=order_unlike(unlike, k),
        leased_until=now,  # nobody waits for such a turn, so it is kept however long it takes
    )
    session.add(assignment)
    session.flush()
    return assignment


def order_unlike(before: Sequence[int], k: int) -> list[int]:
    """An order of the k responses, each of those that are not ``before`` as likely."""
    while True:
        order = random.SystemRandom().sample(range(k), k)
        if order != list(before):
            return order
