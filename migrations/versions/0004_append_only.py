"""Neither rankings nor audit events are ever updated or deleted.

Revision ID: 0004
Revises: 0003
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

FORBIDDEN = (("rankings", "UPDATE"), ("rankings", "DELETE"), ("audit_events", "UPDATE"), ("audit_events", "DELETE"))


def upgrade() -> None:
    """Sets the triggers that refuse."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    if postgresql:
        op.execute(
            "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
        )
    for table, change in FORBIDDEN:
        name = f"{table}_no_{change.lower()}"
        body = (
            "EXECUTE FUNCTION refuse_change()"
            if postgresql
            else f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
        op.execute(f"CREATE TRIGGER {name} BEFORE {change} ON {table} FOR EACH ROW {body}")


def downgrade() -> None:
    """Takes the triggers away."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    for table, change in FORBIDDEN:
        op.execute(f"DROP TRIGGER {table}_no_{change.lower()}" + (f" ON {table}" if postgresql else ""))
    if postgresql:
        op.execute("DROP FUNCTION refuse_change()")
