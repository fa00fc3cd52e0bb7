"""The web on a fresh database, and browsers without a browser for each of the cast."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy import select
from starlette.testclient import TestClient

from annotation.db import Database
from annotation.store import imports, rankings
from annotation.store.rankings import Submission
from annotation.tables import Assignment, Campaign, Turn
from app.main import create_app
from app.settings import Settings
from tests.conftest import Cast, password_of
from tests.material import dialogue, ranked

Browse = Callable[[str], TestClient]


@pytest.fixture
def settings(database: Database, tmp_path: Path) -> Settings:
    """Of a web whose broker is away: nothing here needs one."""
    url = database.url.render_as_string(hide_password=False)
    return Settings(home=tmp_path / "home", DATABASE_URL=url, REDIS_URL="redis://127.0.0.1:1/0")


@pytest.fixture
def web(settings: Settings) -> Iterator[FastAPI]:
    """The web."""
    app = create_app(settings)
    yield app
    app.state.database.dispose()


@pytest.fixture
def anybody(web: FastAPI) -> TestClient:
    """Somebody who is not logged in, reading English."""
    client = TestClient(web, follow_redirects=False)
    client.cookies.set("locale", "en")
    return client


@pytest.fixture
def browse(web: FastAPI, cast: Cast) -> Browse:
    """Logs somebody in: ``browse("li")``."""

    def log_in(login: str) -> TestClient:
        client = TestClient(web, follow_redirects=False)
        client.cookies.set("locale", "en")
        answer = client.post("/login", data={"login": login, "password": password_of(login)})
        assert answer.status_code == 303, answer.text
        return client

    return log_in


@pytest.fixture
def admin(browse: Browse) -> TestClient:
    """Sun Yue."""
    return browse("sun")


@pytest.fixture
def turns(database: Database, campaign: Campaign) -> list[int]:
    """Three turns."""
    with database.writing() as session:
        imports.add(session, campaign, [dialogue(f"d{i}") for i in range(3)], source="t", actor_id=None)
        return list(session.scalars(select(Turn.id).order_by(Turn.id)))


def rank(client: TestClient, campaign: Campaign, database: Database, order: str) -> str:
    """Ranks the next turn from behind the page; returns where it is."""
    path = str(client.post(f"/rank/{campaign.id}/next").headers["location"])
    with database.writing() as session:
        assignment = session.get_one(Assignment, int(path.rpartition("/")[2]))
        rankings.submit(session, assignment, Submission(f"key-{assignment.id}-{order}", ranked(order)))
    return path
