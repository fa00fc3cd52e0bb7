"""A login that ends while somebody ranks, at an awkward moment."""

from __future__ import annotations

import pytest
from playwright.sync_api import Route, expect

from annotation.store import people
from tests.browser.desk import Desk
from tests.browser.seat import Seat, a_browser
from tests.conftest import password_of


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_a_draft_that_is_refused_after_the_submission_does_not_take_its_place(desk: Desk) -> None:
    with a_browser() as browser:
        seat = Seat(browser, desk, "li")
        seat.begin()
        here = seat.page.url
        held: list[Route] = []

        def hold(route: Route) -> None:
            held.append(route)

        seat.page.route("**/draft", hold)
        with seat.page.expect_request("**/draft"):
            seat.press(["a", "b", "c", "d", "9", "9", "9"])
        with desk.database.writing() as session:
            ranker = people.by_login(session, "li")
            assert ranker is not None
            people.end_sessions(session, ranker.id)
        seat.press(["Enter"])
        expect(seat.page.locator("#again")).to_be_visible()
        with seat.page.expect_response("**/draft") as refused:
            held[0].continue_()
        assert refused.value.status == 401
        seat.page.unroute("**/draft")
        seat.page.fill("#again-password", password_of("li"))
        seat.page.press("#again-password", "Enter")
        seat.page.wait_for_url(lambda url: url != here)
        assert not seat.complaints or all("401" in each for each in seat.complaints)
