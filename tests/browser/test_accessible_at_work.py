"""Screens of a campaign at work, by the rules that a machine can check, light and dark, and on a tablet."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select, update

from annotation.tables import Dialogue, Turn
from tests.browser.at_work import fill
from tests.browser.desk import Desk, a_desk
from tests.browser.seat import Seat, a_browser
from tests.browser.test_accessible import broken

CAMPAIGN = "/admin/campaigns/1"
ADMIN = [
    "/admin",
    CAMPAIGN,
    f"{CAMPAIGN}/turns?calibration=1",
    f"{CAMPAIGN}/turns/1",
    f"{CAMPAIGN}/low-scores",
    f"{CAMPAIGN}/review-policy",
    f"{CAMPAIGN}/doubts",
    *(f"{CAMPAIGN}/statistics{tab}" for tab in ("", "/bias", "/pace", "/adjudication", "/ceiling", "/measuring")),
    "/admin/snapshots/freeze/1",
    "/admin/snapshots/restore",
    "/calibration/1",
    "/calibration/2",
    "/admin/users",
    "/admin/audit",
    "/admin/webhooks",
    "/admin/webhooks/1",
    "/account/tokens",
]
SIGNS = {
    "outcome": "[name=none_acceptable]",
    "ability": "button[name=ability]",
    "pair": "[name=relation]",
    "rewrite": "#rewrite",
    "decide": "[action$='/decide']",
}
"""By what each question is known."""


@pytest.mark.browser
@pytest.mark.timeout(420)
def test_no_screen_of_a_campaign_at_work_breaks_a_rule(tmp_path: Path, sqlite_template: Path) -> None:
    file = tmp_path / "zhongjing.sqlite3"
    file.write_bytes(sqlite_template.read_bytes())
    with a_desk(tmp_path / "home", f"sqlite:///{file}") as desk, a_browser() as browser:
        fill(desk)
        complaints: list[str] = []
        for who in (as_admin, as_annotator, as_adjudicator):
            who(browser, desk, complaints)
        assert not complaints, "\n".join(complaints)


def look(page: Page, name: str, complaints: list[str]) -> None:
    """What is wrong with the page as it stands, in both themes."""
    page.emulate_media(reduced_motion="reduce")  # else the colours are still on their way
    for theme in ("light", "dark"):
        page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
        complaints += [f"{theme}, {name}: {each}" for each in broken(page)]


def as_admin(browser: Browser, desk: Desk, complaints: list[str]) -> None:
    """Every page of the admin's, a secret that is shown, the menu, and a form that was refused."""
    seat = Seat(browser, desk, "sun", bypass_csp=True)
    for path in ADMIN:
        answer = seat.page.goto(path)
        assert answer is not None and answer.ok, path
        look(seat.page, path, complaints)
    seat.page.fill("#name", "again")
    seat.page.click("main form.stack button.primary")
    expect(seat.page.locator(".notice.good")).to_be_visible()
    look(seat.page, "a token that was made", complaints)
    seat.page.goto(f"{CAMPAIGN}#handing-out")
    seat.page.fill("#repeat_share", "60")
    seat.page.fill("#gold_share", "50")
    seat.page.click("#handing-out form button")
    expect(seat.page.locator("#handing-out [role=alert]")).to_be_visible()
    expect(seat.page.locator("#repeat_share")).to_have_value("60")
    seat.page.click(".menu summary")
    look(seat.page, "a refused form and the open menu", complaints)
    seat.page.keyboard.press("Escape")
    expect(seat.page.locator(".menu")).not_to_have_attribute("open", "")
    seat.page.fill("#gold_share", "5")
    seat.page.click("#handing-out form button")
    expect(seat.page.locator("#handing-out [role=alert]")).to_have_count(0)
    expect(seat.page.locator("#gold_share")).to_have_value("5")


def as_annotator(browser: Browser, desk: Desk, complaints: list[str]) -> None:
    """A revealed round and a turn ranked again in it, how a turn was decided, a new version of the guideline."""
    seat = Seat(browser, desk, "li", bypass_csp=True)
    for path in ("/rank", "/calibration/1", "/history"):
        seat.page.goto(path)
        look(seat.page, path, complaints)
    seat.page.locator('main a[href^="/history/"]').first.click()
    look(seat.page, "how a turn was decided", complaints)
    seat.page.goto("/calibration/1")
    seat.page.click('main a[href^="/assignments/"]')
    seat.page.wait_for_url("**/assignments/*")
    look(seat.page, "a turn of a round, ranked again", complaints)
    seat.page.keyboard.press("Enter")
    seat.page.wait_for_url("**/calibration/1#turn-*")
    seat.page.goto("/rank/1/guideline")
    look(seat.page, "a new version of the guideline", complaints)


def as_adjudicator(browser: Browser, desk: Desk, complaints: list[str]) -> None:
    """Every question of a review and of an audit."""
    seat = Seat(browser, desk, "zhao", bypass_csp=True)
    seen: set[str] = set()
    for none_acceptable in ("false", "true", "false"):
        seen |= review(seat, none_acceptable, complaints)
    assert seen == {"outcome", "pair", "ability", "rewrite", "decide", "done"}
    with desk.database.writing() as session:
        drawn = select(Dialogue.id).where(Dialogue.external_id.like("drawn-%"))
        session.execute(update(Turn).where(Turn.dialogue_id.in_(drawn)).values(audit_drawn=True))
    seat.page.goto("/review")
    look(seat.page, "the queue", complaints)
    audit(seat, "dcba", complaints)
    audit(seat, "n", complaints)


def review(seat: Seat, none_acceptable: str, complaints: list[str]) -> set[str]:
    """Answers a contested turn to its end, and says what was asked."""
    seat.page.goto("/review")
    seat.page.click("main button.primary")
    seat.page.wait_for_url("**/reviews/*")
    seen: set[str] = set()
    while "done" not in seen:
        asked = what_is_asked(seat.page)
        if asked not in seen:
            look(seat.page, f"review: {asked}", complaints)
        seen.add(asked)
        if asked != "done":
            first = f"button[value='{none_acceptable}']" if asked == "outcome" else "form button"
            with seat.page.expect_navigation():
                seat.page.locator(f"#question {first}").first.click()
    return seen


def what_is_asked(page: Page) -> str:
    """The question that a review shows."""
    found = (name for name, sign in SIGNS.items() if page.locator(f"#question {sign}").count())
    return next(found, "done")


def audit(seat: Seat, keys: str, complaints: list[str]) -> None:
    """Orders a drawn turn alone, lets that stand, and overturns what both doctors said."""
    seat.page.goto("/review")
    seat.page.click("main button.primary")
    seat.page.wait_for_url("**/reviews/*")
    look(seat.page, f"audit {keys}: order", complaints)
    for key in keys[:3]:
        with seat.page.expect_navigation():
            seat.page.keyboard.press(key)
    look(seat.page, f"audit {keys}: is that your order?", complaints)
    seat.page.keyboard.press("Enter")
    expect(seat.page.locator("#reason")).to_be_visible()
    look(seat.page, f"audit {keys}: verdict", complaints)
    seat.page.fill("#reason", "两人都看错了剂量。")
    seat.page.click("#question button.danger")
    for asked in ("button[name=ability]",) * 3 if keys != "n" else ("form:has(#rewrite) button",):
        seat.page.locator(asked).first.wait_for()
        look(seat.page, f"audit {keys}: {asked}", complaints)
        with seat.page.expect_navigation():
            seat.page.locator(asked).first.click()
    expect(seat.page.locator("[action$='/audit/back']")).to_be_visible()
    look(seat.page, f"audit {keys}: done", complaints)
