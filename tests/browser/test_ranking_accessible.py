"""The ranking screen in each of its states, by the rules that a machine can check, light and dark, and on a tablet."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from annotation.formats.rows import NewDialogue, NewResponse, NewTurn
from annotation.store import campaigns, imports, people
from tests.browser.desk import Desk, a_desk, two_turns
from tests.browser.seat import Seat, a_browser
from tests.browser.test_accessible import broken


@pytest.mark.browser
@pytest.mark.timeout(300)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_state_of_the_ranking_screen_breaks_a_rule(tmp_path: Path, sqlite_template: Path, theme: str) -> None:
    file = tmp_path / "zhongjing.sqlite3"
    file.write_bytes(sqlite_template.read_bytes())
    with a_desk(tmp_path / "home", f"sqlite:///{file}") as desk, a_browser() as browser:
        two_turns(desk)
        seat = Seat(browser, desk, "li", bypass_csp=True)
        seat.page.context.add_cookies([{"name": "theme", "value": theme, "url": desk.url}])
        complaints = []
        for state in (begins, fresh, half_placed, marking, comparing, contradicting, helped, handing_back, logged_out,
                      submitted, revised, finished):  # fmt: skip
            state(seat, desk)
            complaints += [f"{theme}, {state.__name__}: {each}" for each in broken(seat.page)]
        assert complaints == []


@pytest.mark.browser
def test_digits_stand_apart_from_chinese_and_a_tablet_has_no_hole_below_a_short_dialogue(
    tmp_path: Path, sqlite_template: Path
) -> None:
    file = tmp_path / "zhongjing.sqlite3"
    file.write_bytes(sqlite_template.read_bytes())
    with a_desk(tmp_path / "home", f"sqlite:///{file}") as desk, a_browser() as browser:
        with desk.database.writing() as session:
            campaign = campaigns.create(session, "试点")
            turn = NewTurn(1, (), "我16岁。", tuple(NewResponse(f"每次{n}克。", "m") for n in range(4)))
            imports.add(session, campaign, [NewDialogue(1, "d", (turn,))], source="t", actor_id=None)
        page = Seat(browser, desk, "li").page
        page.set_viewport_size({"width": 820, "height": 1180})
        page.goto("/rank")
        page.click("main button.primary")
        page.wait_for_url("**/assignments/*")
        said = page.locator(".said").first
        assert said.evaluate("each => getComputedStyle(each).textAutospace") == "normal"
        hole = "talk => talk.nextElementSibling.getBoundingClientRect().top - talk.getBoundingClientRect().bottom"
        assert page.locator(".desk > .talk").evaluate(hole) < 24


def begins(seat: Seat, _: Desk) -> None:
    """The start page, with the guideline that was not read yet."""
    seat.page.goto("/rank")


def fresh(seat: Seat, _: Desk) -> None:
    """Nothing placed; one text too long, two nearly the same."""
    seat.page.click("main button.primary")
    seat.page.wait_for_url("**/assignments/*")
    expect(seat.page.locator(".clamped, .more:visible")).to_have_count(2)  # the long one, and its button
    expect(seat.page.locator(".response mark")).to_have_count(2)


def half_placed(seat: Seat, _: Desk) -> None:
    seat.press(["a", "b", "Shift+Digit1", "f", "a", "1"])


def marking(seat: Seat, _: Desk) -> None:
    seat.press(["f", "c"])


def comparing(seat: Seat, _: Desk) -> None:
    seat.press(["Escape", "w", "a", "d"])
    expect(seat.page.locator(".compared")).to_have_count(2)


def contradicting(seat: Seat, _: Desk) -> None:
    seat.press(["w", "c", "9", "9", "f", "d", "2", "Enter"])
    expect(seat.page.locator("#objections .notice.bad")).to_have_count(2)


def helped(seat: Seat, _: Desk) -> None:
    seat.press(["?"])


def handing_back(seat: Seat, _: Desk) -> None:
    seat.press(["Escape", "u"])


def logged_out(seat: Seat, desk: Desk) -> None:
    """Their logins have ended at the server, as after a night."""
    seat.press(["Escape"])
    expect(seat.page.locator("dialog[open]")).to_have_count(0)
    with desk.database.writing() as session:
        ranker = people.by_login(session, "li")
        assert ranker is not None
        people.end_sessions(session, ranker.id)
    seat.press(["Enter"])
    expect(seat.page.locator("#again")).to_be_visible()


def submitted(seat: Seat, _: Desk) -> None:
    """The next turn, with what was submitted a moment ago."""
    here = seat.page.url
    seat.page.fill("#again-password", "li-li-secret")
    seat.page.press("#again-password", "Enter")
    expect(seat.page.locator("#again")).to_be_hidden()
    seat.press(["x", "1", "1", "1", "Enter"])
    seat.page.wait_for_url(lambda url: url != here and "/assignments/" in url)
    expect(seat.page.locator("[data-said]")).to_be_visible()


def revised(seat: Seat, desk: Desk) -> None:
    """A new version of the guideline, before the next turn."""
    with desk.database.writing() as session:
        campaigns.revise_guideline(session, campaigns.get(session, 1), "先看安全性。\n然后看专业。\n", actor_id=None)
    seat.press(["n", "Enter"])
    seat.page.wait_for_url("**/guideline")


def finished(seat: Seat, _: Desk) -> None:
    """Nothing is left."""
    seat.press(["Enter"])
    seat.page.wait_for_selector(".empty")
