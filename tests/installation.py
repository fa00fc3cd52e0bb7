"""A whole installation, started as its users start it: broker, workers, beat and web, each a process of its own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from annotation.db import Database
from annotation.people_tables import Role
from annotation.store import people
from app.launch import Services
from app.passwords import hash_password
from app.settings import Settings
from tests.conftest import password_of, wait_for
from tests.visitors import Visitor

PEOPLE = {
    "li": ("李敏", Role.ANNOTATOR),
    "wang": ("王芳", Role.ANNOTATOR),
    "zhao": ("赵磊", Role.ADJUDICATOR),
    "sun": ("孙悦", Role.ADMIN),
}


@dataclass(frozen=True)
class Installation:
    """Where it is reached, and its database for a look behind the pages."""

    settings: Settings
    database: Database
    services: Services
    visitors: list[Visitor] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The address of the start page."""
        return f"http://{self.settings.host}:{self.settings.port}"

    def visitor(self, login: str) -> Visitor:
        """One of the cast, logged in."""
        self.visitors.append(Visitor(self.url, login))
        return self.visitors[-1]


@contextmanager
def installed(home: Path, database_url: str) -> Iterator[Installation]:
    """An installation on a migrated database, with a small cast; at the end nothing of it is left running."""
    settings = Settings(home=home, port=free_port(), DATABASE_URL=database_url)
    database = Database(database_url)
    with database.writing() as session:
        for login, (name, role) in PEOPLE.items():
            people.add(session, login, name, role, password_hash=hash_password(password_of(login)))
    installation = Installation(settings, database, Services(settings))
    try:
        installation.services.start()
        wait_for(lambda: answers(installation.url), 60)
        yield installation
    finally:
        for visitor in installation.visitors:
            visitor.close()
        installation.services.stop()
        database.dispose()


def answers(url: str) -> bool:
    """Whether the web is up."""
    try:
        return httpx2.get(f"{url}/login").status_code == 200
    except httpx2.HTTPError:
        return False


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
