"""The record of who did what."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from annotation.people_tables import User
from annotation.tables import AuditEvent, Campaign, Turn


def record(session: Session, actor_id: int | None, action: str, subject: str = "", **detail: object) -> None:
    """Appends an event; ``detail`` must hold no words of patients and no secrets."""
    session.add(AuditEvent(actor_id=actor_id, action=action, subject=subject, detail=detail))


def latest(session: Session, limit: int = 200, before: int | None = None) -> Sequence[AuditEvent]:
    """The newest events, newest first; those older than the one with id ``before``."""
    wanted = select(AuditEvent).order_by(AuditEvent.id.desc()).limit(limit)
    return session.scalars(wanted if before is None else wanted.where(AuditEvent.id < before)).all()


@dataclass(frozen=True)
class Known:
    """What events speak of by number: names of people and of campaigns, and by turn its campaign."""

    people: Mapping[int, str]
    campaigns: Mapping[int, str]
    turns: Mapping[int, int]


def known(session: Session, events: Sequence[AuditEvent]) -> Known:
    """What is needed to tell these events by name."""
    subjects = (re.fullmatch(r"turn (\d+)", event.subject) for event in events)
    turns = select(Turn.id, Turn.campaign_id).where(Turn.id.in_({int(found[1]) for found in subjects if found}))
    return Known(
        people={row.id: row.name for row in session.execute(select(User.id, User.name))},
        campaigns={row.id: row.name for row in session.execute(select(Campaign.id, Campaign.name))},
        turns={row.id: row.campaign_id for row in session.execute(turns)},
    )
