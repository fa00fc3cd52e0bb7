"""The tables of ranking: campaigns, turns, responses, assignments, rankings, and the log of who did what.

A ranking is never updated: a correction is a new version. What a constraint can hold, a constraint holds.
"""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from annotation.db import Base, Json, UtcDateTime, choice, utcnow
from annotation.people_tables import User
from annotation.review_policy import ReviewPolicy

IN_QUEUE = "state IN ('open', 'one ranking') AND places_taken + places_named < 2"
"""A turn that waits for rankings and has a place which is kept for nobody: what the indexes of the queue hold.

Whoever wants the indexes to be used says it in the same words, not with parameters.
"""


OFTEN = 2
"""Who looks at a turn that was handed back so often sees why; the next time it goes to the adjudicator."""

OFTEN_HANDED_BACK = f"times_unjudgeable >= {OFTEN}"
"""Such a turn; said in the same words as well."""


class PriorityRule(enum.StrEnum):
    """What a contradiction of the priority rule does to a submission."""

    ENFORCE = "enforce"
    WARN = "warn"


class TurnOrder(enum.StrEnum):
    """Which of the turns that an annotator may be given comes first, among those of the same priority."""

    IMPORT = "as imported"
    DIALOGUE = "by dialogue"
    INFORMATIVE = "most informative"


class TurnState(enum.StrEnum):
    """Where a turn stands on its way to being settled."""

    NEEDS_RESPONSES = "needs responses"
    OPEN = "open"
    ONE_RANKING = "one ranking"
    CONTESTED = "contested"
    IN_REVIEW = "in review"
    SETTLED = "settled"
    WITHDRAWN = "withdrawn"


class SettledBy(enum.StrEnum):
    """How a turn was settled; each of its pairs says more: one of an agreed turn may be unreviewed, or audited."""

    AGREED = "agreed"
    ADJUDICATED = "adjudicated"
    REWRITTEN = "rewritten"


class Purpose(enum.StrEnum):
    """Why a turn was given to somebody; only ``label`` settles it."""

    LABEL = "label"
    CALIBRATION = "calibration"
    REPEAT = "repeat"
    GOLD = "gold"


class AssignmentState(enum.StrEnum):
    """What became of an assignment."""

    RESERVED = "reserved"
    SUBMITTED = "submitted"
    CANNOT_JUDGE = "cannot judge"
    EXPIRED = "expired"


class Campaign(Base):
    """A body of dialogues that a group of annotators ranks under one set of rules.

    ``review_distance`` is the number of contested pairs that stay unreviewed under the policy of a distance. The
    shares are between 0 and 1: of agreed turns that are audited, of turns that come again to the same person, of gold
    turns among those handed out, and of turns drawn at random where the most informative come first.
    """

    __tablename__ = "campaigns"
    __table_args__ = (
        CheckConstraint("k BETWEEN 2 AND 5", name="k_is_2_to_5"),
        CheckConstraint("audit_share BETWEEN 0 AND 1", name="audit_share_is_a_share"),
        CheckConstraint("repeat_share BETWEEN 0 AND 1", name="repeat_share_is_a_share"),
        CheckConstraint("gold_share BETWEEN 0 AND 1", name="gold_share_is_a_share"),
        CheckConstraint("random_share BETWEEN 0 AND 1", name="random_share_is_a_share"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(128), unique=True)
    k: Mapped[int] = mapped_column(default=4)
    ties_allowed: Mapped[bool] = mapped_column(default=True)
    priority_rule: Mapped[PriorityRule] = mapped_column(choice(PriorityRule), default=PriorityRule.ENFORCE)
    rewrite_template: Mapped[str] = mapped_column(Text, default="")
    lease_minutes: Mapped[int] = mapped_column(default=60)
    review_policy: Mapped[ReviewPolicy] = mapped_column(choice(ReviewPolicy), default=ReviewPolicy.ANY_DIFFERENCE)
    review_distance: Mapped[int] = mapped_column(default=1)
    audit_share: Mapped[float] = mapped_column(default=0.0)
    turn_order: Mapped[TurnOrder] = mapped_column(choice(TurnOrder), default=TurnOrder.IMPORT)
    random_share: Mapped[float] = mapped_column(default=0.2)
    repeat_share: Mapped[float] = mapped_column(default=0.0)
    repeat_after_days: Mapped[int] = mapped_column(default=14)
    gold_share: Mapped[float] = mapped_column(default=0.0)
    open: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)


