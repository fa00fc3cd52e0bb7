"""An hour's work in a real browser: forty turns in every manner there is; what is stored is what was meant."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from playwright.sync_api import TimeoutError, expect
from sqlalchemy import select

from annotation.ranking import Ranking
from annotation.store import campaigns, imports, rankings
from annotation.tables import Assignment, AssignmentState
from annotation.tables import Ranking as Stored
from tests.browser.desk import Desk, a_desk
from tests.browser.hour import MANNERS, Turn, drawn, plainly
from tests.browser.seat import Seat, a_browser
from tests.material import dialogue

TURNS = 40
PROVOKED = ("status of 422", "status of 401", "net::ERR_INTERNET_DISCONNECTED")


@pytest.mark.browser
@pytest.mark.timeout(300)
def test_forty_turns_are_stored_as_they_were_meant(tmp_path: Path, sqlite_template: Path) -> None:
    file = tmp_path / "zhongjing.sqlite3"
    file.write_bytes(sqlite_template.read_bytes())
    draw = random.Random(40)
    with a_desk(tmp_path / "home", f"sqlite:///{file}") as desk, a_browser() as browser:
        fill(desk)
        seat = Seat(browser, desk, "li")
        seat.page.click("main button.primary")
        meant = {}
        for number in range(TURNS):
            seat.page.wait_for_url("**/assignments/*", wait_until="load")
            if number == 7:
                correct_the_last(seat, desk, meant)
            if number == 13:
                hand_back(seat, desk)
            if number == 21:
                revise_the_guideline(desk)
            here = seat.page.url
            turn = Turn(seat, drawn(draw))
            MANNERS[number % len(MANNERS)](turn)
            go_on_from(here, turn, number)
            if number == 21:
                read_the_guideline(seat)
            meant[int(here.rpartition("/")[2])] = turn.meant
        assert stored(desk, meant) == meant
        assert versions(desk) == [1] * 22 + [2] * 18
        assert [each for each in seat.complaints if not any(kind in each for kind in PROVOKED)] == []


def go_on_from(here: str, turn: Turn, number: int) -> None:
    """Waits for the next page; where none comes, says what is seen on this one."""
    page = turn.seat.page
    try:
        page.wait_for_url(lambda url: url != here)
    except TimeoutError as error:
        seen = {part: page.locator(part).inner_text() for part in ("#order", "#saved", "#objections")}
        manner = MANNERS[number % len(MANNERS)].__name__
        raise AssertionError(f"turn {number}, {manner}: meant {turn.meant}, seen {seen}") from error


def fill(desk: Desk) -> None:
    with desk.database.writing() as session:
        campaign = campaigns.create(session, "试点", guideline="先看安全。")
        new = [dialogue(f"d{number}", turns=2) for number in range(TURNS)]
        imports.add(session, campaign, new, source="t", actor_id=None)


def correct_the_last(seat: Seat, desk: Desk, meant: dict[int, Ranking]) -> None:
    """One key leads back to what was submitted a moment ago; another ranking takes its place."""
    here, last = seat.page.url, max(meant)
    expect(seat.page.locator("[data-said]")).to_contain_text("已保存")
    seat.press(["Backspace"])
    seat.page.wait_for_url(f"**/assignments/{last}", wait_until="load")
    turn = Turn(seat, drawn(random.Random(7), strict=True))
    seat.press(["n"])  # what was submitted is in the form: that none is acceptable
    plainly(turn)
    seat.page.wait_for_url(here, wait_until="load")
    meant[last] = turn.meant
    with desk.database.reading() as session:
        kept = rankings.latest(session, last)
        assert kept is not None
        assert kept.version == 2


def hand_back(seat: Seat, desk: Desk) -> None:
    """What cannot be judged is handed back with the first reason: three keys."""
    here = seat.page.url
    seat.press(["u", "Enter", "Enter"])
    seat.page.wait_for_url(lambda url: url != here and "/assignments/" in url, wait_until="load")
    with desk.database.reading() as session:
        back = session.get_one(Assignment, int(here.rpartition("/")[2]))
        assert (back.state, back.reason) == (AssignmentState.CANNOT_JUDGE, "缺少上下文")


def revise_the_guideline(desk: Desk) -> None:
    with desk.database.writing() as session:
        campaigns.revise_guideline(session, campaigns.get(session, 1), "先看安全性。", actor_id=None)


def read_the_guideline(seat: Seat) -> None:
    """It is shown before the next turn, with what changed, and one key goes on."""
    seat.page.wait_for_url("**/guideline", wait_until="load")
    expect(seat.page.locator("ins")).to_have_text("先看安全性。")
    seat.press(["Enter"])


def stored(desk: Desk, meant: dict[int, Ranking]) -> dict[int, Ranking]:
    """The newest version of each, in the letters as they stood on the screen."""
    with desk.database.reading() as session:
        return {each: on_screen(session.get_one(Assignment, each), rankings.latest(session, each)) for each in meant}


def on_screen(assignment: Assignment, kept: Stored | None) -> Ranking:
    assert kept is not None
    ranking = rankings.read(kept)
    place = {response: at for at, response in enumerate(assignment.response_order)}
    groups = tuple(tuple(place[response] for response in group) for group in ranking.groups)
    marks = {place[response]: marks for response, marks in ranking.marks.items()}
    return Ranking(groups, ranking.boundaries, marks, ranking.none_acceptable)


def versions(desk: Desk) -> list[int]:
    """The guideline's version under which each first ranking was made, in their order."""
    with desk.database.reading() as session:
        first = session.scalars(select(Stored).where(Stored.version == 1).order_by(Stored.id)).all()
        return [each.guideline.version for each in first]
