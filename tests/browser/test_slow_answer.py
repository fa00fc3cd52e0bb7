"""What is done while the answer to a submission is awaited, on a slow line."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from playwright.sync_api import Route, expect
from sqlalchemy import select

from annotation.abilities import Ability
from annotation.ranking import Ranking
from annotation.store import rankings
from annotation.tables import Ranking as Stored
from tests.browser.desk import Desk
from tests.browser.seat import Seat, a_browser

RANKED = ["a", "b", "c", "9", "9", "9"]
FAULT = ["f", "a", "1"]


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_what_is_changed_and_submitted_meanwhile_is_a_correction(desk: Desk) -> None:
    stored = meanwhile(desk, [*RANKED, "Enter"], ["n", "Enter"])
    assert [each.none_acceptable for each in stored] == [False, True]


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_what_is_mended_and_submitted_meanwhile_is_kept_though_the_first_is_refused(desk: Desk) -> None:
    stored = meanwhile(desk, [*RANKED, *FAULT, "Enter"], [*FAULT, "Enter"])
    assert [each.marks for each in stored] == [{}]


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_a_second_enter_alone_stores_nothing_twice(desk: Desk) -> None:
    stored = meanwhile(desk, [*RANKED, "Enter"], ["Enter", "Enter"])
    assert [each.boundaries[0].ability for each in stored] == [Ability.WARM_TONE]


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_a_draft_that_waits_to_be_sent_again_is_in_nobodys_way(desk: Desk) -> None:
    """The line was lost for the draft, and is there again for the submission."""
    stored = meanwhile(desk, [*RANKED, "Enter"], ["n", "Enter"], lost_draft=True)
    assert [each.none_acceptable for each in stored] == [False, True]


def meanwhile(desk: Desk, before: Sequence[str], during: Sequence[str], *, lost_draft: bool = False) -> list[Ranking]:
    """Presses these keys, and those while the answer to the first submission is held up; returns what was stored."""
    held: list[Route] = []
    with a_browser() as browser:
        seat = Seat(browser, desk, "li")
        seat.page.click("main button.primary")
        seat.page.wait_for_url("**/assignments/*")
        here = seat.page.url
        seat.page.route("**/ranking", lambda route: held.append(route) if not held else route.continue_())
        if lost_draft:
            seat.page.route("**/draft", lambda route: route.abort())
            seat.press(before[:-1])
            expect(seat.page.locator("#saved")).to_contain_text("连接")
            seat.page.unroute("**/draft")
            before = before[-1:]
        with seat.page.expect_request("**/ranking"):
            seat.press(before)
        seat.press(during)
        held[0].continue_()
        seat.page.wait_for_url(lambda url: url != here)
        seat.page.wait_for_load_state()
    with desk.database.reading() as session:
        mine = select(Stored).where(Stored.assignment_id == int(here.rpartition("/")[2])).order_by(Stored.version)
        return [rankings.read(each) for each in session.scalars(mine)]
