"""The page is loaded again before what was entered has arrived anywhere: it is there again."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from annotation.store import calibration, campaigns, rankings
from tests.browser.desk import Desk
from tests.browser.seat import Seat, a_browser

ORDER = "#order .token"


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_what_was_entered_and_never_arrived_is_there_after_a_reload(desk: Desk) -> None:
    with a_browser() as browser:
        seat = begun(browser, desk)
        seat.page.route("**/draft", lambda route: route.abort())
        seat.press(["c", "b", "a", "9", "9", "Shift+Digit2", "f", "d", "2"])
        seat.page.reload()
        expect(seat.page.locator(ORDER)).to_have_text(["C", "B", "A", "D"])
        here = seat.page.url
        seat.press(["Enter"])
        seat.page.wait_for_url(lambda url: url != here)
    assert kept(desk) == ((2, 1, 0, 3), (9, 9, 2), {3: [2]})


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_what_another_window_has_saved_meanwhile_stands(desk: Desk) -> None:
    with a_browser() as browser:
        seat = begun(browser, desk)
        seat.page.route("**/draft", lambda route: route.abort())
        seat.press(["c", "b", "a"])
        other = seat.page.context.new_page()
        other.goto(seat.page.url)
        for key in "dcb":
            other.keyboard.press(key)
        expect(other.locator("#saved")).to_contain_text("草稿已保存")
        seat.page.reload()
        expect(seat.page.locator(ORDER)).to_have_text(["D", "C", "B", "A"])


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_what_was_entered_before_a_round_was_revealed_is_not_read_in_its_new_letters(desk: Desk) -> None:
    with desk.database.writing() as session:
        calibration.begin(session, campaigns.get(session, 1), "first", 1, actor_id=None)
    with a_browser() as browser:
        seat = begun(browser, desk)
        here = seat.page.url
        seat.press(["c", "b", "a", "9", "9", "9", "Enter"])
        seat.page.wait_for_url(lambda url: url != here)
        seat.page.goto(here)
        seat.page.route("**/draft", lambda route: route.abort())
        seat.press(["n"])
        expect(seat.page.locator("[name=none]")).to_be_checked()
        with desk.database.writing() as session:
            calibration.reveal(session, calibration.get(session, 1), actor_id=None)
        seat.page.reload()
        expect(seat.page.locator(ORDER)).to_have_count(4)
        expect(seat.page.locator("[name=none]")).not_to_be_checked()


def begun(browser: Browser, desk: Desk) -> Seat:
    seat = Seat(browser, desk, "li")
    seat.begin()
    return seat


def kept(desk: Desk) -> tuple[tuple[int, ...], tuple[int, ...], dict[int, list[int]]]:
    """Order, abilities and faults of what was submitted, in the letters as they stood on the screen."""
    with desk.database.reading() as session:
        stored = rankings.latest(session, 1)
        assert stored is not None
        ranking = rankings.read(stored)
        place = {response: at for at, response in enumerate(stored.assignment.response_order)}
        order = tuple(place[group[0]] for group in ranking.groups)
        faults = {place[response]: sorted(int(mark) for mark in marks) for response, marks in ranking.marks.items()}
        return order, tuple(int(each.ability or 0) for each in ranking.boundaries), faults
