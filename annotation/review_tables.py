"""The tables of a third expert's work: what is reviewed, what was decided, and what was written instead."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from annotation.db import Base, Json, UtcDateTime, choice, utcnow
from annotation.tables import Turn


class ReviewKind(enum.StrEnum):
    """Why a third expert looks at a turn: two rankings differ, or an agreed one was drawn for a blind audit."""

    CONTESTED = "contested"
    AUDIT = "audit"


class ReviewState(enum.StrEnum):
    """What became of an adjudication."""

    OPEN = "open"
    DECIDED = "decided"
    RELEASED = "released"


class Adjudication(Base):
    """A third expert's work on a turn.

    It names the two assignments and, through them, the two annotators, so that the database itself refuses an
    adjudicator who is one of them. Both are absent only where nobody could judge the turn.
    """

    __tablename__ = "adjudications"
    __table_args__ = (
        ForeignKeyConstraint(
            ["first_assignment_id", "turn_id", "first_annotator_id"],
            ["assignments.id", "assignments.turn_id", "assignments.user_id"],
            name="first_annotator",
        ),
        ForeignKeyConstraint(
            ["second_assignment_id", "turn_id", "second_annotator_id"],
            ["assignments.id", "assignments.turn_id", "assignments.user_id"],
            name="second_annotator",
        ),
        CheckConstraint(
            "adjudicator_id <> first_annotator_id AND adjudicator_id <> second_annotator_id",
            name="adjudicator_is_a_third_person",
        ),
        CheckConstraint(
            "(first_assignment_id IS NULL) = (first_annotator_id IS NULL)"
            " AND (second_assignment_id IS NULL) = (second_annotator_id IS NULL)",
            name="assignment_names_annotator",
        ),
        Index(
            "uq_adjudications_live",
            "turn_id",
            unique=True,
            sqlite_where=text("state <> 'released'"),
            postgresql_where=text("state <> 'released'"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"))
    adjudicator_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    kind: Mapped[ReviewKind] = mapped_column(choice(ReviewKind), default=ReviewKind.CONTESTED)
    first_assignment_id: Mapped[int | None]
    first_annotator_id: Mapped[int | None]
    second_assignment_id: Mapped[int | None]
    second_annotator_id: Mapped[int | None]
    state: Mapped[ReviewState] = mapped_column(choice(ReviewState), default=ReviewState.OPEN)
    version: Mapped[int] = mapped_column(default=0)
    leased_until: Mapped[datetime] = mapped_column(UtcDateTime)
    response_order: Mapped[list[int]] = mapped_column(Json)
    decisions: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    result: Mapped[dict[str, Any] | None] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    decided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    turn: Mapped[Turn] = relationship(lazy="joined", innerjoin=True)


class Rewrite(Base):
    """What an expert wrote in place of K unacceptable responses."""

    __tablename__ = "rewrites"

    id: Mapped[int] = mapped_column(primary_key=True)
    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"), index=True)
    adjudication_id: Mapped[int] = mapped_column(ForeignKey("adjudications.id"), unique=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