class Guideline(Base):
    """A version of a campaign's guideline; every ranking names the one it was made under."""

    __tablename__ = "guidelines"
    __table_args__ = (UniqueConstraint("campaign_id", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id"))
    version: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)


class Membership(Base):
    """That somebody ranks in a campaign. Who joins or leaves resets the pair counts: evenness holds between changes."""

    __tablename__ = "memberships"

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    joined_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    most_a_day: Mapped[int | None]
    most_in_all: Mapped[int | None]

    user: Mapped[User] = relationship(lazy="joined", innerjoin=True)


class PairCount(Base):
    """How many turns two annotators share, so that the next turn goes where it is missing most."""

    __tablename__ = "pair_counts"
    __table_args__ = (CheckConstraint("low_user_id < high_user_id", name="each_pair_once"),)

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id"), primary_key=True)
    low_user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    high_user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    turns: Mapped[int] = mapped_column(default=0)


class Dialogue(Base):
    """A dialogue between patient and doctor; the same content is imported into a campaign once."""

    __tablename__ = "dialogues"
    __table_args__ = (UniqueConstraint("campaign_id", "external_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id"))
    external_id: Mapped[str] = mapped_column(String(128))
    department: Mapped[str] = mapped_column(String(64), default="")
    source: Mapped[str] = mapped_column(String(256), default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)


class Turn(Base):
    """What is judged: the history, the patient's last message, and K responses.

    ``history`` is a list of [patient, doctor] pairs. ``places_taken`` and ``holder_id`` (who holds the only one) repeat
    what the assignments say, so that the next turn is found through an index; whoever changes a place changes them in
    the same transaction; ``places_named`` counts the free places that are kept for people named by the admin,
    ``pair_counted`` says that its two are counted as sharing it in the present stretch.
    The queue's indexes are read in their own order, so that the next turn costs the same however many there are.
    ``contested_ability`` is the most important one that decides a contested pair. ``score_spread`` and ``best_score``
    are the standard deviation and the maximum of a reward model's scores of the K, from the run ``scored_by_run``.
    """

    __tablename__ = "turns"
    __table_args__ = (
        UniqueConstraint("dialogue_id", "number"),
        Index("ix_turns_state", "campaign_id", "state", "id"),
        Index(
            "ix_turns_handed_back",
            "campaign_id",
            sqlite_where=text(OFTEN_HANDED_BACK),
            postgresql_where=text(OFTEN_HANDED_BACK),
        ),
        Index("ix_turns_gold", "campaign_id", "id", sqlite_where=text("gold"), postgresql_where=text("gold")),
        Index("ix_turns_review", "state", "contested_ability", "id"),
        Index("ix_turns_audit", "id", sqlite_where=text("audit_drawn"), postgresql_where=text("audit_drawn")),
        CheckConstraint("places_taken BETWEEN 0 AND 2", name="two_places"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id"))
    dialogue_id: Mapped[int] = mapped_column(ForeignKey("dialogues.id"))
    number: Mapped[int]
    fingerprint: Mapped[str] = mapped_column(String(64))
    system: Mapped[str | None] = mapped_column(Text)
    history: Mapped[list[list[str]]] = mapped_column(Json)
    message: Mapped[str] = mapped_column(Text)
    reference_reply: Mapped[str | None] = mapped_column(Text)
    department: Mapped[str] = mapped_column(String(64), default="")
    in_distribution: Mapped[bool | None]
    safety: Mapped[bool] = mapped_column(default=False)
    state: Mapped[TurnState] = mapped_column(choice(TurnState))
    settled_by: Mapped[SettledBy | None] = mapped_column(choice(SettledBy))
    settled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    priority: Mapped[int] = mapped_column(default=0)
    places_taken: Mapped[int] = mapped_column(default=0)
    holder_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    places_named: Mapped[int] = mapped_column(default=0)
    times_unjudgeable: Mapped[int] = mapped_column(default=0)
    contested_ability: Mapped[int | None]
    audit_drawn: Mapped[bool] = mapped_column(default=False)
    gold: Mapped[bool] = mapped_column(default=False)
    pair_counted: Mapped[bool] = mapped_column(default=False)
    score_spread: Mapped[float | None]
    best_score: Mapped[float | None]
    scored_by_run: Mapped[int | None]

    dialogue: Mapped[Dialogue] = relationship()
    campaign: Mapped[Campaign] = relationship()
    responses: Mapped[list[Response]] = relationship(order_by="Response.number")


Index(
    "ix_turns_queue",
    *(Turn.campaign_id, Turn.places_taken, Turn.holder_id, Turn.priority.desc(), Turn.id),
    sqlite_where=text(IN_QUEUE),
    postgresql_where=text(IN_QUEUE),
)
Index(
    "ix_turns_informative",
    *(Turn.campaign_id, Turn.places_taken, Turn.holder_id, Turn.priority.desc(), Turn.score_spread.desc(), Turn.id),
    sqlite_where=text(f"{IN_QUEUE} AND score_spread IS NOT NULL"),
    postgresql_where=text(f"{IN_QUEUE} AND score_spread IS NOT NULL"),
)


class Response(Base):
    """One of the K responses; ``number`` is its letter: 0 is A."""

    __tablename__ = "responses"
    __table_args__ = (UniqueConstraint("turn_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"))
    number: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(String(256), default="")
    sampling: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)


class Assignment(Base):
    """An annotator's place on a turn. ``place`` is 1 or 2 while they hold one, so a third cannot exist.

    ``response_order`` lists the responses as this annotator sees them, drawn once. ``selection_probability`` is how
    likely this turn was to be handed out then, None where no chance was involved.
    """

    __tablename__ = "assignments"
    __table_args__ = (
        UniqueConstraint("turn_id", "place"),
        UniqueConstraint("turn_id", "user_id", "purpose"),
        UniqueConstraint("id", "turn_id", "user_id"),
        CheckConstraint("place IS NULL OR (purpose = 'label' AND place IN (1, 2))", name="two_places_for_labelling"),
        CheckConstraint("place IS NULL OR state IN ('reserved', 'submitted')", name="place_only_while_held"),
        Index("ix_assignments_user", "user_id", "state"),
        Index("ix_assignments_finished", "user_id", "finished_at", "id"),
        Index(
            "ix_assignments_lease",
            "leased_until",
            sqlite_where=text("state = 'reserved'"),
            postgresql_where=text("state = 'reserved'"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    purpose: Mapped[Purpose] = mapped_column(choice(Purpose), default=Purpose.LABEL)
    place: Mapped[int | None]
    state: Mapped[AssignmentState] = mapped_column(choice(AssignmentState), default=AssignmentState.RESERVED)
    leased_until: Mapped[datetime] = mapped_column(UtcDateTime)
    response_order: Mapped[list[int]] = mapped_column(Json)
    reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    selection_probability: Mapped[float | None]

    turn: Mapped[Turn] = relationship()
    user: Mapped[User] = relationship()


class Draft(Base):
    """The unfinished form of an assignment; ``revision`` refuses a stale tab."""

    __tablename__ = "drafts"

    assignment_id: Mapped[int] = mapped_column(ForeignKey("assignments.id"), primary_key=True)
    revision: Mapped[int]
    body: Mapped[dict[str, Any]] = mapped_column(Json)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)


class Ranking(Base):
    """One submitted judgement, as ``annotation.ranking.Ranking`` writes it. The highest version counts.

    ``late`` marks one that came after its place was gone: kept and shown to the admin, settling nothing.
    """

    __tablename__ = "rankings"
    __table_args__ = (
        UniqueConstraint("assignment_id", "version"),
        Index("ix_rankings_created", "created_at"),
        Index("ix_rankings_late", "created_at", sqlite_where=text("late"), postgresql_where=text("late")),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    assignment_id: Mapped[int] = mapped_column(ForeignKey("assignments.id"))
    version: Mapped[int]
    submission_key: Mapped[str] = mapped_column(String(64), unique=True)
    content_hash: Mapped[str] = mapped_column(String(64))
    body: Mapped[dict[str, Any]] = mapped_column(Json)
    response_order: Mapped[list[int]] = mapped_column(Json)
    guideline_id: Mapped[int] = mapped_column(ForeignKey("guidelines.id"))
    note: Mapped[str] = mapped_column(Text, default="")
    active_seconds: Mapped[float] = mapped_column(default=0.0)
    late: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)

    assignment: Mapped[Assignment] = relationship()
    guideline: Mapped[Guideline] = relationship(lazy="joined", innerjoin=True)


class AuditEvent(Base):
    """Who did what; appended, never changed. ``detail`` holds no words of patients."""

    __tablename__ = "audit_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow, index=True)
    actor_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(128), default="")
    detail: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)

    actor: Mapped[User | None] = relationship(lazy="joined")
