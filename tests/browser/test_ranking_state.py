"""The state of a ranking in the browser does what an obvious model does, whatever is done in whatever order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page

from annotation.ranking import weak_orders
from app.render import STATIC
from tests.browser.seat import a_browser

LETTERS = "abcd"
Act = tuple[str, Any, Any]

WALK = """([acts, ties]) => {
  const state = new RankingState([..."abcd"], ties);
  const look = (answer) => ({
    answer: Boolean(answer), groups: state.groups, unplaced: state.unplaced(), acts: state.acts,
    boundaries: state.boundaries.map(({ ability, clear }) => [ability, clear]),
    marks: [..."abcd"].map((letter) => [...state.marks.get(letter)].sort()),
  });
  return [look(false), ...acts.map(([name, first, second]) => {
    const given = name === "name" ? [first, second, second % 2 === 0] : [first, second];
    const answer = state[name](...given);
    const copy = new RankingState([..."abcd"], ties);
    copy.read(state.fields());
    if (JSON.stringify([copy.groups, copy.boundaries]) !== JSON.stringify([state.groups, state.boundaries])) throw state.fields();
    return look(answer);
  })];
}"""  # noqa: E501


class Model:
    """What a ranking is while it is made: best group first; what decides between two neighbours hangs on both."""

    def __init__(self, ties: bool) -> None:
        self.ties = ties
        self.groups: list[frozenset[str]] = []
        self.named: dict[tuple[frozenset[str], frozenset[str]], tuple[int, bool]] = {}
        self.marks: dict[str, frozenset[int]] = dict.fromkeys(LETTERS, frozenset())
        self.last: tuple[frozenset[str], frozenset[str]] | None = None
        self.acts = 0
        self.past: list[dict[str, Any]] = []

    def look(self, answer: bool) -> dict[str, Any]:
        return {
            "answer": answer,
            "groups": [sorted(group) for group in self.groups],
            "unplaced": [letter for letter in LETTERS if self.at(letter) is None],
            "acts": self.acts,
            "boundaries": [list(self.named.get(sides, (None, False))) for sides in pairwise(self.groups)],
            "marks": [sorted(self.marks[letter]) for letter in LETTERS],
        }

    def at(self, letter: str) -> int | None:
        return next((i for i, group in enumerate(self.groups) if letter in group), None)

    def remember(self) -> None:
        kept = ("groups", "named", "marks", "last", "acts")
        self.past.append({name: getattr(self, name) for name in kept})

    def order(self, groups: list[frozenset[str]]) -> bool:
        self.remember()
        self.groups = [group for group in groups if group]
        missing = frozenset(LETTERS) - frozenset().union(*self.groups)
        if len(missing) == 1:
            self.groups.append(missing)
        neighbours = set(pairwise(self.groups))
        self.named = {sides: what for sides, what in self.named.items() if sides in neighbours}
        self.acts += 1
        return True

    def without(self, letter: str) -> list[frozenset[str]]:
        return [group - {letter} for group in self.groups]

    def place(self, letter: str, _: object) -> bool:
        if sum(map(len, self.groups)) == len(LETTERS) and self.groups[-1] == {letter}:
            return False
        return self.order([*self.without(letter), frozenset(letter)])

    def tie(self, letter: str, _: object) -> bool:
        at = self.at(letter)
        above = len(self.groups) - 1 if at is None else at - 1
        if above < 0 or not self.ties:
            return False
        groups = self.without(letter)
        groups[above] |= {letter}
        return self.order(groups)

    def move(self, letter: str, step: int) -> bool:
        at = self.at(letter)
        if at is None:
            return False
        groups = self.without(letter)
        if not groups[at]:
            del groups[at]
            target = at + step
        else:
            target = at + (step > 0)
        if not 0 <= target <= len(groups):
            return False
        groups.insert(target, frozenset(letter))
        return self.order(groups)

    def rearrange(self, groups: list[list[str]], _: object) -> bool:
        new = [frozenset(group) for group in groups]
        if new == self.groups or (not self.ties and any(len(group) > 1 for group in new)):
            return False
        return self.order(new)

    def name(self, index: int, ability: int) -> bool:
        if index >= len(self.groups) - 1:
            return False
        self.remember()
        self.last = (self.groups[index], self.groups[index + 1])
        self.named = self.named | {self.last: (ability, ability % 2 == 0)}
        return True

    def clearly(self, *_: object) -> bool:
        if self.last not in self.named:
            return False
        self.remember()
        ability, clear = self.named[self.last]
        self.named = self.named | {self.last: (ability, not clear)}
        return True

    def mark(self, letter: str, ability: int) -> bool:
        self.remember()
        self.marks = self.marks | {letter: self.marks[letter] ^ {ability}}
        return ability in self.marks[letter]

    def undo(self, *_: object) -> bool:
        if not self.past:
            return False
        self.__dict__ |= self.past.pop()
        return True


letters = st.sampled_from(LETTERS)
abilities = st.integers(1, 9)
orders = st.permutations(LETTERS).flatmap(lambda order: st.sampled_from(list(weak_orders(4))).map(
    lambda groups: [[order[each] for each in group] for group in groups]))  # fmt: skip
acts = st.one_of(
    st.tuples(st.sampled_from(["place", "tie"]), letters, st.none()),
    st.tuples(st.just("move"), letters, st.sampled_from([-1, 1])),
    st.tuples(st.just("rearrange"), orders, st.none()),
    st.tuples(st.just("name"), st.integers(0, 3), abilities),
    st.tuples(st.just("mark"), letters, abilities),
    st.tuples(st.sampled_from(["clearly", "undo"]), st.none(), st.none()),
)


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page with nothing but the state."""
    with a_browser() as browser:
        opened = browser.new_page()
        opened.add_script_tag(path=STATIC / "ranking-state.js")
        yield opened


@pytest.mark.browser
@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(walk=st.lists(acts, max_size=40), ties=st.booleans())
@example(
    walk=[("place", "a", None), ("place", "b", None), ("name", 0, 1), ("move", "a", 1), ("clearly", None, None)],
    ties=True,
)
def test_any_walk_goes_as_the_model_goes_and_is_taken_back_step_by_step(
    page: Page, walk: list[Act], ties: bool
) -> None:
    model = Model(ties)
    expected = [model.look(False)]
    for name, first, second in walk:
        answer = getattr(model, name)(first, second)
        expected.append(model.look(answer))
        everywhere = [letter for group in model.groups for letter in group]
        assert len(everywhere) == len(set(everywhere))
    back = [("undo", None, None)] * len(model.past)
    for act in back:
        expected.append(model.look(model.undo(*act[1:])))
    seen = page.evaluate(WALK, [[*walk, *back], ties])
    assert seen == expected
    assert (seen[-1]["groups"], seen[-1]["unplaced"], seen[-1]["acts"]) == ([], list(LETTERS), 0)
