"""The whole way in a browser: two doctors by keyboard and by mouse, a third who decides, and an admin who trains."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import select

from annotation.ranking import format_order
from annotation.store import rankings
from annotation.tables import Campaign, Ranking, Turn, TurnState
from tests.browser.seat import Seat, a_browser
from tests.conftest import wait_for
from tests.installation import Installation, installed
from tests.journey import ADAPTED, ASPECTS, BASE, DIALOGUES, PPO, careful, careless, register_data, rows, started
from tests.rlhf.material import PLAIN, POLITE, RUDE, WRONG
from tests.visitors import by_quality

MINUTES = 60_000


@pytest.mark.browser
@pytest.mark.training
@pytest.mark.timeout(900)
def test_the_whole_way_in_a_browser(tmp_path: Path, database_url: str) -> None:
    with installed(tmp_path / "home", database_url) as installation, a_browser() as browser:
        admin = Seat(browser, installation, "sun")
        campaign_id = import_dialogues(admin, installation, tmp_path)
        doctors = [rank_by_keys(browser, installation), rank_by_mouse(browser, installation)]
        for login, quality in (("li", careful), ("wang", careless)):
            left = installation.visitor(login).rank_everything(campaign_id, by_quality(quality, ASPECTS))
            assert left == 2 * DIALOGUES - 1
        adjudicator = decide_by_keys(browser, installation)
        assert installation.visitor("zhao").review_everything(by_quality(careful, ASPECTS)) == 2 * DIALOGUES - 1
        freeze(admin, campaign_id)
        train(admin, installation)
        look_at_the_comparison(admin)
        assert [seat.complaints for seat in (admin, *doctors, adjudicator)] == [[], [], [], []]


def import_dialogues(admin: Seat, installation: Installation, folder: Path) -> int:
    """Makes a campaign and uploads a file; returns the campaign's id."""
    page = admin.page
    page.goto("/admin/campaigns/new")
    page.fill("#name", "试点")
    page.click("main button.primary")
    page.get_by_role("link", name="导入").click()
    file = folder / "dialogues.jsonl"
    file.write_bytes(rows())
    page.set_input_files("#file", file)
    page.click("main button.primary")
    expect(page.get_by_role("status")).to_contain_text(f"{DIALOGUES}")
    with installation.database.reading() as session:
        assert len(session.scalars(select(Turn)).all()) == 2 * DIALOGUES
        return session.scalars(select(Campaign.id)).one()


def rank_by_keys(browser: Browser, installation: Installation) -> Seat:
    """One turn by keyboard alone, three reasons and a fault included, in ten keystrokes."""
    seat = Seat(browser, installation, "li")
    expect(seat.page.locator("main button.primary")).to_be_focused()
    seat.press(["Enter"])
    seat.page.wait_for_url("**/assignments/*")
    letter = seat.letters()
    keys = [letter[POLITE], letter[PLAIN], letter[RUDE], "9", "1", "1", "f", letter[WRONG], "1", "Enter"]
    first = seat.page.url
    seat.press(keys)
    seat.page.wait_for_url(lambda url: url != first and "/assignments/" in url)
    assert stored_rankings(installation) == {"D > B > C > A": [9, 1, 1]}
    return seat


def rank_by_mouse(browser: Browser, installation: Installation) -> Seat:
    """The same turn by clicks and drags alone, and otherwise."""
    seat = Seat(browser, installation, "wang")
    page = seat.page
    page.get_by_role("button", name="下一轮").first.click()
    page.wait_for_url("**/assignments/*")
    letter = seat.letters()
    for text in (PLAIN, POLITE, RUDE):
        page.click(f"#letter-{letter[text].upper()}")
    shown = page.locator("#order")
    expect(shown.locator("[data-token]")).to_have_text([letter[t].upper() for t in (PLAIN, POLITE, RUDE, WRONG)])
    seat.drag(letter[PLAIN], shown.locator("[data-gap]").nth(3))
    expect(shown.locator("[data-token]")).to_have_text([letter[t].upper() for t in (POLITE, RUDE, PLAIN, WRONG)])
    seat.drag(letter[RUDE], shown.locator("[data-members]").first)
    expect(shown.locator("[data-members]")).to_have_count(3)
    for ability in (9, 1):
        page.click(f'[data-ability="{ability}"]')
    first = page.url
    page.click("#ranking button.primary")
    page.wait_for_url(lambda url: url != first and "/assignments/" in url)
    assert stored_rankings(installation)["C = D > B > A"] == [9, 1]
    return seat


