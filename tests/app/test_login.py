"""Logging in and out, invitations, languages."""

from __future__ import annotations

import re

import pytest
from fastapi import FastAPI
from sqlalchemy import select
from starlette.requests import Request
from starlette.testclient import TestClient

from annotation.db import Database
from annotation.people_tables import LoginCount, LoginSession, Role, UserState
from annotation.store import people
from annotation.tables import AuditEvent
from app import passwords
from app.deps import address_of
from app.main import create_app
from app.routes.login import local
from app.settings import Settings
from tests.app.conftest import Browse
from tests.conftest import Cast, password_of


@pytest.mark.parametrize(("login", "home"), [("li", "/rank"), ("zhao", "/review"), ("sun", "/admin")])
def test_everybody_lands_where_their_work_is(browse: Browse, login: str, home: str) -> None:
    client = browse(login)
    assert client.get("/").headers["location"] == home
    assert client.get(home).status_code == 200


@pytest.mark.parametrize(("login", "password"), [("li", "wrong"), ("nobody", "li-li-secret"), ("li", "")])
def test_a_wrong_login_is_refused_with_the_same_words(
    anybody: TestClient, cast: Cast, login: str, password: str
) -> None:
    answer = anybody.post("/login", data={"login": login, "password": password or " "})
    assert answer.status_code == 422
    assert "Login or password is wrong." in answer.text


def test_without_a_login_every_page_leads_to_the_login_page(anybody: TestClient, cast: Cast) -> None:
    for path in ("/", "/rank", "/review", "/admin", "/admin/runs"):
        answer = anybody.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?next=")


def test_script_that_finds_the_login_gone_is_told_so(anybody: TestClient, cast: Cast) -> None:
    answer = anybody.get("/rank", headers={"HX-Request": "true"})
    assert answer.status_code == 401
    assert answer.headers["hx-trigger"] == "session-expired"


def test_the_cookie_is_out_of_reach_of_script_and_other_sites(anybody: TestClient, cast: Cast) -> None:
    cookie = anybody.post("/login", data={"login": "li", "password": password_of("li")}).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie


def test_a_login_gives_a_new_token_and_logging_out_ends_it(browse: Browse, anybody: TestClient) -> None:
    client = browse("li")
    token = client.cookies["zhongjing"]
    assert client.get("/rank").status_code == 200
    client.post("/logout")
    anybody.cookies.set("zhongjing", token)
    assert anybody.get("/rank").status_code == 303


def test_somebody_who_is_deactivated_is_out_at_once(browse: Browse, database: Database, cast: Cast) -> None:
    client = browse("li")
    with database.writing() as session:
        user = people.get(session, cast.li.id)
        people.set_state(session, user, UserState.DEACTIVATED, actor_id=cast.sun.id)
    assert client.get("/rank").status_code == 303


def test_an_invited_person_chooses_a_password_and_is_in(browse: Browse, anybody: TestClient) -> None:
    admin = browse("sun")
    answer = admin.post("/admin/users", data={"login": "zhou", "name": "周静", "role": "annotator"})
    [code] = re.findall(r"/invitation/([\w-]+)", answer.text)
    assert "周静" in anybody.get(f"/invitation/{code}").text
    weak = anybody.post(f"/invitation/{code}", data={"password": "12345678"})
    assert weak.status_code == 422
    done = anybody.post(f"/invitation/{code}", data={"password": "一句容易记住的话啊"})
    assert done.status_code == 303
    assert anybody.get("/rank").status_code == 200
    assert anybody.get(f"/invitation/{code}").status_code == 404


def test_a_reset_link_replaces_the_password(browse: Browse, anybody: TestClient, cast: Cast) -> None:
    li, admin = browse("li"), browse("sun")
    answer = admin.post(f"/admin/users/{cast.li.id}/reset")
    [code] = re.findall(r"/invitation/([\w-]+)", answer.text)
    assert li.get("/rank").status_code == 303
    assert anybody.post("/login", data={"login": "li", "password": password_of("li")}).status_code == 422
    anybody.post(f"/invitation/{code}", data={"password": "another long secret"})
    assert anybody.get("/rank").status_code == 200


def test_pages_come_in_the_chosen_language_chinese_first(web: object, cast: Cast) -> None:
    client = TestClient(web, follow_redirects=False)  # type: ignore[arg-type]
    assert "登录" in client.get("/login", headers={"accept-language": "fr"}).text
    assert "Log in" in client.get("/login", headers={"accept-language": "en-GB,zh;q=0.5"}).text
    client.post("/language", data={"language": "en"})
    assert "Log in" in client.get("/login", headers={"accept-language": "zh"}).text


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "\\\\evil", "/\\evil.example", ""]
)
def test_a_login_never_leads_away_from_here(target: str) -> None:
    assert local(target) == "/"
    assert local("/rank?x=1") == "/rank?x=1"


