"""Pages that stay open: what changed comes by itself, what did not costs next to nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from fastapi import FastAPI
from sqlalchemy import event, select
from starlette.testclient import TestClient

from annotation.db import Database, utcnow
from annotation.people_tables import LoginSession, User
from annotation.store import attention, campaigns, changes, counted, imports, places, rankings, statistics, watched
from annotation.store.people import SESSION_IDLES
from annotation.store.rankings import Submission
from annotation.tables import Campaign
from app.routes import statistics as routes
from tests.app.conftest import Browse
from tests.conftest import Cast
from tests.material import dialogue, ranked


@pytest.fixture
def admin(browse: Browse) -> TestClient:
    return browse("sun")


@pytest.fixture(autouse=True)
def a_moment_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is shared and no figure rests, except where a test says so."""
    monkeypatch.setattr(watched, "SHARED_S", 0.0)
    monkeypatch.setattr(routes, "REST", 0.0)


def rank(database: Database, campaign: Campaign, *people: User) -> None:
    """Has each of them rank a turn, which is a new one for the first."""
    with database.writing() as session:
        for user in people:
            held = places.reserve_next(session, user, campaign)
            assert held is not None
            rankings.submit(session, held, Submission(f"{user.id}-{held.id}", ranked("A > B > C > D")))


@pytest.fixture
def twice(database: Database, cast: Cast, campaign: Campaign) -> None:
    """Four turns, of which Li and Wang have ranked one."""
    with database.writing() as session:
        new = [dialogue(f"d{number}") for number in range(4)]
        imports.add(session, campaign, new, source="t", actor_id=None)
    rank(database, campaign, cast.li, cast.wang)


def mark_of(html: str) -> str:
    """The mark of the first part of a page that renews itself."""
    found = re.search(r'data-live="[^"]+" data-mark="([0-9a-f]+)"', html)
    assert found is not None
    return found[1]


def parts(campaign: Campaign) -> dict[str, str]:
    """By page where it asks for what is newer."""
    base = f"/admin/campaigns/{campaign.id}"
    pages = {f"{base}/statistics/{name}": f"{base}/statistics/{name}/live" for name in statistics.SECTIONS}
    return {**pages, f"{base}/glance": f"{base}/glance", "/admin": "/admin/live"}


@contextmanager
def statements(web: FastAPI) -> Iterator[list[str]]:
    """What is asked of the database meanwhile, beginning and end included."""
    seen: list[str] = []
    engine = web.state.database.engine
    for name in ("begin", "commit", "rollback"):
        event.listen(engine, name, lambda _connection, name=name: seen.append(name))
    event.listen(engine, "before_cursor_execute", lambda *given: seen.append(given[2]))
    yield seen


@pytest.mark.usefixtures("twice")
def test_what_is_as_it_was_is_said_in_no_words(admin: TestClient, campaign: Campaign) -> None:
    for page, live in parts(campaign).items():
        answer = admin.get(live, params={"mark": mark_of(admin.get(page).text)})
        assert (answer.status_code, answer.content) == (204, b""), page


@pytest.mark.usefixtures("twice")
def test_a_ranking_renews_every_part_of_an_open_page(
    admin: TestClient, database: Database, campaign: Campaign, cast: Cast
) -> None:
    marks = {page: mark_of(admin.get(page).text) for page in parts(campaign)}
    rank(database, campaign, cast.li)
    for page, live in parts(campaign).items():
        answer = admin.get(live, params={"mark": marks[page]})
        assert answer.status_code == 200, page
        assert answer.text.lstrip().startswith("<div id=")
        assert mark_of(answer.text) == mark_of(admin.get(page).text) != marks[page]
    assert "<b>3</b><span>rankings</span>" in admin.get("/admin/live").text


@pytest.mark.usefixtures("twice")
def test_a_ranking_of_another_campaign_renews_no_figures_of_this_one(
    admin: TestClient, database: Database, campaign: Campaign, cast: Cast
) -> None:
    with database.writing() as session:
        other = campaigns.create(session, "第二个")
        imports.add(session, other, [dialogue("o1")], source="t", actor_id=None)
    where = f"/admin/campaigns/{campaign.id}/statistics/agreement"
    mark = mark_of(admin.get(where).text)
    rank(database, other, cast.li)
    assert admin.get(f"{where}/live", params={"mark": mark}).status_code == 204


