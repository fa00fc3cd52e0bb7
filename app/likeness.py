"""Responses that are nearly the same: found cheaply, and shown with what differs marked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from markupsafe import Markup
from rapidfuzz.distance import Indel

from annotation.refusals import Invalid
from app.differences import differences, marked
from app.words import N_

NEAR = 0.9
"""Who shares at least so much of their text is called nearly the same."""

SHORTEST = 40
"""Below so many characters a glance says more than marks."""

LONGEST = 10_000
"""Characters of a text that is still compared."""


@dataclass(frozen=True)
class Near:
    """Which letters' texts are nearly the same, which are equal, and the former with what differs marked."""

    alike: tuple[tuple[str, ...], ...]
    equal: tuple[tuple[str, ...], ...]
    texts: Mapping[str, Markup]


def near(texts: Mapping[str, str]) -> Near:
    """The groups of nearly equal texts; each is marked against the one most like it."""
    pairs = combinations(texts, 2)
    found = [(share, pair) for pair in pairs if (share := likeness(*(texts[letter] for letter in pair)))]
    shown: dict[str, Markup] = {}
    for share, (first, second) in sorted(found, key=lambda each: -each[0]):
        if share < 1:
            ours, theirs = compared(texts[first], texts[second])
            shown = {first: ours, second: theirs} | shown
    alike = _together(pair for share, pair in found if share < 1)
    return Near(alike, _together(pair for share, pair in found if share == 1), shown)


def likeness(first: str, second: str) -> float:
    """The share of both texts that is equal, 1 where they are; 0 below ``NEAR`` and for what is not compared."""
    if min(len(first), len(second)) < SHORTEST or max(len(first), len(second)) > LONGEST:
        return 0
    return float(Indel.normalized_similarity(first, second, score_cutoff=NEAR))


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