def test_an_annotator_with_the_right_sees_the_review_queue(browse: Browse, database: Database, cast: Cast) -> None:
    client = browse("li")
    assert client.get("/review").status_code == 404
    with database.writing() as session:
        people.set_right(session, people.get(session, cast.li.id), may_adjudicate=True, actor_id=cast.sun.id)
    assert client.get("/review").status_code == 200


def test_roles_keep_to_their_own_pages(browse: Browse) -> None:
    pages = {Role.ANNOTATOR: "/rank", Role.ADJUDICATOR: "/review", Role.ADMIN: "/admin"}
    for login, role in (("li", Role.ANNOTATOR), ("zhao", Role.ADJUDICATOR), ("sun", Role.ADMIN)):
        client = browse(login)
        for other, path in pages.items():
            assert client.get(path).status_code == (200 if other is role else 404), (login, path)


def attempt(client: TestClient, login: str, password: str) -> int:
    return client.post("/login", data={"login": login, "password": password}).status_code


@pytest.mark.parametrize("login", ["li", "nobody"])
def test_the_eleventh_wrong_password_is_told_when_to_try_again_whoever_it_is(
    anybody: TestClient, cast: Cast, login: str
) -> None:
    assert [attempt(anybody, login, "wrong") for _ in range(11)] == [422] * 10 + [429]
    answer = anybody.post("/login", data={"login": login, "password": password_of(login), "next": "/history"})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 300
    assert "Logging in has failed too often: try again in 5 min." in answer.text
    assert 'value="/history"' in answer.text
    assert attempt(anybody, "wang", password_of("wang")) == 303


def test_another_web_process_knows_what_this_one_counted(web: FastAPI, settings: Settings, cast: Cast) -> None:
    other = create_app(settings)
    answers = [attempt(TestClient(app), "li", "wrong") for app in [web, other] * 6]
    assert answers == [422] * 10 + [429] * 2
    other.state.database.dispose()


def test_a_login_in_time_begins_the_count_anew(anybody: TestClient, cast: Cast) -> None:
    for _ in range(2):
        assert [attempt(anybody, "li", "wrong") for _ in range(9)] == [422] * 9
        assert attempt(anybody, "li", password_of("li")) in (200, 303)


def test_what_has_to_wait_is_neither_counted_nor_put_on_record(
    anybody: TestClient, cast: Cast, database: Database
) -> None:
    for _ in range(15):
        attempt(anybody, "li", "wrong")
    with database.reading() as session:
        failed = session.scalars(select(AuditEvent).where(AuditEvent.action == "login failed")).all()
        assert set(session.scalars(select(LoginCount.failures))) == {10}
    assert [event.subject for event in failed] == [f"user {cast.li.id}"] * 10
    assert "wrong" not in str([event.detail for event in failed])


def test_others_write_while_a_password_is_checked(
    anybody: TestClient, cast: Cast, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def checks(password: str, _kept: str | None) -> bool:
        with database.writing() as session:
            people.get(session, cast.wang.id).name = "王芳芳"
        return password == "right"

    def hashes(_password: str) -> str:
        with database.writing() as session:
            people.get(session, cast.wang.id).name = "王芳"
        return "made anew"

    monkeypatch.setattr(passwords, "password_matches", checks)
    monkeypatch.setattr(passwords, "outdated", lambda _kept: True)
    monkeypatch.setattr(passwords, "hash_password", hashes)
    assert attempt(anybody, "li", "wrong") == 422
    assert attempt(anybody, "li", "right") == 303
    with database.writing() as session:
        li = people.get(session, cast.li.id)
        assert li.password_hash == "made anew"
        code = people.invite(session, li, actor_id=None)
    assert anybody.post(f"/invitation/{code}", data={"password": "another long secret"}).status_code == 303


def test_a_login_ends_the_earlier_one_of_its_browser(browse: Browse, database: Database, cast: Cast) -> None:
    client = browse("li")
    assert attempt(client, "li", password_of("li")) == 303
    with database.reading() as session:
        assert len(session.scalars(select(LoginSession)).all()) == 1


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
    ],
)
def test_an_address_counts_as_the_network_that_one_person_has(host: str, address: str) -> None:
    assert address_of(Request({"type": "http", "client": (host, 1)})) == address
    assert address_of(Request({"type": "http", "client": None})) == ""


def test_a_link_leads_to_where_people_reach_the_web_whatever_host_the_request_names(
    settings: Settings, cast: Cast
) -> None:
    app = create_app(settings.model_copy(update={"port": 8123}))
    client = TestClient(app, follow_redirects=False)
    assert attempt(client, "sun", password_of("sun")) == 303
    headers = {"host": "evil.example"}
    asked = client.post("/admin/users", data={"login": "zhou", "name": "周静", "role": "annotator"}, headers=headers)
    reset = client.post(f"/admin/users/{cast.li.id}/reset", headers=headers)
    for answer in (asked, reset):
        assert "http://127.0.0.1:8123/invitation/" in answer.text
        assert "evil.example" not in answer.text
    app.state.database.dispose()
