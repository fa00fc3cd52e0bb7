"""Every screen by the rules of WCAG 2.2 AA that a machine can check, light and dark, and on a tablet."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, ViewportSize

from tests.browser.seat import Seat, a_browser
from tests.installation import Installation, installed
from tests.journey import ASPECTS, BASE, careful, careless, register_data, rows, started
from tests.visitors import by_quality

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
TABLET = ViewportSize(width=820, height=1180)
ADMIN = [
    "/admin",
    "/admin/campaigns/new",
    "/admin/campaigns/1",
    "/admin/campaigns/1/turns",
    "/admin/campaigns/1/turns/1",
    "/admin/campaigns/1/statistics",
    "/admin/campaigns/1/statistics/bias",
    "/admin/campaigns/1/statistics/pace",
    "/admin/campaigns/1/statistics/adjudication",
    "/admin/campaigns/1/statistics/ceiling",
    "/admin/campaigns/1/import",
    "/admin/users",
    "/admin/snapshots",
    "/admin/snapshots/1",
    "/admin/runs",
    "/admin/runs/1",
    "/admin/runs/new/ppo",
    "/admin/models",
    "/admin/data-sets",
    "/admin/audit",
    "/account/tokens",
    "/api",
    "/nowhere",
]


@pytest.mark.browser
@pytest.mark.training
@pytest.mark.timeout(600)
def test_no_screen_breaks_a_rule_that_a_machine_can_check(tmp_path: Path, sqlite_template: Path) -> None:
    file = tmp_path / "zhongjing.sqlite3"
    file.write_bytes(sqlite_template.read_bytes())
    with installed(tmp_path / "home", f"sqlite:///{file}") as installation, a_browser() as browser:
        fill(installation)
        complaints = []
        for theme in ("light", "dark"):
            for login, paths in (("sun", ADMIN), ("li", ["/rank", "/history"]), ("zhao", ["/review"])):
                seat = seated(browser, installation, login, theme)
                for path in paths:
                    seat.page.goto(path)
                    complaints += [f"{theme} {path}: {each}" for each in broken(seat.page)]
                if login != "sun":
                    seat.page.click("main button.primary") if login == "zhao" else open_next(seat.page)
                    seat.page.wait_for_url("**/assignments/*" if login == "li" else "**/reviews/*")
                    complaints += [f"{theme} {seat.page.url}: {each}" for each in broken(seat.page)]
                seat.page.context.close()
        assert complaints == []


def fill(installation: Installation) -> None:
    """A campaign of which something is settled, something contested and something left, a snapshot and a run."""
    admin = installation.visitor("sun")
    where = admin.create_campaign("试点")
    admin.upload(f"{where}/import", rows())
    for login, quality in (("li", careful), ("wang", careless)):
        installation.visitor(login).rank_everything(1, by_quality(quality, ASPECTS), most=70)
    installation.visitor("zhao").review_everything(by_quality(careful, ASPECTS), most=5)
    admin.post("/admin/snapshots/freeze/1")
    register_data(admin)
    started(admin, "pretrain", data="corpus", **BASE)


def seated(browser: Browser, installation: Installation, login: str, theme: str) -> Seat:
    seat = Seat(browser, installation, login, bypass_csp=True)  # the checker is a script of its own
    seat.page.context.add_cookies([{"name": "theme", "value": theme, "url": installation.url}])
    return seat


def open_next(page: Page) -> None:
    """The ranking screen with an order begun, so that all of it shows."""
    page.goto("/rank")
    page.click("main button.primary")
    page.wait_for_url("**/assignments/*")
    for key in ("a", "b", "1"):
        page.keyboard.press(key)


def broken(page: Page) -> list[str]:
    """Rules that the page breaks, and whether it is too wide for a tablet."""
    found = [
        f"{rule['id']} at {rule['nodes'][0]['html'][:120]}"
        for rule in Axe().run(page, options=RULES).response["violations"]
    ]
    wide = page.viewport_size
    assert wide is not None
    page.set_viewport_size(TABLET)
    if page.evaluate("document.documentElement.scrollWidth") > 820:
        found.append("it is wider than a tablet")
    page.set_viewport_size(wide)
    return found