def decide_by_keys(browser: Browser, installation: Installation) -> Seat:
    """A third settles a contested turn: an answer a key."""
    seat = Seat(browser, installation, "zhao")
    page = seat.page
    expect(page.locator("main button.primary")).to_be_focused()
    seat.press(["Enter"])
    page.wait_for_url("**/reviews/*")
    while page.locator(".duel").count():
        left, right = (card.inner_text() for card in page.locator(".duel .said").all())
        asked = page.locator("#question h2").inner_text()
        seat.press(["ArrowLeft" if careful(left) > careful(right) else "ArrowRight"])
        expect(page.locator("#question h2")).not_to_have_text(asked)
        if page.locator(".abilities-grid").count():
            seat.press(["1"])
            expect(page.locator(".abilities-grid")).to_have_count(0)
    seat.press(["Enter"])
    wait_for(lambda: decided(installation) == 1)
    return seat


def freeze(admin: Seat, campaign_id: int) -> None:
    admin.page.goto(f"/admin/campaigns/{campaign_id}")
    admin.page.get_by_role("link", name="冻结快照").click()
    admin.page.wait_for_url("**/admin/snapshots/freeze/*")  # what it will hold is seen first
    admin.page.click("main button.primary")
    admin.page.wait_for_url(re.compile(r"/admin/snapshots/\d+$"))


def train(admin: Seat, installation: Installation) -> None:
    """Base and fine-tuning by forms, the reward model and PPO in the browser, watched until they are done."""
    visitor = installation.visitor("sun")
    register_data(visitor)
    base = started(visitor, "pretrain", data="corpus", **BASE)
    policy = started(visitor, "sft", data="dialogues", base=base, **ADAPTED)
    reward = run_in_the_browser(admin, "reward", {"base": base}, ADAPTED)
    expect(admin.page.locator(".verdict")).to_be_visible()
    run_in_the_browser(admin, "ppo", {"base": base, "policy": policy, "reward": reward}, PPO)
    expect(admin.page.locator("canvas").first).to_be_visible()


def run_in_the_browser(admin: Seat, kind: str, models: dict[str, str], settings: dict[str, str]) -> str:
    """Fills the form, starts, and waits for the page to say by itself that it is done; returns the model's name."""
    page = admin.page
    page.goto(f"/admin/runs/new/{kind}")
    for role, name in models.items():
        page.select_option(f"#{role}", label=name)
    for name, value in settings.items():
        field = page.locator(f"#set-{name}, [type=checkbox][name=set-{name}]")
        if value == "on":
            field.check()
        elif field.evaluate("each => each.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
    page.click("main button.primary")
    page.wait_for_url(re.compile(r"/admin/runs/\d+$"))
    expect(page.locator("#run-live")).to_have_attribute("data-live", "no", timeout=5 * MINUTES)
    expect(page.locator("#run-live")).not_to_contain_text("失败")
    return f"{kind}-{page.url.rpartition('/')[2]}"


def look_at_the_comparison(admin: Seat) -> None:
    admin.page.goto(f"{admin.page.url}/comparison")
    expect(admin.page.locator(".side.before")).to_have_count(6)
    expect(admin.page.locator(".side.after")).to_have_count(6)


def stored_rankings(installation: Installation) -> dict[str, list[int | None]]:
    """What is in the database: orders, by the letters of the file, and what decides at their boundaries."""
    with installation.database.reading() as session:
        read = [rankings.read(each) for each in session.scalars(select(Ranking))]
    return {format_order(each.groups): [boundary.ability for boundary in each.boundaries] for each in read}


def decided(installation: Installation) -> int:
    with installation.database.reading() as session:
        return len(session.scalars(select(Turn).where(Turn.state == TurnState.SETTLED)).all())
