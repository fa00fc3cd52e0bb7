"""What holds for every answer and every request."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.testclient import TestClient

from annotation.db import Database
from annotation.tables import Campaign
from app.main import create_app
from app.render import STATIC, templates_folder
from app.routes import ROUTERS
from app.security import POLICY, SAFE_METHODS
from app.settings import Settings
from tests.app.conftest import Browse
from tests.conftest import Cast

HOSTS = ("rank.example.org", "127.0.0.1:8000", "evil.example.org")


def test_every_answer_carries_the_policy(anybody: TestClient, browse: Browse) -> None:
    client = browse("sun")
    answers = [client.get(path) for path in ("/admin", "/nowhere", "/static/base.css", "/admin/runs/99")]
    answers += [anybody.get("/login"), anybody.post("/login", data={}), anybody.get("/")]
    for answer in answers:
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert "unsafe" not in POLICY
    assert client.get("/admin").headers["cache-control"] == "no-store"


ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]


def unsafe_routes() -> list[tuple[str, str]]:
    """Every route that changes something, with its places filled in."""
    changing = [(method, route.path) for route in ROUTES for method in route.methods if method not in SAFE_METHODS]
    return [(method, re.sub(r"{\w+}", "1", path.replace("{kind}", "reward"))) for method, path in changing]


@pytest.mark.parametrize(
    "headers",
    [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "https://evil.example"}],
)
def test_nothing_is_changed_for_a_request_from_another_site(browse: Browse, headers: dict[str, str]) -> None:
    routes = unsafe_routes()
    assert len(routes) > 20
    client = browse("sun")
    for method, path in routes:
        answer = client.request(method, path, headers=headers)
        assert answer.status_code == 403, (method, path)


def test_a_request_of_our_own_pages_passes(browse: Browse) -> None:
    client = browse("li")
    for headers in ({"sec-fetch-site": "same-origin"}, {"origin": "http://testserver"}, {}):
        assert client.post("/language", data={"language": "zh"}, headers=headers).status_code == 303


def test_no_route_both_looks_and_changes() -> None:
    for route in ROUTES:
        assert len({method in SAFE_METHODS for method in route.methods}) == 1, route.path


def test_an_upload_that_is_too_large_is_refused(settings: Settings, browse: Browse, web: FastAPI) -> None:
    client = browse("sun")
    big = b"x" * (settings.most_upload_mb * 2**20 + 1)
    answer = client.post("/admin/data-sets", files={"file": big}, data={"name": "x", "kind": "corpus"})
    assert answer.status_code == 413

    def unannounced() -> object:
        yield b'--x\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n'
        yield from (big[i : i + 2**20] for i in range(0, len(big), 2**20))

    multipart = {"content-type": "multipart/form-data; boundary=x"}
    answer = client.post("/admin/data-sets", content=unannounced(), headers=multipart)  # type: ignore[arg-type]
    assert answer.status_code == 413


def test_production_refuses_to_start_with_anything_left_open() -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(environment="production")
    said = str(refused.value)
    for name in ("ZHONGJING_HTTPS", "ZHONGJING_ALLOWED_HOSTS", "DATABASE_URL", "REDIS_URL"):
        assert name in said
    closed = Settings(
        environment="production",
        https=True,
        allowed_hosts="rank.example.org",
        DATABASE_URL="postgresql://db/zhongjing",
        REDIS_URL="redis://redis/0",
    )
    assert closed.cookie == "__Host-zhongjing"


def test_an_error_tells_a_number_and_nothing_else(web: FastAPI, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    from annotation.store import people

    def breaks(*_args: object) -> None:
        raise RuntimeError("secret of the inside")

    monkeypatch.setattr(people, "logged_in", breaks)
    client = TestClient(web, raise_server_exceptions=False)
    client.cookies.set("zhongjing", "x")
    answer = client.get("/rank", headers={"accept-language": "en"})
    assert answer.status_code == 500
    assert re.search(r"number [0-9a-f]{8}", answer.text)
    assert "secret" not in answer.text


def test_a_database_that_is_away_is_said_and_not_an_error(tmp_path: Path) -> None:
    from app.main import create_app

    away = Settings(home=tmp_path, DATABASE_URL="postgresql://127.0.0.1:1/none")
    answer = TestClient(create_app(away), raise_server_exceptions=False).get("/healthz")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"


def test_vendored_files_are_those_that_were_pinned() -> None:
    folder = STATIC / "vendor"
    pinned = json.loads((folder / "versions.json").read_text())
    scripts = {file.name for file in folder.iterdir() if file.suffix in {".js", ".css"}}
    assert scripts == pinned.keys()
    for name, told in pinned.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == told["sha256"]
        assert {"package", "version", "licence"} <= told.keys()


def test_templates_have_no_script_or_style_of_their_own() -> None:
    for file in templates_folder().rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        for forbidden in ("<style", " style=", "javascript:", "hx-on", "| safe", "onclick", "onload"):
            assert forbidden not in text, (file.name, forbidden)
        assert not re.search(r"<script(?![^>]*\bsrc=)", text), file.name


def test_a_form_that_lacks_its_fields_is_refused_in_words(browse: Browse) -> None:
    answer = browse("sun").post("/admin/users", data={"login": "neu"})
    assert answer.status_code == 422
    assert "name, role" in answer.text
    assert '"detail"' not in answer.text


def test_an_address_that_cannot_be_does_not_exist(browse: Browse) -> None:
    assert browse("sun").get("/admin/campaigns/one").status_code == 404


def test_only_named_hosts_and_the_machine_itself_are_answered(settings: Settings, database: Database) -> None:
    app = create_app(settings.model_copy(update={"allowed_hosts": "rank.example.org"}))
    client = TestClient(app)
    answers = {host: client.get("/healthz", headers={"host": host}).status_code for host in HOSTS}
    assert answers == {"rank.example.org": 200, "127.0.0.1:8000": 200, "evil.example.org": 400}
    app.state.database.dispose()


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"host": "0.0.0.0", "port": 9000}, "http://127.0.0.1:9000"),  # noqa: S104
        ({"allowed_hosts": "rank.example.org", "https": True}, "https://rank.example.org"),
    ],
)
def test_links_lead_to_where_people_reach_it(given: dict[str, Any], url: str) -> None:
    assert Settings(**given).public_url == url


BEYOND = (2**31, 9_999_999_999, 10**20, -(10**20))


@pytest.mark.parametrize("number", BEYOND)
def test_an_id_that_no_row_can_have_does_not_exist(browse: Browse, number: int) -> None:
    pages = {"li": ("/assignments/{}",), "sun": ("/admin/campaigns/{}", "/admin/runs/{}", "/admin/snapshots/{}")}
    for login, paths in pages.items():
        client = browse(login)
        for path in paths:
            assert client.get(path.format(number)).status_code == 404, path
    assert browse("li").post(f"/rank/{number}/next").status_code == 404
    assert browse("sun").post(f"/admin/users/{number}/reset").status_code == 404


def test_a_number_in_a_question_that_no_column_holds_is_refused(browse: Browse, campaign: Campaign) -> None:
    answer = browse("sun").get(f"/admin/campaigns/{campaign.id}/turns?after={10**20}")
    assert answer.status_code == 422
    assert "too large" in answer.text


@pytest.mark.parametrize("login", ["a\0", "\0", "li\0"])
def test_a_form_with_characters_that_are_no_text_is_refused(anybody: TestClient, cast: Cast, login: str) -> None:
    answer = anybody.post("/login", data={"login": login, "password": "x"})
    assert answer.status_code == 422
    assert "no text" in answer.text


def test_half_a_character_in_a_form_is_refused(anybody: TestClient, cast: Cast) -> None:
    body = b'--x\r\ncontent-disposition: form-data; name="login"\r\n\r\n\\ud800\r\n--x\r\n'
    body += b'content-disposition: form-data; name="password"\r\n\r\nx\r\n--x--\r\n'
    told = {"content-type": "multipart/form-data; boundary=x; charset=unicode_escape"}
    assert anybody.post("/login", content=body, headers=told).status_code == 422


def test_no_form_is_read_past_the_check_of_its_characters(browse: Browse) -> None:
    client = browse("sun")
    for method, path in unsafe_routes():
        if path not in ("/logout", "/login"):
            assert client.request(method, path, data={"name": "\0"}).status_code in (404, 422), (method, path)
