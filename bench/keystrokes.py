"""What a ranking costs the hand: key presses and seconds for one of four responses, by keyboard alone, in Chromium.

Each turn is ranked with three deciding abilities and one fault mark; what was stored is compared with what was meant.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Annotated

import typer
from playwright.sync_api import Page
from sqlalchemy import select

from annotation import migrate
from annotation.abilities import Ability
from annotation.ranking import Boundary, Ranking, Strength
from annotation.store import campaigns, imports, rankings
from annotation.tables import Assignment
from annotation.tables import Ranking as Stored
from bench.figures import say
from tests.browser.desk import Desk, a_desk
from tests.browser.seat import Seat, a_browser
from tests.material import dialogue

COUNTING = """addEventListener("keydown", () => {
  sessionStorage.setItem("pressed", Number(sessionStorage.getItem("pressed") || 0) + 1);
}, true);"""


@dataclass(frozen=True)
class Ranked:
    """One turn: what was meant and what was kept, the keys that the browser saw, and the seconds until then."""

    meant: Ranking
    kept: Ranking
    keys: int
    seconds: float


def main(
    quick: Annotated[bool, typer.Option(help="Five turns, for a look")] = False,
    seed: Annotated[int, typer.Option(help="Of the orders that are meant")] = 0,
) -> None:
    """Ranks turns on the real screen; prints the key presses of a turn and the seconds from its page to the answer."""
    done = measure(5 if quick else 40, seed)
    if any(each.meant != each.kept for each in done):
        raise typer.Exit(1)
    conditions = f"{len(done)} turns, K = 4, three deciding abilities, one fault mark, Chromium, no pause between keys"
    keys = max(each.keys for each in done)
    say("rank.keystrokes_k4_three_reasons_one_mark", keys, "keys", target=10, better="lower", conditions=conditions)
    seconds = round(median(each.seconds for each in done), 3)
    say("rank.seconds_k4_page_to_stored", seconds, "s", better="lower", conditions=f"{conditions}; median")


def measure(turns: int, seed: int) -> list[Ranked]:
    """Ranks so many turns as Li Min."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/bench.sqlite3"
        migrate.upgrade(url)
        with a_desk(Path(folder) / "home", url) as desk, a_browser() as browser:
            with desk.database.writing() as session:
                campaign = campaigns.create(session, "bench")
                new = [dialogue(f"d{number}") for number in range(turns)]
                imports.add(session, campaign, new, source="bench", actor_id=None)
            page = Seat(browser, desk, "li").page
            page.add_init_script(COUNTING)
            page.click("main button.primary")
            return [rank(page, desk, meant(draw)) for _ in range(turns)]


def meant(draw: random.Random) -> Ranking:
    """A strict order of four, three abilities, and a fault of the last in what decides against it."""
    order = draw.sample(range(4), 4)
    abilities = [Ability(draw.randint(1, 9)) for _ in range(3)]
    boundaries = tuple(Boundary(ability, Strength.SLIGHT) for ability in abilities)
    return Ranking(tuple((each,) for each in order), boundaries, {order[3]: frozenset({abilities[2]})})


def rank(page: Page, desk: Desk, ranking: Ranking) -> Ranked:
    """Presses the keys for one ranking and waits until it is kept."""
    page.wait_for_url("**/assignments/*", wait_until="load")
    assignment_id = int(page.url.rpartition("/")[2])
    with desk.database.reading() as session:
        shown = session.get_one(Assignment, assignment_id).response_order
    page.evaluate("sessionStorage.setItem('pressed', 0)")
    begun = perf_counter()
    with page.expect_response(lambda answer: answer.url.endswith("/ranking")):
        for key in keys_for(ranking, shown):
            page.keyboard.press(key)
    seconds = perf_counter() - begun
    page.wait_for_url(lambda url: not url.endswith(f"/{assignment_id}"))
    pressed = int(page.evaluate("sessionStorage.getItem('pressed')"))
    with desk.database.reading() as session:
        kept = session.scalars(select(Stored).where(Stored.assignment_id == assignment_id)).one()
        return Ranked(ranking, rankings.read(kept), pressed, seconds)


def keys_for(ranking: Ranking, shown: Sequence[int]) -> list[str]:
    """The keys as the help names them; the last response falls into its place by itself."""
    letter = {response: "abcd"[place] for place, response in enumerate(shown)}
    order = [group[0] for group in ranking.groups]
    digits = [f"Digit{boundary.ability}" for boundary in ranking.boundaries]
    [(faulty, marks)] = ranking.marks.items()
    return [*(letter[each] for each in order[:3]), *digits, "f", letter[faulty], f"Digit{min(marks)}", "Enter"]


if __name__ == "__main__":
    typer.run(main)
