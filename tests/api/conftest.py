"""Programs of the cast: clients with a token of theirs and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from annotation.db import Database
from annotation.store import tokens
from annotation.tables import Campaign
from app.main import create_app
from app.settings import Settings
from tests.app.conftest import settings
from tests.conftest import Cast
from tests.material import json_lines, own_row

__all__ = ["settings"]

Program = Callable[[str], TestClient]

ORDER = {"groups": [["A"], ["B"], ["C"], ["D"]], "boundaries": [{"ability": 1}, {"ability": 4}, {"ability": 9}]}


@pytest.fixture
def web(settings: Settings) -> Iterator[FastAPI]:
    """The web with its API."""
    app = create_app(settings)
    yield app
    app.state.database.dispose()


@pytest.fixture
def stranger(web: FastAPI) -> TestClient:
    """A program without a token."""
    return TestClient(web, follow_redirects=False)


@pytest.fixture
def program(web: FastAPI, database: Database, cast: Cast) -> Program:
    """A program of somebody: ``program("li")``."""

    def of(login: str, *, may_write: bool = True) -> TestClient:
        with database.writing() as session:
            user = session.merge(getattr(cast, login))
            _, secret = tokens.create(session, user, "test", may_write=may_write, days=30)
        return TestClient(web, follow_redirects=False, headers={"Authorization": f"Bearer {secret}"})

    return of


@pytest.fixture
def imported(program: Program, campaign: Campaign) -> Campaign:
    """The campaign with three dialogues of a turn each, which only Li and Wang rank."""
    admin = program("sun")
    rows = json_lines(*(own_row(f"d{i}", f"孩子发烧{i}天了。") for i in range(3)))
    answer = admin.post(f"/api/v1/campaigns/{campaign.id}/dialogues", content=rows)
    assert answer.status_code == 200, answer.text
    people = {each["login"]: each["id"] for each in admin.get("/api/v1/people").json()["items"]}
    ids = [people["li"], people["wang"]]
    assert admin.put(f"/api/v1/campaigns/{campaign.id}/members", json={"user_ids": ids}).status_code == 200
    return campaign


def reserve(client: TestClient, campaign: Campaign) -> dict[str, Any]:
    """The next turn of an annotator's program."""
    answer = client.post(f"/api/v1/ranking/campaigns/{campaign.id}/next")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def rank(client: TestClient, campaign: Campaign, *texts: str) -> dict[str, Any]:
    """Ranks the next turn, the texts best first; returns the turn."""
    turn = reserve(client, campaign)
    letters = {each["text"]: each["letter"] for each in turn["turn"]["responses"]}
    order = ORDER | {"groups": [[letters[text]] for text in texts], "key": f"key-of-assignment-{turn['id']}"}
    answer = client.put(f"/api/v1/assignments/{turn['id']}/ranking", json=order)
    assert answer.status_code == 200, answer.text
    return turn


def contest(program: Program, campaign: Campaign) -> None:
    """Li and Wang rank a turn, and differ in the pair of 回答0 and 回答1."""
    rank(program("li"), campaign, "回答0", "回答1", "回答2", "回答3")
    rank(program("wang"), campaign, "回答1", "回答0", "回答2", "回答3")
