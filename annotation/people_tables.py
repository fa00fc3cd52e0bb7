"""The tables of people: who they are, how they are logged in, and how often somebody tried to be."""

from __future__ import annotations

import enum
from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from annotation.db import Base, UtcDateTime, choice, utcnow


class Role(enum.StrEnum):
    """What somebody does here."""

    ANNOTATOR = "annotator"
    ADJUDICATOR = "adjudicator"
    ADMIN = "admin"


class UserState(enum.StrEnum):
    """Whether somebody can log in, and is counted on for work."""

    INVITED = "invited"
    ACTIVE = "active"
    PAUSED = "paused"
    DEACTIVATED = "deactivated"


class User(Base):
    """Somebody who logs in; the password is an Argon2id hash, None until the invitation is accepted."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(128))
    role: Mapped[Role] = mapped_column(choice(Role))
    may_adjudicate: Mapped[bool] = mapped_column(default=False)
    state: Mapped[UserState] = mapped_column(choice(UserState), default=UserState.INVITED)
    password_hash: Mapped[str | None] = mapped_column(String(256))
    invite_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    invite_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    simulated: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)

    @property
    def adjudicates(self) -> bool:
        """Whether the review queue is open to them."""
        return self.role is Role.ADJUDICATOR or (self.role is Role.ANNOTATOR and self.may_adjudicate)


class LoginSession(Base):
    """One browser that is logged in; only the hash of its token is kept."""

    __tablename__ = "login_sessions"

    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)

    user: Mapped[User] = relationship(lazy="joined", innerjoin=True)


class LoginCount(Base):
    """How many attempts have failed, or are still being looked at, since a stretch of time began.

    ``key`` names what is counted: a login (hashed, for people type passwords into the wrong field), an address, or all.
    """

    __tablename__ = "login_counts"

    key: Mapped[str] = mapped_column(String(80), primary_key=True)
    failures: Mapped[int]
    since: Mapped[datetime] = mapped_column(UtcDateTime)
