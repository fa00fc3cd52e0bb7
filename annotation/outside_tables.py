"""The tables for other programs: tokens with which they come in, and hooks by which they are told."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from annotation.db import Base, Json, UtcDateTime, choice, utcnow
from annotation.people_tables import User


class DeliveryState(enum.StrEnum):
    """What became of a message to a hook."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given up"


class Event(enum.StrEnum):
    """Of what a hook can be told; ``ping`` only tests it."""

    TURN_SETTLED = "turn.settled"
    TURN_REOPENED = "turn.reopened"
    TURN_OVERTURNED = "turn.overturned"
    TURN_CONTESTED = "turn.contested"
    CAMPAIGN_FINISHED = "campaign.finished"
    SNAPSHOT_FROZEN = "snapshot.frozen"
    RUN_FINISHED = "run.finished"
    GUIDELINE_DOUBT = "guideline.doubt"
    PING = "ping"


class AccessToken(Base):
    """With which a program acts as somebody; only its hash is kept."""

    __tablename__ = "access_tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str] = mapped_column(String(64))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    may_write: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    user: Mapped[User] = relationship(lazy="joined", innerjoin=True)


class Webhook(Base):
    """An address that is told of events. ``secret`` signs every message, so it is kept as it is."""

    __tablename__ = "webhooks"

    id: Mapped[int] = mapped_column(primary_key=True)
    url: Mapped[str] = mapped_column(String(512))
    secret: Mapped[str] = mapped_column(String(64))
    events: Mapped[list[str]] = mapped_column(Json)
    active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)


class Delivery(Base):
    """One message to one hook: written with what it tells of, sent afterwards, tried again until it arrives.

    ``tries`` says of each attempt when it ended, how long it took, with which status or what went wrong.
    """

    __tablename__ = "deliveries"
    __table_args__ = (Index("ix_deliveries_due", "state", "next_attempt_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id"), index=True)
    event: Mapped[str] = mapped_column(String(64))
    key: Mapped[str] = mapped_column(String(36), unique=True)
    payload: Mapped[dict[str, Any]] = mapped_column(Json)
    state: Mapped[DeliveryState] = mapped_column(choice(DeliveryState), default=DeliveryState.WAITING)
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    tries: Mapped[list[dict[str, Any]]] = mapped_column(Json, default=list)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)

    webhook: Mapped[Webhook] = relationship(lazy="joined", innerjoin=True)
