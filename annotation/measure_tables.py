"""The tables by which people and guidelines are measured: calibration rounds, named places, doubts, what was read."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from annotation.db import Base, UtcDateTime, utcnow
from annotation.people_tables import User
from annotation.tables import Guideline, Turn


class NamedPlace(Base):
    """That the admin keeps a place of a turn for somebody. The turn counts those that are not taken yet."""

    __tablename__ = "named_places"
    __table_args__ = (Index("ix_named_places_user", "user_id", "taken"),)

    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    taken: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)


class CalibrationRound(Base):
    """The same turns for everyone: ranked blind, then revealed and talked over, then ranked again.

    What was submitted before ``revealed_at`` is the first opinion, a later version the second.
    """

    __tablename__ = "calibration_rounds"
    __table_args__ = (UniqueConstraint("campaign_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id"))
    name: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    revealed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class CalibrationTurn(Base):
    """A turn of a round; a turn is in one round at most, and settles nothing there."""

    __tablename__ = "calibration_turns"

    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"), primary_key=True)
    round_id: Mapped[int] = mapped_column(ForeignKey("calibration_rounds.id"), index=True)

    turn: Mapped[Turn] = relationship(lazy="joined", innerjoin=True)


class GuidelineReading(Base):
    """That somebody was shown a version of a guideline, with what had changed in it."""

    __tablename__ = "guideline_readings"

    guideline_id: Mapped[int] = mapped_column(ForeignKey("guidelines.id"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    read_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)


class GuidelineDoubt(Base):
    """What an adjudicator found unclear about an ability, for the admin to answer, best by a new version."""

    __tablename__ = "guideline_doubts"
    __table_args__ = (
        CheckConstraint("ability BETWEEN 1 AND 9", name="one_of_nine"),
        Index("ix_guideline_doubts_open", "campaign_id", "closed_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id"))
    guideline_id: Mapped[int] = mapped_column(ForeignKey("guidelines.id"))
    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"))
    author_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    ability: Mapped[int]
    note: Mapped[str] = mapped_column(Text)
    reply: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    guideline: Mapped[Guideline] = relationship(lazy="joined", innerjoin=True)
    turn: Mapped[Turn] = relationship(lazy="joined", innerjoin=True)
    author: Mapped[User] = relationship()


class Pseudonym(Base):
    """How somebody is named in what leaves a campaign: drawn once, telling nothing."""

    __tablename__ = "pseudonyms"
    __table_args__ = (UniqueConstraint("campaign_id", "name"),)

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(16))
