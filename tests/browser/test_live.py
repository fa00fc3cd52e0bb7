"""An admin leaves a page open while doctors work: its figures follow, and whoever reads it is not disturbed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from sqlalchemy import delete, select

from annotation.people_tables import LoginSession, User
from annotation.store import campaigns, watched
from app.routes import statistics as routes
from tests.browser.at_work import fill, import_turns
from tests.browser.desk import Desk, a_desk
from tests.browser.seat import Seat, a_browser
from tests.conftest import Cast, password_of
from tests.everything import give, strict

SOON_MS = 20_000


@pytest.fixture(scope="module")
def open_page(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[tuple[Seat, Desk, Cast]]:
    """The admin's window, the web, and the people of a campaign at work."""
    folder = tmp_path_factory.mktemp("live")
    file = folder / "zhongjing.sqlite3"
    file.write_bytes(sqlite_template.read_bytes())
    with a_desk(folder / "home", f"sqlite:///{file}") as desk, a_browser() as browser:
        cast = fill(desk)
        with desk.database.writing() as session:
            for name in ("第二个", "第三个", "第四个"):  # more to look at than is shown at once
                campaigns.create(session, name)
        yield Seat(browser, desk, "sun"), desk, cast


def rank(desk: Desk, *people: User) -> None:
    """A new turn, which each of them ranks the other way round than the one before."""
    with desk.database.writing() as session:
        campaign = campaigns.get(session, 1)
        turn = import_turns(session, campaign, f"live-{people[0].id}-{SEQUENCE.pop()}")[0]
        turn.priority = 10
        session.flush()
        for number, user in enumerate(people):
            give(session, user, campaign, strict(4, upside_down=bool(number)))


SEQUENCE = list(range(99))


def log_in(page: Page) -> None:
    """Again, after the login was ended."""
    page.goto("/login")
    page.fill("#login", "sun")
    page.fill("#password", password_of("sun"))
    page.press("#password", "Enter")
    page.wait_for_url(lambda url: not url.endswith("/login"))


def figure(page: Page, leads_to: str) -> Locator:
    """The number in the first campaign's card that leads there."""
    return page.locator(f"#campaign-1 a.figure[href$='{leads_to}'] b").first


@pytest.mark.browser
@pytest.mark.timeout(180)
def test_a_ranking_shows_on_the_overview_and_nothing_else_moves(open_page: tuple[Seat, Desk, Cast]) -> None:
    seat, desk, cast = open_page
    page = seat.page
    page.set_viewport_size({"width": 1000, "height": 500})
    page.goto("/admin")
    expect(page.locator("#glance-1 .glances")).to_be_visible()
    page.evaluate("window.notReloaded = true; document.querySelector('#glance-1').kept = true")
    page.locator("#overview > section details summary").click()
    link = page.locator("#glance-1 .matrix a").first
    link.focus()
    link.evaluate("each => each.scrollIntoView({block: 'center'})")
    before = int(figure(page, "pace").inner_text())
    place, agreement = page.evaluate("scrollY"), page.locator("#glance-1 .matrix").inner_text()
    rank(desk, cast.li, cast.wang)
    expect(figure(page, "pace")).to_have_text(str(before + 2), timeout=SOON_MS)
    expect(page.locator("#glance-1 .matrix")).not_to_have_text(agreement, timeout=SOON_MS)
    assert place > 0
    assert page.evaluate("scrollY") == pytest.approx(place, abs=2)
    assert page.evaluate("window.notReloaded && document.querySelector('#glance-1').kept")
    assert page.locator("#overview > section details").get_attribute("open") is not None
    assert link.evaluate("each => each === document.activeElement")
    assert page.locator("#overview [role=status], #overview [role=alert], #overview [aria-live]").count() == 0
    assert not seat.complaints


@pytest.mark.browser
@pytest.mark.timeout(180)
def test_an_open_part_of_the_statistics_follows_also_after_another_was_opened(
    open_page: tuple[Seat, Desk, Cast],
) -> None:
    seat, desk, cast = open_page
    page = seat.page
    page.goto("/admin/campaigns/1/statistics")
    page.locator("nav.tabs a").nth(2).click()
    expect(page.locator("nav.tabs a").nth(2)).to_have_attribute("aria-current", "page")
    shown = page.locator("table.grid-of-figures", has_text="李敏").last
    before = shown.inner_text()
    rank(desk, cast.li, cast.wang)
    expect(shown).not_to_have_text(before, timeout=SOON_MS)
    page.locator("nav.tabs a").nth(1).click()  # the tabs still lead on
    expect(page.locator("nav.tabs a").nth(1)).to_have_attribute("aria-current", "page")
    assert page.url.endswith("/statistics/bias")
    assert not seat.complaints


@pytest.mark.browser
@pytest.mark.timeout(180)
def test_a_page_that_nobody_sees_asks_nothing_until_somebody_looks(
    open_page: tuple[Seat, Desk, Cast], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "SHARED_S", 0.0)
    monkeypatch.setattr(routes, "REST", 0.0)
    seat, desk, cast = open_page
    page = seat.page
    page.clock.install()
    page.goto("/admin/campaigns/1/statistics")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/live" in request.url else None)
    seen = "state => { Object.defineProperty(document, 'hidden', {get: () => state, configurable: true}) }"
    page.evaluate(seen, True)
    page.clock.run_for(3_600_000)
    assert asked == []
    rank(desk, cast.li, cast.wang)
    page.evaluate(seen, False)
    with page.expect_response(lambda answer: "/live?mark=" in answer.url) as found:
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert found.value.status == 200


@pytest.mark.browser
@pytest.mark.timeout(180)
def test_a_login_that_ended_is_said_once(open_page: tuple[Seat, Desk, Cast]) -> None:
    seat, desk, _cast = open_page
    page = seat.page
    page.goto("/admin/campaigns/1/statistics")
    with desk.database.writing() as session:
        for each in session.scalars(select(LoginSession)):
            session.delete(each)
    expect(page.locator("main > #login-again")).to_be_visible(timeout=SOON_MS)
    page.clock.install()
    page.clock.run_for(60_000)
    assert page.locator("#login-again").count() == 1


@pytest.mark.browser
@pytest.mark.timeout(180)
def test_a_login_that_ended_is_said_once_however_many_parts_ask_and_whoever_comes_back(
    open_page: tuple[Seat, Desk, Cast],
) -> None:
    seat, desk, cast = open_page
    with desk.database.writing() as session:
        second = campaigns.every(session)[0]
        import_turns(session, second, "second")
        for user in (cast.li, cast.wang):
            give(session, user, second, strict(4))
    page = seat.page
    log_in(page)
    page.goto("/admin")
    expect(page.locator("[data-live] .glances")).to_have_count(2)
    with desk.database.writing() as session:
        session.execute(delete(LoginSession))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "?mark=" in request.url else None)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("main > #login-again")).to_have_count(1)
    for _ in range(3):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(1000)
    assert page.locator("#login-again").count() == 1
    assert len(asked) == 1
