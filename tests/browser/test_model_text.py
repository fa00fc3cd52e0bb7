"""Model text is text: whatever stands in a dialogue, a response or a guideline, nothing of it acts in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page

from annotation.formats.rows import NewDialogue, NewResponse, NewTurn
from annotation.store import campaigns, imports
from tests.browser.desk import Desk, a_desk
from tests.browser.seat import Seat, a_browser

PAYLOADS = [
    "<script>window.acted = 1</script>",
    "<img src=x onerror='window.acted = 1'>",
    '"><svg onload="window.acted = 1">',
    "' autofocus onfocus='window.acted = 1' x='",
    "<iframe srcdoc='<script>parent.acted = 1</script>'></iframe>",
    "</div></article></form><form action='/logout' method='post'><button>x</button></form>",
    '<a href="javascript:window.acted = 1" id="ranking">[x](javascript:window.acted=1)</a>',
    "<style>* { display: none }</style><meta http-equiv='refresh' content='0;url=/logout'>",
    "{{ 7 * 7 }}{% for x in y %} %(name)s {letter} ${window.acted = 1}",
    "<template><script src='//evil.example/x.js'></script></template>\u202e&lt;b&gt; ]]> --> <!--",
]


@pytest.mark.browser
def test_nothing_that_a_model_wrote_acts(tmp_path: Path, sqlite_template: Path) -> None:
    file = tmp_path / "zhongjing.sqlite3"
    file.write_bytes(sqlite_template.read_bytes())
    with a_desk(tmp_path / "home", f"sqlite:///{file}") as desk, a_browser() as browser:
        fill(desk)
        seat = Seat(browser, desk, "li")
        seat.page.on("dialog", lambda dialog: seat.complaints.append(dialog.message))
        seat.page.click("main button.primary")
        for payload in PAYLOADS:
            seat.page.wait_for_url("**/assignments/*")
            look(seat, payload)
            seat.press(["a", "b", "c", "1", "1", "1"])
            with seat.page.expect_navigation(url="**/assignments/*" if payload != PAYLOADS[-1] else "**/next"):
                seat.press(["Enter"])
        seat.page.goto("/history")
        assert not acted(seat.page)
        assert seat.complaints == []


def fill(desk: Desk) -> None:
    """One turn a payload, which stands wherever text from outside may stand."""
    with desk.database.writing() as session:
        campaign = campaigns.create(session, "试点", guideline="\n".join(PAYLOADS))
        for number, payload in enumerate(PAYLOADS):
            responses = tuple(NewResponse(f"{payload * 3} {each}", payload) for each in "甲乙丙丁")
            turn = NewTurn(1, ((payload, payload),), payload, responses, reply=payload)
            new = [NewDialogue(1, f"d{number}", (turn,), payload[:64])]
            imports.add(session, campaign, new, source=payload, actor_id=None)


def look(seat: Seat, payload: str) -> None:
    """Everything of it is there to read, and there is no element of its making."""
    page = seat.page
    texts = [each.text_content() for each in page.locator(".response .text").all()]
    assert sorted(texts) == sorted(f"{payload * 3} {each}" for each in "甲乙丙丁")
    assert page.locator(".bubble.question .said").text_content() == payload
    assert payload[:64] in (page.locator("h1").text_content() or "")
    seat.press(["w", "a", "b"])
    page.wait_for_selector(".compared mark")
    seat.press(["Escape", "?"])
    assert page.locator("#help .said").text_content() == "\n".join(PAYLOADS)
    seat.press(["Escape"])
    made = page.locator(".said :not(mark)").count() + page.locator("iframe, main style, main script, main svg").count()
    assert made == 0
    assert not acted(page)


def acted(page: Page) -> bool:
    return bool(page.evaluate("'acted' in window"))
