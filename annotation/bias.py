"""What should not matter and may: where a response stood on the screen, how long it is, what the rule suggested."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from annotation.bootstrap import Estimate, FigureOf, divide, estimates, estimates_of_groups, ratio
from annotation.columns import Bools, Doubles, Floats, Ints, Judgements, Small
from annotation.ranking import pairs_of


@dataclass(frozen=True)
class Tested:
    """A share with its interval, and how likely one at least as far from chance is by chance alone."""

    share: Estimate
    p: float | None


def first_place_by_position(judgements: Judgements, dialogues: int, rows: Ints | None = None) -> list[Tested]:
    """How often the response shown at each position came first, of rankings with an order; 1/K by chance.

    Where m share the first place each of them counts 1/m. Positions are drawn for every annotator and turn, so chance
    is known exactly: of a ranking with m at the top the count has mean 1/K and variance 1/(mK) - 1/K^2.
    """
    chosen = _ordered(judgements, rows)
    [found] = _first_places(judgements, dialogues, [chosen], range(judgements.k))
    return found


def first_place_of_the_first(judgements: Judgements, dialogues: int) -> dict[int, Tested]:
    """How often each annotator put first what they were shown first."""
    groups = _ordered_by_annotator(judgements)
    found = _first_places(judgements, dialogues, list(groups.values()), (0,))
    return {annotator: first for annotator, [first] in zip(groups, found, strict=True)}


def _first_places(
    judgements: Judgements, dialogues: int, groups: Sequence[Ints], positions: Sequence[int]
) -> list[list[Tested]]:
    """For each group of rankings, all with an order, and each of these positions."""
    k = judgements.k
    best = (judgements.ranks == 0).astype(float)
    shared_by = np.maximum(best.sum(axis=1), 1)
    credit = np.take_along_axis(best, judgements.shown.astype(np.int64), axis=1) / shared_by[:, None]
    variance = 1 / (shared_by * k) - 1 / k**2
    table = np.column_stack([credit, np.ones(len(credit))])
    figures: dict[int, FigureOf] = {position: ratio(position, k) for position in positions}
    shares = estimates_of_groups(
        table, judgements.dialogue, dialogues, figures, groups, lambda own: dict.fromkeys(figures, len(own))
    )
    away = [credit[rows].sum(axis=0) - len(rows) / k for rows in groups]
    return [
        [Tested(found[i], _p_value(float(away[number][i]), float(variance[rows].sum()))) for i in positions]
        for number, (rows, found) in enumerate(zip(groups, shares, strict=True))
    ]


def _p_value(away: float, variance: float) -> float | None:
    """Two-sided, by the normal approximation of a sum of independent counts."""
    return math.erfc(abs(away) / math.sqrt(2 * variance)) if variance > 0 else None


@dataclass(frozen=True)
class Length:
    """How often the longer response wins, and by what factor winners are longer (as a mean logarithm of it)."""

    longer_wins: Estimate
    log_ratio: Estimate


def length(judgements: Judgements, lengths: Ints, dialogues: int, rows: Ints | None = None) -> Length:
    """Over the pairs that somebody ranked strictly and whose lengths differ.

    ``lengths`` (T, K) in characters, by turn; a response without a text is left out. n counts such pairs.
    """
    [found] = _lengths(judgements, lengths, dialogues, [_ordered(judgements, rows)])
    return found


def length_by_annotator(judgements: Judgements, lengths: Ints, dialogues: int) -> dict[int, Length]:
    """The same for each annotator."""
    groups = _ordered_by_annotator(judgements)
    return dict(zip(groups, _lengths(judgements, lengths, dialogues, list(groups.values())), strict=True))


def _lengths(judgements: Judgements, lengths: Ints, dialogues: int, groups: Sequence[Ints]) -> list[Length]:
    first, second = np.array(pairs_of(judgements.k)).T
    logs = np.log(np.maximum(lengths, 1))
    comparable = (lengths[:, first] > 0) & (lengths[:, second] > 0) & (lengths[:, first] != lengths[:, second])
    counted = (judgements.relations != 0) & comparable[judgements.turn]
    gain = (logs[:, first] - logs[:, second])[judgements.turn] * judgements.relations
    table = np.column_stack(
        [((gain > 0) & counted).sum(axis=1), (gain * counted).sum(axis=1), counted.sum(axis=1)]
    ).astype(float)
    figures: dict[str, FigureOf] = {"wins": ratio(0, 2), "log": ratio(1, 2)}
    found = estimates_of_groups(
        table, judgements.dialogue, dialogues, figures, groups, lambda own: dict.fromkeys(figures, int(own[:, 2].sum()))
    )
    return [Length(each["wins"], each["log"]) for each in found]


def by_annotator(judgements: Judgements) -> dict[int, Ints]:
    """The rows of each annotator."""
    return {int(each): np.flatnonzero(judgements.annotator == each) for each in np.unique(judgements.annotator)}


def _ordered(judgements: Judgements, rows: Ints | None) -> Ints:
    return np.flatnonzero(judgements.ordered) if rows is None else rows[judgements.ordered[rows]]


def _ordered_by_annotator(judgements: Judgements) -> dict[int, Ints]:
    return {annotator: _ordered(judgements, rows) for annotator, rows in by_annotator(judgements).items()}


@dataclass(frozen=True)
class Verdicts:
    """One row a contested pair that a third expert closed: V rows.

    ``row`` is the turn's row in the doubles, ``pair`` the position in ``pairs_of``, ``relation`` 1, 0 or -1 as there.
    ``asked`` where the adjudicator answered it rather than it following; ``hidden`` where the suggestion was kept back.
    """

    row: Ints
    pair: Ints
    relation: Small
    asked: Bools
    hidden: Bools
    adjudicator: Ints


@dataclass(frozen=True)
class Anchoring:
    """How often adjudicators answer as the rule suggests, where they saw that and where it was kept back."""

    shown: Estimate
    hidden: Estimate
    difference: Estimate


def suggestions(doubles: Doubles) -> Small:
    """The rule's suggestion for every pair as a relation, 0 where it makes none: (N, P).

    As ``annotation.adjudication.suggestion`` says: opposite strict relations, and of two different deciding abilities
    the more important one wins.
    """
    ours, theirs = doubles.relations[:, 0], doubles.relations[:, 1]
    our, their = doubles.deciding[:, 0], doubles.deciding[:, 1]
    made = (ours * theirs == -1) & (our > 0) & (their > 0) & (our != their)
    return np.where(made, np.where(our < their, ours, theirs), 0).astype(np.int8)


def anchoring(verdicts: Verdicts, doubles: Doubles, dialogues: int, rows: Bools | None = None) -> Anchoring:
    """The take rates over the answered pairs for which the rule suggests something; n counts such answers."""
    suggested = suggestions(doubles)[verdicts.row, verdicts.pair]
    counted = verdicts.asked & (suggested != 0)
    if rows is not None:
        counted = counted & rows
    taken = (verdicts.relation == suggested)[counted]
    hidden = verdicts.hidden[counted]
    table = np.column_stack([taken & ~hidden, ~hidden, taken & hidden, hidden]).astype(float)
    figures: dict[str, FigureOf] = {"shown": ratio(0, 1), "hidden": ratio(2, 3), "difference": _difference}
    of_shown, of_hidden = int(table[:, 1].sum()), int(table[:, 3].sum())
    counts: dict[str, int] = {"shown": of_shown, "hidden": of_hidden, "difference": of_shown + of_hidden}
    found = estimates(table, doubles.dialogue[verdicts.row[counted]], dialogues, figures, counts)
    return Anchoring(found["shown"], found["hidden"], found["difference"])


def _difference(sums: Floats) -> Floats:
    return divide(sums[..., 0], sums[..., 1]) - divide(sums[..., 2], sums[..., 3])
