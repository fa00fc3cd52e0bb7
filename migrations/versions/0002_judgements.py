"""Assignments, rankings and how turns were settled.

Revision ID: 0002
Revises: 0001
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Assignments, rankings and how turns were settled."""
    op.create_table(
        "assignments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("turn_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column(
            "purpose",
            sa.Enum(
                "label",
                "calibration",
                "repeat",
                "gold",
                name="purpose",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("place", sa.Integer(), nullable=True),
        sa.Column(
            "state",
            sa.Enum(
                "reserved",
                "submitted",
                "cannot judge",
                "expired",
                name="assignmentstate",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "response_order",
            sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"),
            nullable=False,
        ),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "place IS NULL OR (purpose = 'label' AND place IN (1, 2))",
            name=op.f("ck_assignments_two_places_for_labelling"),
        ),
        sa.CheckConstraint(
            "place IS NULL OR state IN ('reserved', 'submitted')", name=op.f("ck_assignments_place_only_while_held")
        ),
        sa.ForeignKeyConstraint(["turn_id"], ["turns.id"], name=op.f("fk_assignments_turn_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_assignments_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignments")),
        sa.UniqueConstraint("id", "turn_id", "user_id", name=op.f("uq_assignments_id_turn_id_user_id")),
        sa.UniqueConstraint("turn_id", "place", name=op.f("uq_assignments_turn_id_place")),
        sa.UniqueConstraint("turn_id", "user_id", "purpose", name=op.f("uq_assignments_turn_id_user_id_purpose")),
    )
    with op.batch_alter_table("assignments", schema=None) as batch_op:
        batch_op.create_index(
            "ix_assignments_lease",
            ["leased_until"],
            unique=False,
            sqlite_where=sa.text("state = 'reserved'"),
            postgresql_where=sa.text("state = 'reserved'"),
        )
        batch_op.create_index("ix_assignments_user", ["user_id", "state"], unique=False)
    op.create_table(
        "adjudications",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("turn_id", sa.Integer(), nullable=False),
        sa.Column("adjudicator_id", sa.Integer(), nullable=False),
        sa.Column("first_assignment_id", sa.Integer(), nullable=True),
        sa.Column("first_annotator_id", sa.Integer(), nullable=True),
        sa.Column("second_assignment_id", sa.Integer(), nullable=True),
        sa.Column("second_annotator_id", sa.Integer(), nullable=True),
        sa.Column(
            "state",
            sa.Enum(
                "open", "decided", "released", name="reviewstate", native_enum=False, create_constraint=True, length=24
            ),
            nullable=False,
        ),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "response_order",
            sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "decisions", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.Column(
            "result", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=True
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(first_assignment_id IS NULL) = (first_annotator_id IS NULL) AND (second_assignment_id IS NULL) = (second_annotator_id IS NULL)",
            name=op.f("ck_adjudications_assignment_names_annotator"),
        ),
        sa.CheckConstraint(
            "adjudicator_id <> first_annotator_id AND adjudicator_id <> second_annotator_id",
            name=op.f("ck_adjudications_adjudicator_is_a_third_person"),
        ),
        sa.ForeignKeyConstraint(["adjudicator_id"], ["users.id"], name=op.f("fk_adjudications_adjudicator_id")),
        sa.ForeignKeyConstraint(
            ["first_assignment_id", "turn_id", "first_annotator_id"],
            ["assignments.id", "assignments.turn_id", "assignments.user_id"],
            name="first_annotator",
        ),
        sa.ForeignKeyConstraint(
            ["second_assignment_id", "turn_id", "second_annotator_id"],
            ["assignments.id", "assignments.turn_id", "assignments.user_id"],
            name="second_annotator",
        ),
        sa.ForeignKeyConstraint(["turn_id"], ["turns.id"], name=op.f("fk_adjudications_turn_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adjudications")),
    )
    with op.batch_alter_table("adjudications", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_adjudications_adjudicator_id"), ["adjudicator_id"], unique=False)
        batch_op.create_index(
            "uq_adjudications_live",
            ["turn_id"],
            unique=True,
            sqlite_where=sa.text("state <> 'released'"),
            postgresql_where=sa.text("state <> 'released'"),
        )
    op.create_table(
        "drafts",
        sa.Column("assignment_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column(
            "body", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["assignment_id"], ["assignments.id"], name=op.f("fk_drafts_assignment_id")),
        sa.PrimaryKeyConstraint("assignment_id", name=op.f("pk_drafts")),
    )
    op.create_table(
        "rankings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("assignment_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("submission_key", sa.String(length=64), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column(
            "body", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.Column(
            "response_order",
            sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"),
            nullable=False,
        ),
        sa.Column("guideline_id", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("active_seconds", sa.Double(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["assignment_id"], ["assignments.id"], name=op.f("fk_rankings_assignment_id")),
        sa.ForeignKeyConstraint(["guideline_id"], ["guidelines.id"], name=op.f("fk_rankings_guideline_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rankings")),
        sa.UniqueConstraint("assignment_id", "version", name=op.f("uq_rankings_assignment_id_version")),
        sa.UniqueConstraint("submission_key", name=op.f("uq_rankings_submission_key")),
    )
    op.create_table(
        "rewrites",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("turn_id", sa.Integer(), nullable=False),
        sa.Column("adjudication_id", sa.Integer(), nullable=False),
        sa.Column("author_id", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["adjudication_id"], ["adjudications.id"], name=op.f("fk_rewrites_adjudication_id")),
        sa.ForeignKeyConstraint(["author_id"], ["users.id"], name=op.f("fk_rewrites_author_id")),
        sa.ForeignKeyConstraint(["turn_id"], ["turns.id"], name=op.f("fk_rewrites_turn_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rewrites")),
        sa.UniqueConstraint("adjudication_id", name=op.f("uq_rewrites_adjudication_id")),
    )
    with op.batch_alter_table("rewrites", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_rewrites_turn_id"), ["turn_id"], unique=False)


def downgrade() -> None:
    """Takes them away."""
    with op.batch_alter_table("rewrites", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_rewrites_turn_id"))
    op.drop_table("rewrites")
    op.drop_table("rankings")
    op.drop_table("drafts")
    with op.batch_alter_table("adjudications", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_adjudications_live",
            sqlite_where=sa.text("state <> 'released'"),
            postgresql_where=sa.text("state <> 'released'"),
        )
        batch_op.drop_index(batch_op.f("ix_adjudications_adjudicator_id"))
    op.drop_table("adjudications")
    with op.batch_alter_table("assignments", schema=None) as batch_op:
        batch_op.drop_index("ix_assignments_user")
        batch_op.drop_index(
            "ix_assignments_lease",
            sqlite_where=sa.text("state = 'reserved'"),
            postgresql_where=sa.text("state = 'reserved'"),
        )
    op.drop_table("assignments")
