"""Every page of a campaign at work, by the rules that a machine can check, light and dark, and on a tablet."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select, update

from annotation.people_tables import Role
from annotation.run_tables import RunKind
from annotation.store import people
from annotation.tables import Dialogue, Turn
from tests.browser.at_work import fill
from tests.browser.desk import Desk, a_desk
from tests.browser.pages import Findings, every_page
from tests.browser.seat import Seat, a_browser
from tests.browser.trained import TOLD

CAMPAIGN = "/admin/campaigns/1"
RUNS = len(TOLD) + 4
ADMIN = [
    "/admin",
    "/admin/campaigns/new",
    CAMPAIGN,
    f"{CAMPAIGN}/turns",
    f"{CAMPAIGN}/turns?calibration=1",
    f"{CAMPAIGN}/turns/1",
    f"{CAMPAIGN}/low-scores",
    f"{CAMPAIGN}/review-policy",
    f"{CAMPAIGN}/doubts",
    *(f"{CAMPAIGN}/statistics{tab}" for tab in ("", "/bias", "/pace", "/adjudication", "/ceiling", "/measuring")),
    f"{CAMPAIGN}/import",
    f"{CAMPAIGN}/import/rankings",
    "/admin/snapshots",
    "/admin/snapshots/1",
    "/admin/snapshots/freeze/1",
    "/admin/snapshots/restore",
    "/calibration/1",
    "/calibration/2",
    "/admin/users",
    "/admin/audit",
    "/admin/runs",
    *(f"/admin/runs/{number}" for number in range(1, RUNS + 1)),
    "/admin/runs/1/comparison",
    *(f"/admin/runs/new/{kind}" for kind in RunKind),
    "/admin/pipelines/new",
    "/admin/models",
    "/admin/data-sets",
    "/admin/webhooks",
    "/admin/webhooks/1",
    "/api",
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
@pytest.mark.timeout(600)
def test_no_screen_of_a_campaign_at_work_breaks_a_rule(tmp_path: Path, sqlite_template: Path) -> None:
    file = tmp_path / "zhongjing.sqlite3"
    file.write_bytes(sqlite_template.read_bytes())
    with a_desk(tmp_path / "home", f"sqlite:///{file}") as desk, a_browser() as browser:
        fill(desk)
        found = Findings()
        for who in (as_admin, as_annotator, as_adjudicator, as_guest):
            who(browser, desk, found)
        assert not found.complaints, "\n".join(found.complaints)
        assert every_page() - found.seen == set()


def as_admin(browser: Browser, desk: Desk, found: Findings) -> None:
    """Every page of the admin's, a secret that is shown, the menu, and a form that was refused."""
    seat = Seat(browser, desk, "sun", bypass_csp=True)
    for path in ADMIN:
        answer = seat.page.goto(path)
        assert answer is not None and answer.ok, path
        if path.startswith("/admin/runs/new/"):
            expect(seat.page.locator("#plan > *").first).to_be_visible()
        found.look(seat.page, path)
    seat.page.fill("#name", "again")
    seat.page.click("main form.stack button.primary")
    expect(seat.page.locator(".notice.good")).to_be_visible()
    found.look(seat.page, "a token that was made")
    seat.page.goto(f"{CAMPAIGN}#handing-out")
    seat.page.fill("#repeat_share", "60")
    seat.page.fill("#gold_share", "50")
    seat.page.click("#handing-out form button")
    expect(seat.page.locator("#handing-out [role=alert]")).to_be_visible()
    expect(seat.page.locator("#repeat_share")).to_have_value("60")
    seat.page.click(".menu summary")
    found.look(seat.page, "a refused form and the open menu")
    seat.page.keyboard.press("Escape")
    expect(seat.page.locator(".menu")).not_to_have_attribute("open", "")
    seat.page.fill("#gold_share", "5")
    seat.page.click("#handing-out form button")
    expect(seat.page.locator("#handing-out [role=alert]")).to_have_count(0)
    expect(seat.page.locator("#gold_share")).to_have_value("5")
    expect(seat.page.locator("#handing-out .saved")).to_contain_text("已保存")
    found.look(seat.page, "a form that was saved")


