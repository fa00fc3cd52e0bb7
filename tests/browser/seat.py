"""People before a real browser: they press keys, click and drag, and what the browser complains about is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

from tests.browser.desk import Desk
from tests.browser.install import chromium
from tests.conftest import password_of
from tests.installation import Installation

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
PATIENCE_MS = 20_000


@contextmanager
def a_browser() -> Iterator[Browser]:
    """A Chromium, closed at the end."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield browser
        browser.close()


class Seat:
    """One person in a window of their own, logged in by the login page, in Chinese."""

    def __init__(
        self, browser: Browser, installation: Installation | Desk, login: str, *, bypass_csp: bool = False
    ) -> None:
        self.complaints: list[str] = []
        context = browser.new_context(
            viewport={"width": 1440, "height": 900},
            locale="zh-CN",
            base_url=installation.url,
            bypass_csp=bypass_csp,
        )
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto("/login")
        self.page.fill("#login", login)
        self.page.fill("#password", password_of(login))
        self.page.press("#password", "Enter")
        self.page.wait_for_url(lambda url: not url.endswith("/login"))

    def begin(self) -> None:
        """From the start page to the first turn."""
        self.page.click("main button.primary")
        self.page.wait_for_url("**/assignments/*", wait_until="load")

    def press(self, keys: Sequence[str]) -> None:
        """One key after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def letters(self) -> dict[str, str]:
        """Which letter each response's text has on this screen."""
        cards = self.page.locator("article.response")
        return {
            card.locator(".said").inner_text(): card.locator(".letter").inner_text().lower() for card in cards.all()
        }

    def token(self, letter: str) -> Locator:
        """A response in the order at the foot of the screen."""
        return self.page.locator(f'[data-token="{letter}"]')

    def drag(self, letter: str, onto: Locator) -> None:
        """Takes a response to another place of the order with the mouse."""
        self.token(letter).hover()
        self.page.mouse.down()
        self._point_at(onto)
        self._point_at(onto)  # what is dragged leaves a hole, so the target has moved a little
        expect(onto.locator(f'[data-token="{letter}"]')).to_be_attached()
        self.page.mouse.up()

    def _point_at(self, target: Locator) -> None:
        box = target.bounding_box()
        assert box is not None
        self.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=12)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.location.get('url')}: {message.text}")
