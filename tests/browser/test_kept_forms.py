"""Forms that stay in the page: that they were saved is said and heard, and a login that has ended costs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from annotation.review_tables import Adjudication, Rewrite
from annotation.store import campaigns, imports, people
from tests.browser.desk import Desk, a_desk
from tests.browser.seat import Seat, a_browser
from tests.conftest import password_of
from tests.everything import give
from tests.material import dialogue, ranked

CAMPAIGN = "/admin/campaigns/1"
SECOND = "第二版：剂量不写单位，算准确性错误。"
NOTE, REASON, REWRITE = "剂量算不算？", "两人都看错了剂量。", "很抱歉，我不知道，请到医院就诊。"


@pytest.fixture
def desk(tmp_path: Path, sqlite_template: Path) -> Iterator[Desk]:
    """A campaign with one turn, which is contested: none acceptable or not, and who comes first; A stands above B."""
    file = tmp_path / "zhongjing.sqlite3"
    file.write_bytes(sqlite_template.read_bytes())
    with a_desk(tmp_path / "home", f"sqlite:///{file}") as opened:
        with opened.database.writing() as session:
            campaign = campaigns.create(session, "试点", guideline="先看安全。", rewrite_template="很抱歉。")
            imports.add(session, campaign, [dialogue()], source="t", actor_id=None)
            for login, ranking in (
                ("li", ranked("A > B > C > D", 1, 1, 1)),
                ("wang", ranked("D > C > A > B", 1, 1, 1, none_acceptable=True)),
            ):
                user = people.by_login(session, login)
                assert user is not None
                give(session, user, campaign, ranking)
        yield opened


def log_out_at_the_server(desk: Desk, login: str) -> None:
    with desk.database.writing() as session:
        user = people.by_login(session, login)
        assert user is not None
        people.end_sessions(session, user.id)


def log_in_over_the_page(page: Page, login: str) -> None:
    """With a wrong password first, about which the page says so."""
    expect(page.locator("#again")).to_be_visible()
    for password in ("wrong", password_of(login)):
        page.fill("#again-password", password)
        page.press("#again-password", "Enter")
        if password == "wrong":
            expect(page.locator("#again-problem")).to_be_visible()
    expect(page.locator("#again")).to_be_hidden()


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_what_was_saved_is_said_at_the_form_until_it_is_edited(desk: Desk) -> None:
    with a_browser() as browser:
        page = Seat(browser, desk, "sun").page
        page.goto(CAMPAIGN)
        page.fill("#gold_share", "5")
        page.click("#handing-out form[action$=handing-out] button")
        told = page.locator("form[action$=handing-out] [role=status]")
        expect(told).to_contain_text("已保存")
        expect(page.locator(".saved")).to_have_count(1)
        expect(page.locator("form[action$=handing-out] button")).to_be_focused()
        expect(page.locator("#gold_share")).to_have_value("5")
        page.fill("#gold_share", "6")
        expect(told).to_have_count(0)
        page.reload()
        expect(page.locator("#gold_share")).to_have_value("5")
        expect(told).to_have_count(0)


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_what_was_saved_is_said_no_longer_after_a_while(desk: Desk) -> None:
    with a_browser() as browser:
        page = Seat(browser, desk, "sun").page
        page.clock.install()
        page.goto(CAMPAIGN)
        page.click("form[action$=rules] button")
        page.wait_for_load_state()
        page.clock.run_for(400)
        expect(page.locator("form[action$=rules] .saved")).to_contain_text("已保存")
        page.clock.run_for(10_000)
        expect(page.locator(".saved")).to_have_count(0)


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_a_form_of_the_admin_goes_on_after_the_password_was_asked_over_it(desk: Desk) -> None:
    with a_browser() as browser:
        page = Seat(browser, desk, "sun").page
        page.goto(CAMPAIGN)
        page.fill("#text", SECOND)
        log_out_at_the_server(desk, "sun")
        page.click("form[action$=guideline] button")
        expect(page.locator("#again")).to_be_visible()
        page.keyboard.press("Escape")  # left be, and pressed again
        expect(page.locator("#text")).to_have_value(SECOND)
        page.click("form[action$=guideline] button")
        log_in_over_the_page(page, "sun")
        expect(page.locator("form[action$=guideline] .saved")).to_contain_text("已保存")
        with desk.database.reading() as session:
            assert campaigns.guideline(session, 1).text == SECOND


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_a_review_keeps_its_texts_while_the_password_is_asked(desk: Desk) -> None:
    """A doubt, the reason of unlocking, and a rewritten answer, each sent after the login has ended."""
    with a_browser() as browser:
        page = Seat(browser, desk, "zhao").page
        page.click("main button.primary")
        page.wait_for_url("**/reviews/*")
        for key, field, text in (("g", "#doubt-note", NOTE), ("e", "#unlock", REASON)):
            page.keyboard.press(key)
            page.fill(field, text)
            send_after_the_login_has_ended(page, desk, field)
        expect(page.locator("#question .told")).to_contain_text(NOTE)
        expect(page.locator("#unlock")).to_have_count(0)
        answer(page, "n")
        while page.locator("#rewrite").count() == 0:
            answer(page, "ArrowLeft" if page.locator("[name=relation]").count() == 3 else "1")
        expect(page.locator("#rewrite")).to_be_focused()
        page.fill("#rewrite", REWRITE)
        send_after_the_login_has_ended(page, desk, "#rewrite")
        answer(page, "d")
        expect(page.locator("#question [action$='/back']")).to_be_visible()
        answer(page, "z")
        answer(page, "Enter")
        expect(page).to_have_url(f"{desk.url}/review")  # nothing is left
    with desk.database.reading() as session:
        review = session.scalars(select(Adjudication)).one()
        assert review.decisions["unlocked_because"] == REASON
        assert session.scalars(select(Rewrite.text)).one() == REWRITE


def answer(page: Page, key: str) -> None:
    with page.expect_navigation():
        page.keyboard.press(key)


def send_after_the_login_has_ended(page: Page, desk: Desk, field: str) -> None:
    text = page.input_value(field)
    log_out_at_the_server(desk, "zhao")
    page.press(field, "Control+Enter" if field == "#rewrite" else "Enter")
    expect(page.locator("#again")).to_be_visible()
    expect(page.locator(field)).to_have_value(text)
    page.evaluate("document.body.id = 'before'")
    log_in_over_the_page(page, "zhao")
    expect(page.locator("body#before")).to_have_count(0)  # the page was read again
    page.wait_for_load_state()
