"""The README's pictures, taken again from a demonstration that has reached its end: ``make pictures``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from annotation.abilities import Ability
from annotation.ranking import Ranking
from app.demo import experts
from app.demo.people import VISITORS
from tests.browser.seat import a_browser

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
DIALOGUES = Path(experts.__file__).with_name("dialogues.jsonl")
WIDTH, DESK, SHEET = 1280, 860, 1000
SERVED = "http://127.0.0.1:8000"


def main(url: str) -> None:
    """Ranks half a turn and opens a review as the visitors do, and looks at the PPO run."""
    with a_browser() as browser:
        for name, login, height, reach in (
            ("rank", "annotator", DESK, half_ranked),
            ("review", "adjudicator", DESK, in_review),
            ("run", "admin", SHEET, of_the_run),
            ("compare", "admin", SHEET, before_and_after),
        ):
            with somebody(browser, url, login, height) as page:
                reach(page)
                page.screenshot(path=FOLDER / f"{name}.png")
            sys.stderr.write(f"{FOLDER / name}.png\n")


@contextmanager
def somebody(browser: Browser, url: str, login: str, height: int) -> Iterator[Page]:
    """A visitor of the demonstration, logged in, in Chinese."""
    [visitor] = (each for each in VISITORS if each.login == login)
    page = browser.new_page(
        base_url=url, locale="zh-CN", viewport={"width": WIDTH, "height": height}, reduced_motion="reduce"
    )
    page.goto("/login")
    page.fill("#login", visitor.login)
    page.fill("#password", visitor.password)
    page.press("#password", "Enter")
    page.wait_for_url(lambda found: "/login" not in found)
    yield page
    page.close()


def half_ranked(page: Page) -> None:
    """An order by what the sample's authors put into the responses; the last boundary is still open."""
    page.click("main button.primary")
    page.wait_for_url("**/assignments/*")
    cards = page.locator("article.response").all()
    letters = [card.locator(".letter").inner_text().lower() for card in cards]
    seen = [faults_of(card.locator(".said").inner_text()) for card in cards]
    if not page.locator("#saved").get_attribute("data-saved-at"):  # else it is as the pictures were taken before
        for key in keys(experts.rank_by(seen), letters):
            page.keyboard.press(key)
    expect(page.locator("#saved")).to_contain_text("已保存")


def faults_of(text: str) -> experts.Severities:
    """What is wrong with a response of the sample."""
    for line in DIALOGUES.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        for turn, known in zip(row["turns"], experts.known_faults()[row["id"]], strict=True):
            for response, faults in zip(turn["responses"], known, strict=True):
                if " ".join(response["text"].split()) == " ".join(text.split()):
                    return faults
    raise LookupError(text)


def keys(ranking: Ranking, letters: list[str]) -> Iterator[str]:
    """Places all, names what decides at all boundaries but the last, and marks the worst fault of the last."""
    for group in ranking.groups:
        yield letters[group[0]]
        yield from (f"Shift+{letters[tied].upper()}" for tied in group[1:])
    yield from (str(int(each.ability or Ability.CLARITY)) for each in ranking.boundaries[:-1])
    last = ranking.groups[-1][-1]
    yield from ("f", letters[last], str(int(min(ranking.marks[last]))), "Escape")


def in_review(page: Page) -> None:
    """The first question about a contested turn."""
    page.click("main button.primary")
    page.wait_for_url("**/reviews/*")
    expect(page.locator("#question .duel, #question .answers").first).to_be_visible()


def of_the_run(page: Page) -> None:
    """The newest PPO run, with its curves."""
    page.goto("/admin/runs")
    page.locator("tbody tr", has_text="PPO").locator("a").first.click()
    expect(page.locator(".chart canvas")).to_have_count(page.locator(".chart").count())


def before_and_after(page: Page) -> None:
    """What it changed."""
    of_the_run(page)
    page.click("a[href$='/comparison']")
    expect(page.locator(".side.after").first).to_be_visible()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else SERVED)
