"""When two rankings agree, and how far the annotators of a campaign do.

Every figure is computed on rank vectors and on the relations of pairs, never on orderings of names.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from annotation.abilities import Ability
from annotation.bootstrap import Estimate, FigureOf, divide, estimates_of_groups, ratio
from annotation.columns import Bools, Doubles, Floats, Ints, Small, Times
from annotation.ranking import Pair, Ranking

VALUES = (-1, 0, 1)
"""The ordinal scale of relations: worse < tie < better."""

COINCIDENCES = 10
"""The column of the tallies at which the nine coincidences of relations begin."""


def agree(first: Ranking, second: Ranking) -> bool:
    """Whether the outcome and all C(K, 2) relations of the two are the same."""
    return first.none_acceptable == second.none_acceptable and first.relations() == second.relations()


def contested_pairs(first: Ranking, second: Ranking) -> list[Pair]:
    """The pairs whose relations differ; all of them where only one of the two has an order."""
    ours, theirs = first.relations(), second.relations()
    return [pair for pair in sorted(ours.keys() | theirs.keys()) if ours.get(pair) != theirs.get(pair)]


class Statistic(enum.StrEnum):
    """The five ways in which two rankings are compared, and the one from which ceilings follow."""

    PAIRS = "pair_agreement"
    EXACT = "exact_agreement"
    BEST = "top1_agreement"
    TAU_B = "tau_b"
    ALPHA = "alpha"
    STRICT = "strict_agreement"


class Grouping(enum.StrEnum):
    """By what turns are taken together."""

    ANNOTATORS = "annotators"
    ABILITY = "ability"
    DEPARTMENT = "department"
    DEPTH = "depth"
    SOURCE = "source"
    WEEK = "week"
    GUIDELINE = "guideline"


def alpha(coincidences: Floats) -> Floats:
    """Krippendorff's alpha, ordinal, of coincidence matrices (..., V, V), V values in the order of their scale.

    Source: Krippendorff, Content Analysis (2004), 11.3: 1 - (n - 1) sum(o d2) / sum(n_c n_k d2), where d2 of two
    values is the square of all that lies between them, of the two themselves half. Undefined where all values are one.
    """
    marginal = coincidences.sum(axis=-1)
    up_to = np.cumsum(marginal, axis=-1) - marginal / 2
    distance = (up_to[..., :, None] - up_to[..., None, :]) ** 2
    expected = (marginal[..., :, None] * marginal[..., None, :] * distance).sum(axis=(-2, -1))
    observed = (coincidences * distance).sum(axis=(-2, -1))
    return np.asarray(1 - (marginal.sum(axis=-1) - 1) * divide(observed, expected))


def _alpha_of(sums: Floats) -> Floats:
    return alpha(sums[..., COINCIDENCES:].reshape(*sums.shape[:-1], len(VALUES), len(VALUES)))


FIGURES: dict[Statistic, FigureOf] = {
    Statistic.PAIRS: ratio(0, 1),
    Statistic.EXACT: ratio(2, 3),
    Statistic.BEST: ratio(4, 5),
    Statistic.TAU_B: ratio(6, 7),
    Statistic.ALPHA: _alpha_of,
    Statistic.STRICT: ratio(8, 9),
}
COUNTED = {
    Statistic.PAIRS: 1,
    Statistic.EXACT: 3,
    Statistic.BEST: 5,
    Statistic.TAU_B: 7,
    Statistic.ALPHA: 1,
    Statistic.STRICT: 9,
}
"""By which column of the tallies a turn counts for a statistic: where it is not 0."""


def tallies(doubles: Doubles, pairs: Bools | None = None) -> Floats:
    """What each turn adds to every statistic: (N, 10 + 9).

    In twos, a sum and its count: pairs with the same relation (a tie is a relation of its own); outcome and whole order
    the same; the best group the same; tau-b; pairs that are strict for both, with the same winner. Then the coincidence
    matrix of relations. ``pairs`` (N, P) restricts all that is counted by pairs to these; then the order and the best
    count only for turns with one of them, and tau-b is that of these pairs.
    """
    ours, theirs = doubles.relations[:, 0], doubles.relations[:, 1]
    counted: Bools = np.broadcast_to(doubles.ordered[:, None], ours.shape)
    touched: Bools = np.ones(len(ours), dtype=bool)
    if pairs is not None:
        counted, touched = counted & pairs, np.asarray(pairs.any(axis=1))
    same: Bools = np.asarray(ours == theirs)
    strict: Bools = (ours != 0) & (theirs != 0)
    both_order = doubles.ordered & touched
    root = np.sqrt((np.abs(ours) * counted).sum(axis=1) * (np.abs(theirs) * counted).sum(axis=1))
    tau = np.divide((ours * theirs * counted).sum(axis=1), root, out=np.zeros(len(ours)), where=root > 0)
    by_turn = [
        (same & counted).sum(axis=1),
        counted.sum(axis=1),
        touched & doubles.same_outcome & _same_order(doubles),
        touched,
        both_order & _same_best(doubles),
        both_order,
        tau,
        root > 0,
        (same & strict & counted).sum(axis=1),
        (strict & counted).sum(axis=1),
    ]
    return np.column_stack([*by_turn, *_coincidences(ours, theirs, counted)]).astype(float)


def _same_order(doubles: Doubles) -> Bools:
    """Whether every relation is the same; without an order on either side that is so as well."""
    judgements = doubles.judgements
    have = judgements.ordered[doubles.rows]
    return np.asarray((have[:, 0] == have[:, 1]) & (doubles.relations[:, 0] == doubles.relations[:, 1]).all(axis=1))


def _same_best(doubles: Doubles) -> Bools:
    best = doubles.judgements.ranks[doubles.rows] == 0
    return np.asarray((best[:, 0] == best[:, 1]).all(axis=1))


def _coincidences(ours: Small, theirs: Small, counted: Bools) -> list[Ints]:
    """For each two values how often a pair was given the one by one and the other by the other, counted both ways.

    Each pair is read from both of its responses, or the figure would hang on how the responses happen to be numbered.
    """
    mine, yours = ([(each == value) & counted for value in VALUES] for each in (ours, theirs))
    once = {(a, b): (mine[a] & yours[b]).sum(axis=1) for a, b in product(range(len(VALUES)), repeat=2)}
    last = len(VALUES) - 1
    return [once[a, b] + once[b, a] + once[last - a, last - b] + once[last - b, last - a] for a, b in once]


def agreement(
    doubles: Doubles, dialogues: int, rows: Ints | None = None, pairs: Bools | None = None
) -> dict[Statistic, Estimate]:
    """Every statistic over these turns, by default all. ``n`` counts turns; see ``tallies`` for ``pairs``."""
    table = tallies(doubles, pairs)
    chosen = np.arange(len(table)) if rows is None else rows
    [found] = summaries(table, doubles.dialogue, dialogues, [chosen])
    return found


def summaries(table: Floats, dialogue: Ints, dialogues: int, groups: Sequence[Ints]) -> list[dict[Statistic, Estimate]]:
    """Every statistic of each group of rows of these tallies, with its interval."""
    return estimates_of_groups(table, dialogue, dialogues, FIGURES, groups, _counts)


def pairs_alike(table: Floats, dialogue: Ints, dialogues: int, groups: Sequence[Ints]) -> list[Estimate]:
    """The agreement of pairs alone of each group of rows of these tallies, which is sooner there than all of them."""
    own: dict[Statistic, FigureOf] = {Statistic.PAIRS: FIGURES[Statistic.PAIRS]}
    found = estimates_of_groups(
        table[:, :2],
        dialogue,
        dialogues,
        own,
        groups,
        lambda each: {Statistic.PAIRS: int(np.count_nonzero(each[:, 1]))},
    )
    return [each[Statistic.PAIRS] for each in found]


def _counts(table: Floats) -> dict[Statistic, int]:
    counted = np.count_nonzero(table, axis=0)
    return {name: int(counted[column]) for name, column in COUNTED.items()}


def agreement_by(
    doubles: Doubles, dialogues: int, grouping: Grouping, table: Floats | None = None
) -> dict[Hashable, dict[Statistic, Estimate]]:
    """Every statistic for each group of turns; ``table`` are the tallies of all of them, where they are known.

    Abilities come by their priority, annotators and departments by their size, what has an order in that order.
    """
    if grouping is Grouping.ABILITY:
        return _by_ability(doubles, dialogues)
    rows = groups(doubles, grouping)
    known = tallies(doubles) if table is None else table
    found = dict(zip(rows, summaries(known, doubles.dialogue, dialogues, list(rows.values())), strict=True))
    if grouping in (Grouping.ANNOTATORS, Grouping.DEPARTMENT):
        return dict(sorted(found.items(), key=lambda group: -group[1][Statistic.EXACT].n))
    return found


def _by_ability(doubles: Doubles, dialogues: int) -> dict[Hashable, dict[Statistic, Estimate]]:
    """By what decides a pair for at least one of the two; abilities that never decide are left out."""
    found: dict[Hashable, dict[Statistic, Estimate]] = {}
    for ability in Ability:
        decided = decided_by(doubles, ability)
        rows = np.flatnonzero(decided.any(axis=1))
        if len(rows):
            found[ability] = agreement(doubles.of(rows), dialogues, pairs=decided[rows])
    return found


def decided_by(doubles: Doubles, ability: Ability) -> Bools:
    """The pairs between which this ability decides for at least one of the two: (N, P)."""
    return np.asarray((doubles.deciding == ability).any(axis=1) & doubles.ordered[:, None])


def groups(doubles: Doubles, grouping: Grouping) -> Mapping[Hashable, Ints]:
    """The rows of each group, the groups in their order. Weeks are named by their Monday, in UTC."""
    turn, turns = doubles.turn, doubles.turns
    keys: dict[Grouping, Callable[[], npt.NDArray[Any]]] = {
        Grouping.ANNOTATORS: lambda: doubles.annotators,
        Grouping.DEPARTMENT: lambda: turns.department[turn],
        Grouping.DEPTH: lambda: turns.depth[turn],
        Grouping.SOURCE: lambda: turns.source[turn],
        Grouping.WEEK: lambda: mondays(doubles.arrived),
        Grouping.GUIDELINE: lambda: np.sort(doubles.judgements.guideline[doubles.rows], axis=1),
    }
    names, member = np.unique(keys[grouping](), axis=0, return_inverse=True)
    order = np.argsort(member, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(member[order])) + 1)
    return {_key(name): part for name, part in zip(names, parts, strict=len(turn) > 0)}  # of nothing: one empty part


def mondays(times: Times) -> Times:
    """The Monday of each time's week, in UTC."""
    days = times.astype("datetime64[D]")
    return np.asarray(days - (days.astype(np.int64) + 3) % 7)  # 1970-01-01 was a Thursday


def _key(name: npt.NDArray[Any]) -> Hashable:
    found = name.tolist()
    return tuple(found) if isinstance(found, list) else found