def as_annotator(browser: Browser, desk: Desk, found: Findings) -> None:
    """A revealed round and a turn ranked again in it, how a turn was decided, a new version of the guideline."""
    seat = Seat(browser, desk, "li", bypass_csp=True)
    for path in ("/rank", "/rank/1/stored?late=1", "/calibration/1", "/history"):
        seat.page.goto(path)
        found.look(seat.page, path)
    seat.page.locator('main a[href^="/history/"]').first.click()
    found.look(seat.page, "how a turn was decided")
    seat.page.goto("/calibration/1")
    seat.page.click('main a[href^="/assignments/"]')
    seat.page.wait_for_url("**/assignments/*")
    found.look(seat.page, "a turn of a round, ranked again")
    seat.page.keyboard.press("Enter")
    seat.page.wait_for_url("**/calibration/1#turn-*")
    seat.page.goto("/rank/1/guideline")
    found.look(seat.page, "a new version of the guideline")


def as_adjudicator(browser: Browser, desk: Desk, found: Findings) -> None:
    """Every question of a review and of an audit."""
    seat = Seat(browser, desk, "zhao", bypass_csp=True)
    seen: set[str] = set()
    for none_acceptable in ("false", "true", "false"):
        seen |= review(seat, none_acceptable, found)
    assert seen == {"outcome", "pair", "ability", "rewrite", "decide", "done"}
    with desk.database.writing() as session:
        drawn = select(Dialogue.id).where(Dialogue.external_id.like("drawn-%"))
        session.execute(update(Turn).where(Turn.dialogue_id.in_(drawn)).values(audit_drawn=True))
    seat.page.goto("/review")
    found.look(seat.page, "the queue")
    audit(seat, found, none_acceptable=False)
    audit(seat, found, none_acceptable=True)


def review(seat: Seat, none_acceptable: str, found: Findings) -> set[str]:
    """Answers a contested turn to its end, and says what was asked."""
    seat.page.goto("/review")
    seat.page.click("main button.primary")
    seat.page.wait_for_url("**/reviews/*")
    seen: set[str] = set()
    while "done" not in seen:
        asked = what_is_asked(seat.page)
        if asked not in seen:
            found.look(seat.page, f"review: {asked}")
        seen.add(asked)
        if asked != "done":
            first = f"button[value='{none_acceptable}']" if asked == "outcome" else "form button"  # to settle and stay
            with seat.page.expect_navigation():
                seat.page.locator(f"#question {first}").first.click()
    return seen


def what_is_asked(page: Page) -> str:
    """The question that a review shows."""
    found = (name for name, sign in SIGNS.items() if page.locator(f"#question {sign}").count())
    return next(found, "done")


def audit(seat: Seat, found: Findings, *, none_acceptable: bool) -> None:
    """Orders a drawn turn alone, lets that stand, and overturns what both doctors said."""
    seat.page.goto("/review")
    seat.page.click("main button.primary")
    seat.page.wait_for_url("**/reviews/*")
    name = "audit, none acceptable" if none_acceptable else "audit"
    found.look(seat.page, f"{name}: order")
    for key in ["n"] if none_acceptable else backwards(seat):
        with seat.page.expect_navigation():
            seat.page.keyboard.press(key)
    found.look(seat.page, f"{name}: is that your order?")
    seat.page.keyboard.press("Enter")
    expect(seat.page.locator("#reason")).to_be_visible()
    found.look(seat.page, f"{name}: verdict")
    seat.page.fill("#reason", "两人都看错了剂量。")
    seat.page.click("#question button.danger")
    for asked in ("form:has(#rewrite) button",) if none_acceptable else ("button[name=ability]",) * 3:
        seat.page.locator(asked).first.wait_for()
        found.look(seat.page, f"{name}: {asked}")
        with seat.page.expect_navigation():
            seat.page.locator(asked).first.click()
    expect(seat.page.locator("[action$='/audit/back']")).to_be_visible()
    found.look(seat.page, f"{name}: done")


def backwards(seat: Seat) -> list[str]:
    """The keys for the contrary of what the doctors agree on; where a response stands on the screen is drawn."""
    letters = seat.letters()
    return [letters[text] for text in sorted(letters, key=lambda text: "丁丙乙甲".index(text[-1]))[:3]]


def as_guest(browser: Browser, desk: Desk, found: Findings) -> None:
    """Whoever is not logged in: the login page, where a password was wrong, and an invitation."""
    with desk.database.writing() as session:
        code = people.invite(session, people.add(session, "qian", "钱宁", Role.ANNOTATOR), actor_id=None)
    page = Seat(browser, desk, "li", bypass_csp=True).page
    page.context.clear_cookies()
    page.goto("/login")
    found.look(page, "login")
    page.fill("#login", "li")
    page.fill("#password", "wrong")
    page.press("#password", "Enter")
    expect(page.locator(".notice.bad")).to_be_visible()
    found.look(page, "login refused")
    page.goto(f"/invitation/{code}")
    found.look(page, "invitation")
    page.goto("/invitation/unknown")
    found.look(page, "an invitation that is unknown")
