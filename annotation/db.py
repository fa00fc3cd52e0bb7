"""Engine and sessions: one code path for SQLite, the embedded default, and PostgreSQL."""

from __future__ import annotations

import enum
import select
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Connection,
    DateTime,
    Dialect,
    Engine,
    Enum,
    MetaData,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DisconnectionError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator, TypeEngine

BUSY_TIMEOUT_MS = 10_000
UNDONE = ("40P01", "40001")
"""The SQL states of a deadlock and of a serialization failure."""

POOL_SIZE, POOL_OVERFLOW, POOL_TIMEOUT_S = 20, 20, 2


class Base(DeclarativeBase):
    """What every table derives from; constraints have names so that migrations can name them too."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time: aware and in UTC in Python, whatever the database keeps."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuses naive times, which would be read as somebody's local time."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("A time without a time zone cannot be stored: use utcnow().")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """SQLite returns naive times, which are UTC because they were stored so."""
        return value if value is None else value.replace(tzinfo=value.tzinfo or UTC)


Json = JSON().with_variant(JSONB(), "postgresql")


def choice(kind: type[enum.StrEnum]) -> TypeEngine[Any]:
    """A column that holds one value of an enumeration, as text with a check."""
    values = [member.value for member in kind]
    return Enum(kind, native_enum=False, create_constraint=True, length=24, values_callable=lambda _: values)


def utcnow() -> datetime:
    """The current time, aware and in UTC."""
    return datetime.now(UTC)


def database_url(url: str) -> str:
    """The URL with the driver that this project uses."""
    return url.replace("postgresql://", "postgresql+psycopg://", 1).replace("postgres://", "postgresql+psycopg://", 1)


def collided(error: BaseException) -> bool:
    """Whether a transaction was undone because others wrote at the same moment: the same again may well succeed.

    PostgreSQL ends one of several that wait for each other, or that cannot stand in any order; SQLite, where one
    writes at a time, one that has waited too long.
    """
    cause = error.orig if isinstance(error, OperationalError) else None
    state, code = getattr(cause, "sqlstate", None), getattr(cause, "sqlite_errorcode", None)
    return state in UNDONE or (code is not None and code & 0xFF == sqlite3.SQLITE_BUSY)


class Database:
    """The database behind a URL; a session is one transaction, committed where its block ends without an exception."""

    def __init__(self, url: str) -> None:
        """Connects to nothing yet: a database that is away shows when it is first used."""
        self.url = make_url(database_url(url))
        self.engine = _sqlite_engine(self) if self.is_sqlite else _server_engine(self)
        self._looking = self.engine.execution_options(**_how_to_look(self))
        self._glancing = self.engine.execution_options(**_how_to_glance(self))

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the embedded default."""
        return self.url.get_backend_name() == "sqlite"

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that may change something. On SQLite it holds the one write lock from its first statement."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that only looks, at one moment; it blocks nobody and nobody blocks it."""
        with Session(self._looking, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def glancing(self) -> Iterator[Session]:
        """For single statements that only look, each at its own moment: nothing is begun and nothing ended."""
        with Session(self._glancing, expire_on_commit=False) as session:
            yield session

    def dispose(self) -> None:
        """Closes every pooled connection."""
        self.engine.dispose()


def _how_to_look(database: Database) -> dict[str, Any]:
    if database.is_sqlite:
        return {"sqlite_begin": "DEFERRED"}
    return {"postgresql_readonly": True, "isolation_level": "REPEATABLE READ"}


def _how_to_glance(database: Database) -> dict[str, Any]:
    return {"sqlite_begin": None} if database.is_sqlite else {"isolation_level": "AUTOCOMMIT"}


def _server_engine(database: Database) -> Engine:
    engine = create_engine(
        database.url,
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=POOL_TIMEOUT_S,
        pool_use_lifo=True,  # a few warm connections, whose statements are prepared, instead of all in turn
        connect_args={"options": "-c timezone=utc", "connect_timeout": 2},
    )
    event.listen(engine, "checkout", _refuse_if_hung_up)
    return engine


def _refuse_if_hung_up(connection: Any, _record: object, _proxy: object) -> None:
    """The pool opens another connection instead. A server that went away has closed its socket, or said why.

    Nothing is to be read from a connection that rests, so this needs no message to the server and back.
    """
    if connection.closed:
        raise DisconnectionError
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        raise DisconnectionError


def _sqlite_engine(database: Database) -> Engine:
    engine = create_engine(database.url, pool_size=POOL_SIZE, max_overflow=POOL_OVERFLOW, pool_timeout=POOL_TIMEOUT_S)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver would otherwise begin late, and not at all before a SELECT
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",  # with WAL, NORMAL may lose the last commits when the machine goes down
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    mode = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
    if mode is not None:
        connection.exec_driver_sql(f"BEGIN {mode}")
