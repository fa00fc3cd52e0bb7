"""The web on a fresh database, and browsers without a browser for each of the cast."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from annotation.db import Database
from app.main import create_app
from app.settings import Settings
from tests.conftest import Cast, password_of

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
