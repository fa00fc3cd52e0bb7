"""A key that is pressed right after a dialog was closed, before the page is drawn again, is meant for the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.desk import a_desk
from tests.browser.seat import Seat, a_browser
from tests.browser.test_ranking_accessible import fill

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
def test_enter_submits_though_the_closed_dialog_has_the_focus_still(tmp_path: Path, sqlite_template: Path) -> None:
    file = tmp_path / "zhongjing.sqlite3"
    file.write_bytes(sqlite_template.read_bytes())
    with a_desk(tmp_path / "home", f"sqlite:///{file}") as desk, a_browser() as browser:
        fill(desk)
        seat = Seat(browser, desk, "li")
        seat.page.click("main button.primary")
        seat.page.wait_for_url("**/assignments/*", wait_until="load")
        here = seat.page.url
        seat.press(["a", "b", "c", "9", "9", "9"])
        assert seat.page.evaluate(CLOSED_AND_PRESSED) == {"inDialog": True, "taken": True}
        seat.page.wait_for_url(lambda url: url != here)
