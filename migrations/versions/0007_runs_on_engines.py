"""What carries a run: the launcher that was chosen, what its engine calls the job, how far its files were read.

Revision ID: 0007
Revises: 0006
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ENGINES = ("local", "hosts", "slurm", "ray", "kubernetes")


def _columns() -> list[sa.Column[Any]]:
    """What a run gains; one that is there was carried by the worker's own machine."""
    named = ", ".join(repr(engine) for engine in ENGINES)
    check = sa.CheckConstraint(f"engine IN ({named})", name=op.f("ck_runs_engine"))
    engine = sa.Enum(*ENGINES, name="engine", native_enum=False, create_constraint=False, length=24)
    nothing = sa.text("0")
    return [
        sa.Column("launcher", sa.String(length=64), nullable=False, server_default="local"),
        sa.Column("engine", engine, check, nullable=False, server_default="local"),
        sa.Column("submission", sa.Integer(), nullable=False, server_default=nothing),
        sa.Column("external_id", sa.String(length=128), nullable=True),
        sa.Column("records_read", sa.BigInteger(), nullable=False, server_default=nothing),
        sa.Column("log_read", sa.BigInteger(), nullable=False, server_default=nothing),
    ]


def upgrade() -> None:
    """Adds what carries a run."""
    for column in _columns():
        op.add_column("runs", column)


def downgrade() -> None:
    """Takes it away."""
    for column in reversed(_columns()):
        op.drop_column("runs", column.name)
