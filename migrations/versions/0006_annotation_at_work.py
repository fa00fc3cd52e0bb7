"""What experts at work need: policies, audits, limits, calibration, guideline versions, pseudonyms, tokens, hooks.

Revision ID: 0006
Revises: 0005
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

QUEUE_BEFORE = ["campaign_id", "state", "places_taken", "holder_id", "priority", "id"]
IN_QUEUE = "state IN ('open', 'one ranking') AND places_taken + places_named < 2"
PLACES = ("campaign_id", "places_taken", "holder_id", "priority DESC")
INDEXES: dict[str, tuple[str, tuple[str, ...], str | None]] = {
    "ix_turns_state": ("turns", ("campaign_id", "state", "id"), None),
    "ix_turns_queue": ("turns", (*PLACES, "id"), IN_QUEUE),
    "ix_turns_informative": (
        "turns",
        (*PLACES, "score_spread DESC", "id"),
        f"{IN_QUEUE} AND score_spread IS NOT NULL",
    ),
    "ix_turns_gold": ("turns", ("campaign_id", "id"), "gold"),
    "ix_turns_handed_back": ("turns", ("campaign_id",), "times_unjudgeable >= 2"),
    "ix_rankings_created": ("rankings", ("created_at",), None),
    "ix_rankings_late": ("rankings", ("created_at",), "late"),
    "ix_assignments_finished": ("assignments", ("user_id", "finished_at", "id"), None),
}
RUN_KINDS = ("pretrain", "sft", "generate", "reward", "ppo", "evaluate")


def _one_of(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=False, length=24)


def _check(table: str, name: str, rule: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(rule, name=op.f(f"ck_{table}_{name}"))


def _in(column: str, values: Sequence[str]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def _chosen(table: str, column: str, kind: str, values: Sequence[str]) -> tuple[str, sa.Column[str]]:
    """A column that holds one of these values, the first of which is what held before."""
    check = _check(table, kind, _in(column, values))
    return table, sa.Column(column, _one_of(kind, *values), check, nullable=False, server_default=values[0])


def _share(column: str, before: float) -> tuple[str, sa.Column[float]]:
    check = _check("campaigns", f"{column}_is_a_share", f"{column} BETWEEN 0 AND 1")
    return "campaigns", sa.Column(column, sa.Double(), check, nullable=False, server_default=sa.text(str(before)))


def _counted(table: str, column: str, before: int) -> tuple[str, sa.Column[int]]:
    return table, sa.Column(column, sa.Integer(), nullable=False, server_default=sa.text(str(before)))


def _flag(table: str, column: str) -> tuple[str, sa.Column[bool]]:
    return table, sa.Column(column, sa.Boolean(), nullable=False, server_default=sa.false())


def _columns() -> list[tuple[str, sa.Column[Any]]]:
    """What is added to tables that are there, each with its check in one statement: SQLite knows no other way."""
    policies = ("any difference", "beyond a distance", "safety decides")
    return [
        _chosen("adjudications", "kind", "reviewkind", ("contested", "audit")),
        ("assignments", sa.Column("selection_probability", sa.Double(), nullable=True)),
        _chosen("campaigns", "review_policy", "reviewpolicy", policies),
        _counted("campaigns", "review_distance", 1),
        _share("audit_share", 0.0),
        _chosen("campaigns", "turn_order", "turnorder", ("as imported", "by dialogue", "most informative")),
        _share("random_share", 0.2),
        _share("repeat_share", 0.0),
        _counted("campaigns", "repeat_after_days", 14),
        _share("gold_share", 0.0),
        ("memberships", sa.Column("most_a_day", sa.Integer(), nullable=True)),
        ("memberships", sa.Column("most_in_all", sa.Integer(), nullable=True)),
        _counted("turns", "places_named", 0),
        _flag("turns", "audit_drawn"),
        _flag("turns", "gold"),
        _flag("turns", "pair_counted"),
        ("turns", sa.Column("score_spread", sa.Double(), nullable=True)),
        ("turns", sa.Column("best_score", sa.Double(), nullable=True)),
        ("turns", sa.Column("scored_by_run", sa.Integer(), nullable=True)),
    ]


def _index_the_queue() -> None:
    op.drop_index("ix_turns_queue", "turns")
    for name, (table, columns, rule) in INDEXES.items():
        parts = [sa.text(column) if " " in column else column for column in columns]
        where = sa.text(rule) if rule else None
        op.create_index(name, table, parts, sqlite_where=where, postgresql_where=where)


def _allow_run_kinds(kinds: Sequence[str]) -> None:
    """Which stages a run may be of; SQLite makes the table anew for it."""
    with op.batch_alter_table("runs") as batch_op:
        batch_op.drop_constraint(op.f("ck_runs_runkind"), type_="check")
        batch_op.create_check_constraint(op.f("ck_runs_runkind"), _in("kind", kinds))


def _add_webhooks() -> None:
    """Where what happens is told, and what became of each message."""
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("url", sa.String(length=512), nullable=False),
        sa.Column("secret", sa.String(length=64), nullable=False),
        sa.Column(
            "events", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("webhook_id", sa.Integer(), nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=36), nullable=False),
        sa.Column(
            "payload", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.Column(
            "state",
            sa.Enum(
                "waiting",
                "delivered",
                "given up",
                name="deliverystate",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "tries", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["webhook_id"], ["webhooks.id"], name=op.f("fk_deliveries_webhook_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("key", name=op.f("uq_deliveries_key")),
    )
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.create_index("ix_deliveries_due", ["state", "next_attempt_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_deliveries_webhook_id"), ["webhook_id"], unique=False)


def _add_tokens_and_pseudonyms() -> None:
    """What a person has with them: tokens for their programs, and a name in each campaign."""
    op.create_table(
        "access_tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("may_write", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_access_tokens_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_access_tokens_token_hash")),
    )
    with op.batch_alter_table("access_tokens", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_access_tokens_user_id"), ["user_id"], unique=False)
    op.create_table(
        "pseudonyms",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_pseudonyms_campaign_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_pseudonyms_user_id")),
        sa.PrimaryKeyConstraint("campaign_id", "user_id", name=op.f("pk_pseudonyms")),
        sa.UniqueConstraint("campaign_id", "name", name=op.f("uq_pseudonyms_campaign_id_name")),
    )


def _add_calibration() -> None:
    """Rounds in which everybody ranks the same turns."""
    op.create_table(
        "calibration_rounds",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revealed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_calibration_rounds_campaign_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calibration_rounds")),
        sa.UniqueConstraint("campaign_id", "name", name=op.f("uq_calibration_rounds_campaign_id_name")),
    )
    op.create_table(
        "calibration_turns",
        sa.Column("turn_id", sa.Integer(), nullable=False),
        sa.Column("round_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["round_id"], ["calibration_rounds.id"], name=op.f("fk_calibration_turns_round_id")),
        sa.ForeignKeyConstraint(["turn_id"], ["turns.id"], name=op.f("fk_calibration_turns_turn_id")),
        sa.PrimaryKeyConstraint("turn_id", name=op.f("pk_calibration_turns")),
    )
    with op.batch_alter_table("calibration_turns", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_calibration_turns_round_id"), ["round_id"], unique=False)


def _add_guideline() -> None:
    """Who has read which guideline, and what was doubted in it."""
    op.create_table(
        "guideline_readings",
        sa.Column("guideline_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["guideline_id"], ["guidelines.id"], name=op.f("fk_guideline_readings_guideline_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_guideline_readings_user_id")),
        sa.PrimaryKeyConstraint("guideline_id", "user_id", name=op.f("pk_guideline_readings")),
    )
    op.create_table(
        "guideline_doubts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("guideline_id", sa.Integer(), nullable=False),
        sa.Column("turn_id", sa.Integer(), nullable=False),
        sa.Column("author_id", sa.Integer(), nullable=False),
        sa.Column("ability", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("ability BETWEEN 1 AND 9", name=op.f("ck_guideline_doubts_one_of_nine")),
        sa.ForeignKeyConstraint(["author_id"], ["users.id"], name=op.f("fk_guideline_doubts_author_id")),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_guideline_doubts_campaign_id")),
        sa.ForeignKeyConstraint(["guideline_id"], ["guidelines.id"], name=op.f("fk_guideline_doubts_guideline_id")),
        sa.ForeignKeyConstraint(["turn_id"], ["turns.id"], name=op.f("fk_guideline_doubts_turn_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_guideline_doubts")),
    )
    with op.batch_alter_table("guideline_doubts", schema=None) as batch_op:
        batch_op.create_index("ix_guideline_doubts_open", ["campaign_id", "closed_at"], unique=False)


def _add_named_places() -> None:
    """Places that are kept for somebody."""
    op.create_table(
        "named_places",
        sa.Column("turn_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("taken", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["turn_id"], ["turns.id"], name=op.f("fk_named_places_turn_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_named_places_user_id")),
        sa.PrimaryKeyConstraint("turn_id", "user_id", name=op.f("pk_named_places")),
    )
    with op.batch_alter_table("named_places", schema=None) as batch_op:
        batch_op.create_index("ix_named_places_user", ["user_id", "taken"], unique=False)


def upgrade() -> None:
    """Adds the tables and columns; those that may not be empty get what held before."""
    _add_webhooks()
    _add_tokens_and_pseudonyms()
    _add_calibration()
    _add_guideline()
    _add_named_places()
    for table, column in _columns():
        op.add_column(table, column)
    op.execute("UPDATE turns SET pair_counted = true WHERE places_taken = 2")
    drawn = sa.text("audit_drawn")
    op.create_index("ix_turns_audit", "turns", ["id"], sqlite_where=drawn, postgresql_where=drawn)
    _index_the_queue()
    _allow_run_kinds((*RUN_KINDS, "score"))


def downgrade() -> None:
    """Takes it back."""
    op.execute("DELETE FROM run_logs WHERE run_id IN (SELECT id FROM runs WHERE kind = 'score')")
    op.execute("DELETE FROM run_records WHERE run_id IN (SELECT id FROM runs WHERE kind = 'score')")
    op.execute("DELETE FROM run_inputs WHERE run_id IN (SELECT id FROM runs WHERE kind = 'score')")
    op.execute("DELETE FROM runs WHERE kind = 'score'")
    _allow_run_kinds(RUN_KINDS)
    op.drop_index("ix_turns_audit", "turns")
    for name, (table, _, _) in INDEXES.items():
        op.drop_index(name, table)
    op.create_index("ix_turns_queue", "turns", QUEUE_BEFORE)
    for table, column in reversed(_columns()):
        op.drop_column(table, column.name)
    with op.batch_alter_table("named_places", schema=None) as batch_op:
        batch_op.drop_index("ix_named_places_user")

    op.drop_table("named_places")
    with op.batch_alter_table("guideline_doubts", schema=None) as batch_op:
        batch_op.drop_index("ix_guideline_doubts_open")

    op.drop_table("guideline_doubts")
    with op.batch_alter_table("calibration_turns", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_calibration_turns_round_id"))

    op.drop_table("calibration_turns")
    op.drop_table("guideline_readings")
    op.drop_table("pseudonyms")
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_deliveries_webhook_id"))
        batch_op.drop_index("ix_deliveries_due")

    op.drop_table("deliveries")
    op.drop_table("calibration_rounds")
    with op.batch_alter_table("access_tokens", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_access_tokens_user_id"))

    op.drop_table("access_tokens")
    op.drop_table("webhooks")
