"""The manners in which a doctor ranks a turn in an hour's work; each says what it means, so that it can be compared."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from playwright.sync_api import expect

from annotation.abilities import Ability
from annotation.mending import mend_all
from annotation.ranking import Boundary, Ranking, Strength, weak_orders
from tests.browser.seat import Seat
from tests.conftest import password_of

LETTERS = "abcd"


@dataclass
class Turn:
    """One turn on the screen of a doctor who has something in mind: the letters are those on the screen."""

    seat: Seat
    meant: Ranking

    def keys(self) -> list[str]:
        """The keys for the order, what decides, and the faults."""
        return [*order_keys(self.meant.groups), *self.ability_keys(), *self.fault_keys()]

    def ability_keys(self) -> list[str]:
        return [
            f"{'Shift+' * (each.strength is Strength.CLEAR)}Digit{each.ability.value}"
            for each in self.meant.boundaries
            if each.ability
        ]

    def fault_keys(self) -> list[str]:
        return [
            key for response, marks in self.meant.marks.items()
            for mark in sorted(marks) for key in ("f", LETTERS[response], f"Digit{mark.value}")
        ]  # fmt: skip


def drawn(draw: random.Random, *, strict: bool = False) -> Ranking:
    """An order, what decides, and faults that fit it: the last group bears one of what decides against it."""
    groups = draw.choice(list(weak_orders(4, ties=not strict)))
    abilities = [Ability(draw.randint(1, 9)) for _ in groups[1:]]
    boundaries = tuple(Boundary(ability, draw.choice(list(Strength))) for ability in abilities)
    marks = {response: frozenset(abilities[-1:]) for response in groups[-1]} if draw.random() < 0.5 else {}
    return Ranking(groups, boundaries, marks)


def order_keys(groups: Sequence[Sequence[int]]) -> list[str]:
    """Letters place, with Shift they tie; the last one falls by itself, and is then tied where it belongs above."""
    sequence = [(response, at > 0) for group in groups for at, response in enumerate(group)]
    keys = [f"{'Shift+' * tied}{LETTERS[response]}" for response, tied in sequence]
    return keys if sequence[-1][1] else keys[:-1]


def plainly(turn: Turn) -> None:
    turn.seat.press([*turn.keys(), "Enter"])


def ability_by_ability(turn: Turn) -> None:
    """Names what decides as soon as there is a boundary, by number pad and plus."""
    turn.meant = drawn(random.Random(1), strict=True)
    first, second, third, _ = (LETTERS[group[0]] for group in turn.meant.groups)
    said = [
        [f"Numpad{each.ability}", *(["+"] if each.strength is Strength.CLEAR else [])] for each in turn.meant.boundaries
    ]
    turn.seat.press([first, second, *said[0], third, *said[1], *said[2], *turn.fault_keys(), "Enter"])


def with_a_contradiction(turn: Turn) -> None:
    """The best has a fault that outranks what decides: one key mends it."""
    wrong = Ranking(((2,), (0,), (3,), (1,)), (Boundary(Ability.WARM_TONE, Strength.SLIGHT),) * 3,
                    {2: frozenset({Ability.ACCURACY})})  # fmt: skip
    turn.meant = wrong
    turn.seat.press([*turn.keys(), "Enter"])
    expect(turn.seat.page.locator("#objections .notice.bad")).to_have_count(1)
    turn.meant = mend_all(wrong)
    slight = tuple(Boundary(each.ability, Strength.SLIGHT) for each in turn.meant.boundaries)
    turn.meant = Ranking(turn.meant.groups, slight, turn.meant.marks)
    turn.seat.press(["x", "Enter"])


def taking_back(turn: Turn) -> None:
    """Begins wrongly, takes every step back, and begins anew."""
    turn.seat.press(["d", "Shift+a", "c", "3", "f", "a", "2", "n"])
    turn.seat.press(["n", *["z", "Backspace"] * 3])
    plainly(turn)


def none_is_acceptable(turn: Turn) -> None:
    turn.meant = Ranking((), none_acceptable=True)
    turn.seat.press(["n", "Enter"])


def none_is_acceptable_in_order(turn: Turn) -> None:
    turn.meant = Ranking(turn.meant.groups, turn.meant.boundaries, turn.meant.marks, none_acceptable=True)
    turn.seat.press([*turn.keys(), "n", "Enter"])


def without_connection(turn: Turn) -> None:
    """The connection is lost before the submission and comes back."""
    context = turn.seat.page.context
    turn.seat.press(turn.keys())
    context.set_offline(True)
    turn.seat.press(["Enter"])
    expect(turn.seat.page.locator("#saved")).to_contain_text("连接")
    context.set_offline(False)


def after_the_login_ended(turn: Turn) -> None:
    """The password is asked over the form: wrong once, then right."""
    page = turn.seat.page
    turn.seat.press(turn.keys())
    expect(page.locator("#saved")).to_contain_text("草稿已保存")
    page.context.clear_cookies(name="zhongjing")
    turn.seat.press(["Enter"])
    page.fill("#again-password", "wrong")
    page.press("#again-password", "Enter")
    expect(page.locator("#again-problem")).to_be_visible()
    page.fill("#again-password", password_of("li"))
    page.press("#again-password", "Enter")


def with_a_reload(turn: Turn) -> None:
    """The draft is there again after the page was loaded anew in the middle of it."""
    turn.seat.press(turn.keys())
    expect(turn.seat.page.locator("#saved")).to_contain_text("草稿已保存")
    turn.seat.page.reload()
    turn.seat.press(["Enter"])


def by_dragging(turn: Turn) -> None:
    """Places all by clicks, then drags the first onto the second, and the last to the top."""
    page = turn.seat.page
    for letter in "ABC":
        page.click(f"#letter-{letter}")
    turn.seat.drag("a", page.locator("#order [data-members]").nth(1))
    expect(page.locator("#order [data-members]")).to_have_count(3)
    turn.seat.drag("d", page.locator("#order [data-gap]").first)
    expect(page.locator("#order .token").first).to_have_text("D")
    for ability in (4, 9):
        page.click(f'[data-ability="{ability}"]')
    turn.meant = Ranking(((3,), (0, 1), (2,)), (Boundary(Ability.COMPREHENSION, Strength.SLIGHT),
                                                Boundary(Ability.WARM_TONE, Strength.SLIGHT)))  # fmt: skip
    page.click("#ranking button.primary")


def comparing_first(turn: Turn) -> None:
    """Compares two, looks at the help, and reads them stacked before ranking."""
    turn.seat.press(["w", "b", "d"])
    expect(turn.seat.page.locator(".compared")).to_have_count(2)
    turn.seat.press(["w", "v", "m", "?", "Escape", "v", "m"])
    plainly(turn)


def by_the_arrows(turn: Turn) -> None:
    """Moves a placed response with the arrow keys."""
    turn.seat.press(["a", "b", "c"])
    turn.seat.token("d").focus()
    turn.seat.press(["ArrowLeft", "ArrowLeft", "ArrowLeft"])
    turn.meant = Ranking(((3,), (0,), (1,), (2,)), (Boundary(Ability.SAFETY, Strength.SLIGHT),) * 3)
    turn.seat.press(["2", "2", "2"])
    turn.seat.page.locator("#ranking button.primary").press("Enter")


def all_tied(turn: Turn) -> None:
    turn.meant = Ranking(((0, 1, 2, 3),))
    plainly(turn)


MANNERS = (
    plainly,
    with_a_contradiction,
    taking_back,
    without_connection,
    comparing_first,
    by_dragging,
    none_is_acceptable,
    with_a_reload,
    after_the_login_ended,
    by_the_arrows,
    none_is_acceptable_in_order,
    ability_by_ability,
    all_tied,
)