@pytest.mark.usefixtures("twice")
def test_an_open_page_where_nothing_changes_costs_two_statements_and_one_where_somebody_else_asks_as_well(
    admin: TestClient, web: FastAPI, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    for page, live in parts(campaign).items():
        mark = mark_of(admin.get(page).text)
        assert admin.get(live, params={"mark": mark}).status_code == 204  # looked up once
        for shared, expected in ((0.0, 2), (60.0, 1)):
            monkeypatch.setattr(watched, "SHARED_S", shared)
            with statements(web) as asked:
                assert admin.get(live, params={"mark": mark}).status_code == 204
            done = [each for each in asked if each not in ("begin", "rollback")]  # of a glance: nothing is sent
            assert len(done) == expected, (page, asked)
            assert "login_sessions" in done[0]
        monkeypatch.setattr(watched, "SHARED_S", 0.0)


@pytest.mark.usefixtures("twice")
def test_what_the_record_does_not_tell_is_seen_half_a_minute_later(
    admin: TestClient, database: Database, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "newest_event", lambda _session: 0)
    mark = mark_of(admin.get("/admin").text)
    assert admin.get("/admin/live", params={"mark": mark}).status_code == 204
    with database.writing() as session:
        imports.add(session, campaign, [dialogue("new")], source="t", actor_id=None)
    assert admin.get("/admin/live", params={"mark": mark}).status_code == 204
    monkeypatch.setattr(watched, "RESTS_S", 0.0)
    assert admin.get("/admin/live", params={"mark": mark}).status_code == 200


@pytest.mark.usefixtures("twice")
def test_figures_that_took_long_are_not_computed_at_every_ranking(
    admin: TestClient, database: Database, campaign: Campaign, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = f"/admin/campaigns/{campaign.id}/statistics/agreement"
    mark = mark_of(admin.get(where).text)
    rank(database, campaign, cast.li)
    monkeypatch.setattr(routes, "REST", 1e9)
    assert admin.get(f"{where}/live", params={"mark": mark}).status_code == 202
    monkeypatch.setattr(routes, "REST", 0.0)
    assert admin.get(f"{where}/live", params={"mark": mark}).status_code == 200


@pytest.mark.usefixtures("twice")
def test_a_count_that_was_kept_for_a_while_is_renewed_though_nothing_is_done_any_more(
    admin: TestClient, database: Database, campaign: Campaign, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counted, "SMALL", 1)
    shown = admin.get("/admin").text
    rank(database, campaign, cast.li)
    renewed = admin.get("/admin/live", params={"mark": mark_of(shown)}).text
    assert "<b>2</b><span>rankings</span>" in renewed  # one more by now
    monkeypatch.setattr(watched, "RESTS_S", 0.0)
    assert admin.get("/admin/live", params={"mark": mark_of(renewed)}).status_code == 204
    counted._kept.clear()  # half a minute later
    assert "<b>3</b><span>rankings</span>" in admin.get("/admin/live", params={"mark": mark_of(renewed)}).text


@pytest.mark.usefixtures("twice")
def test_what_is_new_is_looked_up_once_for_every_part(
    admin: TestClient, database: Database, campaign: Campaign, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = {page: mark_of(admin.get(page).text) for page in parts(campaign)}
    rank(database, campaign, cast.li)
    looked: list[str] = []
    for module, name in ((changes, "stamp"), (campaigns, "progress_of"), (attention, "waiting_in")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given, real=real, name=name: [looked.append(name), real(*given)][1])
    for page, live in parts(campaign).items():
        looked.clear()
        assert admin.get(live, params={"mark": marks[page]}).status_code == 200
        assert sorted(looked) == (["progress_of", "waiting_in"] if page == "/admin" else ["stamp"]), page


def test_a_page_that_asks_by_itself_keeps_no_login_alive(
    admin: TestClient, database: Database, campaign: Campaign
) -> None:
    idle = utcnow() - SESSION_IDLES + timedelta(minutes=1)
    with database.writing() as session:
        session.scalars(select(LoginSession)).one().seen_at = idle
    for live in parts(campaign).values():
        assert admin.get(live).status_code == 200
    with database.writing() as session:
        login = session.scalars(select(LoginSession)).one()
        assert login.seen_at == idle
        login.seen_at = idle - timedelta(minutes=2)
    answer = admin.get("/admin/live", headers={"hx-request": "true"})
    assert answer.status_code == 401
    assert "Your login has ended" in answer.text


def test_others_than_admins_have_no_page_to_leave_open(browse: Browse, anybody: TestClient, campaign: Campaign) -> None:
    for live in parts(campaign).values():
        assert browse("li").get(live).status_code == 404
        assert anybody.get(live, headers={"hx-request": "true"}).status_code == 401
    gone = f"/admin/campaigns/{campaign.id + 1}/statistics/agreement/live"
    assert browse("sun").get(gone).status_code == 404
    assert browse("sun").get(f"/admin/campaigns/{campaign.id}/statistics/nothing/live").status_code == 404
