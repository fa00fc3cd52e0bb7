"""The record of who did what."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from annotation.tables import AuditEvent


def record(session: Session, actor_id: int | None, action: str, subject: str = "", **detail: object) -> None:
    """Appends an event; ``detail`` must hold no words of patients and no secrets."""
    session.add(AuditEvent(actor_id=actor_id, action=action, subject=subject, detail=detail))


def latest(session: Session, limit: int = 200) -> Sequence[AuditEvent]:
    """The newest events, newest first."""
    return session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(limit)).all()
