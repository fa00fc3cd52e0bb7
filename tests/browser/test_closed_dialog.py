"""A key that is pressed right after a dialog was closed, before the page is drawn again, is meant for the page."""

from __future__ import annotations

import pytest

from tests.browser.desk import Desk
from tests.browser.seat import Seat, a_browser

CLOSED_AND_PRESSED = """() => {
    const help = document.getElementById("help");
    help.showModal();
    help.close();
    const focused = document.activeElement;
    const key = new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true });
    focused.dispatchEvent(key);
    return { inDialog: help.contains(focused), taken: key.defaultPrevented };
}"""


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_enter_submits_though_the_closed_dialog_has_the_focus_still(desk: Desk) -> None:
    with a_browser() as browser:
        seat = Seat(browser, desk, "li")
        seat.begin()
        here = seat.page.url
        seat.press(["a", "b", "c", "9", "9", "9"])
        assert seat.page.evaluate(CLOSED_AND_PRESSED) == {"inDialog": True, "taken": True}
        seat.page.wait_for_url(lambda url: url != here)
