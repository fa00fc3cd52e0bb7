"""Alembic's entry: which database, which tables."""

from typing import Any, Literal

from alembic import context

from annotation import measure_tables, outside_tables, people_tables, review_tables, run_tables, tables
from annotation.db import Base, Database, UtcDateTime

assert (
    tables and people_tables and review_tables and run_tables and measure_tables and outside_tables
)  # for their tables

config = context.config
target_metadata = Base.metadata


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Migrations stand by themselves: they name no type of this project, which may change after them."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


def run_online() -> None:
    """Runs the migrations on a live connection, each in a transaction of its own."""
    database = Database(config.attributes.get("url") or config.get_main_option("sqlalchemy.url"))
    with database.engine.connect() as connection:
        if database.is_sqlite:  # or making a table anew would drop what refers to it
            connection.connection.cursor().execute("PRAGMA foreign_keys = OFF")
        context.configure(
            connection=connection,
            target_metadata=target_metadata,
            render_as_batch=database.is_sqlite,
            compare_type=True,
            render_item=render_item,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
        if database.is_sqlite:
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            assert not broken, f"the migration left rows that refer to nothing: {broken[:5]}"
    database.dispose()


def run_offline() -> None:
    """Prints the SQL instead of running it."""
    context.configure(url=config.get_main_option("sqlalchemy.url"), target_metadata=target_metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
