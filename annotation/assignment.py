"""Who ranks which turn next, so that all pairs of annotators share the turns evenly.

Two annotators see each turn. An annotator joins what a colleague has begun if no pair of those at work shares less than
the two of them, and begins something fresh otherwise. So no pair gets ahead of another while anything fresh is left,
however different the paces are. What is shared is a turn or, where dialogues stay together, a dialogue. The numbers
come from the store; nothing here knows a database.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Join:
    """Take the second place of what this colleague has begun."""

    colleague: int


@dataclass(frozen=True)
class Begin:
    """Take the first place of something fresh."""


Choice = Join | Begin


def choices(
    colleagues: Collection[int], shared: Mapping[int, int], waiting: Collection[int], *, least: int
) -> list[Choice]:
    """What an annotator does next, best first; whoever finds nothing there goes on to the following choice.

    ``colleagues`` are the annotators available together with this one, ``shared`` counts what is shared with each,
    ``waiting`` names those who have begun something that this annotator may join (also people who have left since), and
    ``least`` is how much the pair shares that shares least, of all pairs available.
    """
    ranked = sorted(waiting, key=lambda colleague: (colleague in colleagues, shared.get(colleague, 0), colleague))
    behind = [Join(c) for c in ranked if c not in colleagues or shared.get(c, 0) <= least]
    ahead = [Join(c) for c in ranked if c in colleagues and shared.get(c, 0) > least]
    return [*behind, Begin(), *ahead]


def chance_of(turn_is_first: bool, eligible: int, random_share: float) -> float:
    """How likely a turn was to be begun where the most informative comes first, but for a share of draws.

    ``eligible`` counts the fresh turns that compete, at least 1. A share ``random_share`` of the draws is uniform over
    them; the others take the first one.
    """
    return random_share / eligible + (1 - random_share if turn_is_first else 0.0)
