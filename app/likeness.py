"""Responses that are nearly the same: found cheaply, and shown with what differs marked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from markupsafe import Markup

from annotation.refusals import Invalid
from app.differences import differences, marked
from app.words import N_

NEAR = 0.9
"""Who shares at least so much of their text is called nearly the same."""

SHORTEST = 40
"""Below so many characters a glance says more than marks."""

LONGEST = 20_000
"""Characters of a text that is still compared: the time grows with the square."""


@dataclass(frozen=True)
class Near:
    """Which letters' texts are nearly the same, which are equal, and the former with what differs marked."""

    alike: tuple[tuple[str, ...], ...]
    equal: tuple[tuple[str, ...], ...]
    texts: Mapping[str, Markup]


def near(texts: Mapping[str, str]) -> Near:
    """The groups of nearly equal texts; each is marked against the one most like it."""
    characters = {letter: Counter(text) for letter, text in texts.items()}
    maybe = (pair for pair in combinations(texts, 2) if _may_be_near(*(characters[letter] for letter in pair)))
    found = [(share, pair) for pair in maybe if (share := likeness(*(texts[letter] for letter in pair)))]
    shown: dict[str, Markup] = {}
    for share, (first, second) in sorted(found, key=lambda each: -each[0]):
        if share < 1:
            ours, theirs = compared(texts[first], texts[second])
            shown = {first: ours, second: theirs} | shown
    alike = _together(pair for share, pair in found if share < 1)
    return Near(alike, _together(pair for share, pair in found if share == 1), shown)


def likeness(first: str, second: str) -> float:
    """The share of both texts that is equal, 1 where they are; 0 below ``NEAR`` and for what is not compared."""
    both = len(first) + len(second)
    if min(len(first), len(second)) < SHORTEST or max(len(first), len(second)) > LONGEST:
        return 0
    equal = sum(len(segment.text) for segment in differences(first, second)[0] if not segment.differs)
    return 2 * equal / both if 2 * equal >= NEAR * both else 0


def _may_be_near(first: Counter[str], second: Counter[str]) -> bool:
    """Whether two texts of these characters have enough in common: most pairs are told apart without comparing."""
    both = first.total() + second.total()
    return 2 * min(first.total(), second.total()) >= NEAR * both and 2 * (first & second).total() >= NEAR * both


def _together(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    groups: list[set[str]] = []
    for pair in pairs:
        touched = [group for group in groups if group & set(pair)]
        groups = [group for group in groups if group not in touched]
        groups.append(set(pair).union(*touched))
    return tuple(tuple(sorted(group)) for group in groups)


def compared(first: str, second: str) -> tuple[Markup, Markup]:
    """Both texts with what differs marked; raises Invalid where they are too long for that."""
    if max(len(first), len(second)) > LONGEST:
        raise Invalid(N_("These texts are too long to be compared word by word."))
    ours, theirs = differences(first, second)
    return marked(ours), marked(theirs)
