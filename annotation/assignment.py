"""Who ranks which turn next, so that all pairs of annotators share the turns evenly.

Two annotators see each turn. An annotator joins a turn that a colleague has begun if no other colleague is behind in
shared turns, and begins a fresh one otherwise. The numbers come from the store; nothing here knows a database.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Join:
    """Take the second place of a turn that this colleague has begun."""

    colleague: int


@dataclass(frozen=True)
class Begin:
    """Take the first place of a fresh turn."""


Choice = Join | Begin


def choices(
    colleagues: Collection[int], shared: Mapping[int, int], waiting: Collection[int], *, fresh: bool
) -> list[Choice]:
    """What an annotator does next, best first; empty only where there is nothing left for them.

    ``colleagues`` are the annotators available together with this one, ``shared`` counts the turns shared with each,
    ``waiting`` names those with a begun turn that this annotator may join (also people who have left since), and
    ``fresh`` says whether an untouched turn is left.
    """
    least = min((shared.get(colleague, 0) for colleague in colleagues), default=0)
    ranked = sorted(waiting, key=lambda colleague: (colleague in colleagues, shared.get(colleague, 0), colleague))
    behind = [Join(c) for c in ranked if c not in colleagues or shared.get(c, 0) <= least]
    ahead = [Join(c) for c in ranked if c in colleagues and shared.get(c, 0) > least]
    return [*behind, *([Begin()] if fresh else []), *ahead]
