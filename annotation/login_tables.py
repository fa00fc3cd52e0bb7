"""The table that counts attempts to log in, so that every web process knows what the others have seen."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from annotation.db import Base, UtcDateTime


class LoginCount(Base):
    """How many attempts have failed, or are still being looked at, since a stretch of time began.

    ``key`` names what is counted: a login (hashed, for people type passwords into the wrong field), an address, or all.
    """

    __tablename__ = "login_counts"

    key: Mapped[str] = mapped_column(String(80), primary_key=True)
    failures: Mapped[int]
    since: Mapped[datetime] = mapped_column(UtcDateTime)
