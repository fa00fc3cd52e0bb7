"""Who may come in, and how everybody else is told."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import select, update
from starlette.testclient import TestClient

from annotation.db import Database, utcnow
from annotation.outside_tables import AccessToken
from annotation.people_tables import LoginCount, UserState
from annotation.store import people, tokens
from annotation.tables import Campaign
from app.api.main import ROUTERS
from app.api.problems import MEDIA_TYPE
from app.main import create_app
from app.security import SAFE_METHODS
from app.settings import Settings
from tests.api.conftest import Program
from tests.app.conftest import browse
from tests.conftest import Cast, password_of

__all__ = ["browse"]

ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
EVERY = [(method, "/api/v1" + re.sub(r"{\w+}", "1", route.path)) for route in ROUTES for method in route.methods]
OWNERS = {"ranking": {"li"}, "review": {"zhao"}, "me": {"li", "zhao", "sun"}}


def owners(route: APIRoute) -> set[str]:
    """Whose role the group of a route is for."""
    return OWNERS.get(str(route.tags[0]), {"sun"})


def is_problem(answer: Any, status: int) -> dict[str, Any]:
    """The problem document of a refusal, which it has to be."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    found = dict(answer.json())
    assert found["status"] == status
    assert found["title"]
    assert found["detail"].endswith((".", "。"))
    return found


def test_without_a_token_every_operation_is_refused(stranger: TestClient, cast: Cast) -> None:
    assert len(EVERY) > 40
    for method, path in EVERY:
        answer = stranger.request(method, path)
        is_problem(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_cookie_opens_nothing(web: FastAPI, cast: Cast) -> None:
    client = TestClient(web, follow_redirects=False)
    assert client.post("/login", data={"login": "sun", "password": password_of("sun")}).status_code == 303
    for method, path in EVERY:
        is_problem(client.request(method, path), 401)


@pytest.mark.parametrize("login", ["li", "zhao", "sun"])
def test_to_another_role_an_operation_does_not_exist(program: Program, cast: Cast, login: str) -> None:
    client = program(login)
    for route in ROUTES:
        if login in owners(route):
            continue
        path = "/api/v1" + re.sub(r"{\w+}", "1", route.path)
        for method in route.methods:
            body = {} if method in SAFE_METHODS else {"json": {}}
            is_problem(client.request(method, path, **body), 404)


def test_a_token_that_only_reads_changes_nothing(program: Program, cast: Cast) -> None:
    for login in ("li", "zhao", "sun"):
        client = program(login, may_write=False)  # type: ignore[call-arg]
        assert client.get("/api/v1/me").status_code == 200
        for route in ROUTES:
            for method in route.methods - SAFE_METHODS:
                path = "/api/v1" + re.sub(r"{\w+}", "99", route.path)
                is_problem(client.request(method, path, json={}), 403)


def test_the_token_says_whom_it_acts_for(program: Program, cast: Cast) -> None:
    said = program("li").get("/api/v1/me").json()
    assert (said["id"], said["login"], said["role"]) == (cast.li.id, "li", "annotator")
    assert said["token"]["may_write"] is True


@pytest.mark.parametrize("change", [{"revoked_at": utcnow()}, {"expires_at": utcnow() - timedelta(seconds=1)}])
def test_an_ended_token_is_refused(program: Program, database: Database, change: dict[str, Any]) -> None:
    client = program("li")
    assert client.get("/api/v1/me").status_code == 200
    with database.writing() as session:
        session.execute(update(AccessToken).values(**change))
    is_problem(client.get("/api/v1/me"), 401)


def test_a_paused_person_has_no_program_at_work(program: Program, database: Database, cast: Cast) -> None:
    client = program("li")
    with database.writing() as session:
        people.set_state(session, people.get(session, cast.li.id), UserState.PAUSED, actor_id=cast.sun.id)
    is_problem(client.get("/api/v1/me"), 401)


def test_the_last_use_is_written_once_a_minute(program: Program, database: Database) -> None:
    client = program("li")
    client.get("/api/v1/me")
    with database.reading() as session:
        first = session.scalars(select(AccessToken)).one().used_at
    client.get("/api/v1/me")
    with database.reading() as session:
        assert session.scalars(select(AccessToken)).one().used_at == first
    with database.writing() as session:
        session.execute(update(AccessToken).values(used_at=utcnow() - timedelta(seconds=61)))
    client.get("/api/v1/me")
    with database.reading() as session:
        used = session.scalars(select(AccessToken)).one().used_at
    assert first is not None
    assert used is not None
    assert used > first


def test_bad_tokens_are_told_to_wait_and_write_nothing_then_while_good_ones_pass(
    web: FastAPI, program: Program, database: Database
) -> None:
    good = program("li")
    bad = TestClient(web, headers={"Authorization": "Bearer zj_" + "x" * 43})
    statuses = [bad.get("/api/v1/me").status_code for _ in range(51)]
    assert statuses == [401] * 50 + [429]
    answer = bad.get("/api/v1/me")
    is_problem(answer, 429)
    assert 0 < int(answer.headers["retry-after"]) <= 300
    with database.reading() as session:
        counts = {each.key: each.failures for each in session.scalars(select(LoginCount))}
    assert counts == {"token address testclient": 50, "token all": 50}
    assert good.get("/api/v1/me").status_code == 200
    login = TestClient(web, follow_redirects=False)
    assert login.post("/login", data={"login": "li", "password": password_of("li")}).status_code == 303


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {}])
def test_where_a_request_comes_from_does_not_matter(program: Program, cast: Cast, headers: dict[str, str]) -> None:
    given = {"login": "zhou", "name": "周静", "role": "annotator"}
    answer = program("sun").post("/api/v1/people", json=given, headers=headers)
    assert answer.status_code == 201
    assert "access-control-allow-origin" not in answer.headers


def test_every_answer_carries_its_headers(program: Program, stranger: TestClient, cast: Cast) -> None:
    for answer in (program("li").get("/api/v1/me"), stranger.get("/api/v1/me"), stranger.get("/api/v1/nothing")):
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


def test_errors_speak_the_language_of_the_program_and_english_to_one_that_names_none(stranger: TestClient) -> None:
    assert stranger.get("/api/v1/me").json()["detail"].startswith("Send an access token")
    chinese = stranger.get("/api/v1/me", headers={"accept-language": "zh-CN"}).json()["detail"]
    assert not chinese.startswith("Send")


def test_what_does_not_exist_is_a_problem_document(program: Program, cast: Cast) -> None:
    client = program("sun")
    for path in ("/api/v1/nothing", "/api/v1/campaigns/99", "/api/v1/campaigns/one", f"/api/v1/runs/{10**20}"):
        is_problem(client.get(path), 404)
    is_problem(client.delete("/api/v1/me"), 405)


def test_what_does_not_fit_is_listed_field_by_field(program: Program, cast: Cast) -> None:
    found = is_problem(program("sun").post("/api/v1/campaigns", json={"name": "", "k": 9, "colour": 1}), 422)
    assert {each["where"] for each in found["errors"]} == {"body.name", "body.k", "body.colour"}
    found = is_problem(program("sun").post("/api/v1/campaigns", json={"name": "a\0b"}), 422)
    assert "no text" in found["errors"][0]["message"]
    for body in (b"{", b"\xff\xfe", b'{"name": "\\ud800"}'):
        answer = program("sun").post("/api/v1/campaigns", content=body, headers={"content-type": "application/json"})
        is_problem(answer, 422)


def test_a_body_that_is_too_large_is_refused(program: Program, settings: Settings, campaign: Campaign) -> None:
    secret = program("sun").headers["authorization"]
    app = create_app(settings.model_copy(update={"most_upload_mb": 1}))
    client = TestClient(app, headers={"Authorization": secret})
    path, big = f"/api/v1/campaigns/{campaign.id}/dialogues", b"x" * (2**20 + 1)
    is_problem(client.post(path, content=big), 413)
    is_problem(client.post(path, content=(big[i : i + 1000] for i in range(0, len(big), 1000))), 413)
    assert client.post(path, content=big[:-1]).status_code == 422
    app.state.database.dispose()


def test_an_error_tells_a_number_and_nothing_else(web: FastAPI, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_args: object) -> None:
        raise RuntimeError("secret of the inside")

    monkeypatch.setattr(tokens, "found", breaks)
    client = TestClient(web, raise_server_exceptions=False, headers={"Authorization": "Bearer zj_x"})
    found = is_problem(client.get("/api/v1/me"), 500)
    assert re.search(r"number [0-9a-f]{8}", found["detail"])
    assert "secret" not in found["detail"]


def test_a_database_that_is_away_is_said(settings: Settings) -> None:
    away = settings.model_copy(update={"database_url": "postgresql://127.0.0.1:1/none"})
    client = TestClient(create_app(away), headers={"Authorization": "Bearer zj_" + "x" * 43})
    answer = client.get("/api/v1/me")
    is_problem(answer, 503)
    assert answer.headers["retry-after"] == "5"
