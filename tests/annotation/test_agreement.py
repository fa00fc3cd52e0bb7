"""When two rankings agree, and the figures of agreement against obvious ones."""

import json
from itertools import combinations, product
from pathlib import Path

import krippendorff
import numpy as np
import pytest

from annotation.agreement import (
    MEANS,
    DoubleRanking,
    agree,
    alpha_of_relations,
    contested_pairs,
    mean_over_turns,
    pair_agreement_by,
    pair_agreement_by_ability,
    summary,
)
from annotation.ranking import Ranking, Relation, parse_order, weak_orders
from tests.material import ranked

ORDERS = [Ranking(order) for order in weak_orders(4)]
EVERY_TWO = [DoubleRanking(i, a, b) for i, (a, b) in enumerate(product(ORDERS, ORDERS))]
PANDALM = Path(__file__).parents[3] / "shared" / "data" / "pandalm_three_annotators.json"


def test_two_rankings_agree_only_if_every_relation_is_the_same() -> None:
    assert [agree(t.first, t.second) for t in EVERY_TWO].count(True) == 75
    assert not agree(Ranking((), none_acceptable=True), Ranking(parse_order("A > B")))
    assert agree(Ranking((), none_acceptable=True), Ranking((), none_acceptable=True))


def test_an_outcome_that_differs_is_a_disagreement_though_the_orders_agree() -> None:
    order = parse_order("A > B")
    assert not agree(Ranking(order), Ranking(order, none_acceptable=True))


def test_only_the_pairs_that_differ_are_contested() -> None:
    first, second = Ranking(parse_order("D > B > A > C")), Ranking(parse_order("D > A > B > C"))
    assert contested_pairs(first, second) == [(0, 1)]
    assert len(contested_pairs(first, Ranking((), none_acceptable=True))) == 6


def pair_agreement_by_hand(turn: DoubleRanking) -> float:
    same = 0
    for i, j in combinations(range(4), 2):
        ours = np.sign(turn.first.ranks()[i] - turn.first.ranks()[j])
        same += ours == np.sign(turn.second.ranks()[i] - turn.second.ranks()[j])
    return same / 6


def tau_b_by_hand(turn: DoubleRanking) -> float | None:
    """Kendall (1945): concordant minus discordant over the root of the pairs untied in each."""
    x, y = turn.first.ranks(), turn.second.ranks()
    signs = [(np.sign(x[i] - x[j]), np.sign(y[i] - y[j])) for i, j in combinations(range(4), 2)]
    untied = sum(a != 0 for a, _ in signs) * sum(b != 0 for _, b in signs)
    return sum(a * b for a, b in signs) / untied**0.5 if untied else None


def test_pair_agreement_and_tau_b_equal_a_hand_made_computation_on_all_75_by_75_rankings() -> None:
    for turn in EVERY_TWO:
        same, of = MEANS["pair_agreement"](turn)
        assert same / of == pytest.approx(pair_agreement_by_hand(turn))
        tau, defined = MEANS["tau_b"](turn)
        by_hand = tau_b_by_hand(turn)
        assert (None if not defined else tau) == (None if by_hand is None else pytest.approx(by_hand))


def alpha_by_hand(columns: tuple[list[int], list[int]]) -> float:
    """Ordinal alpha from the coincidence matrix, as Krippendorff (2004, 11.3) writes it."""
    values = sorted({*columns[0], *columns[1]})
    o = np.zeros((len(values), len(values)))
    for a, b in zip(*columns, strict=True):
        o[values.index(a), values.index(b)] += 1
        o[values.index(b), values.index(a)] += 1
    n_c = o.sum(axis=0)
    delta = np.array(
        [
            [(n_c[min(c, k) : max(c, k) + 1].sum() - (n_c[c] + n_c[k]) / 2) ** 2 for k in range(len(n_c))]
            for c in range(len(n_c))
        ]
    )
    return float(1 - (n_c.sum() - 1) * (o * delta).sum() / (np.outer(n_c, n_c) * delta).sum())


def test_alpha_equals_the_coincidence_formula() -> None:
    turns = EVERY_TWO[::7]
    scale = {Relation.WORSE: 0, Relation.TIE: 1, Relation.BETTER: 2}
    columns = (
        [scale[r] for t in turns for r in t.first.relations().values()],
        [scale[r] for t in turns for r in t.second.relations().values()],
    )
    assert alpha_of_relations(turns, resamples=2).value == pytest.approx(alpha_by_hand(columns))


def test_the_interval_resamples_dialogues_and_not_turns() -> None:
    same, other = Ranking(parse_order("A > B")), Ranking(parse_order("B > A"))
    alike = [DoubleRanking("one", same, same)] * 50
    apart = [DoubleRanking("two", same, other)] * 50
    found = mean_over_turns(MEANS["pair_agreement"], alike + apart)
    assert (found.value, found.low, found.high, found.n) == (0.5, 0.0, 1.0, 100)


def test_without_turns_every_figure_is_undefined() -> None:
    assert {figure.value for figure in summary([]).values()} == {None}


def test_rankings_without_an_order_count_for_the_outcome_only() -> None:
    none = Ranking((), none_acceptable=True)
    found = summary([DoubleRanking(1, none, none), DoubleRanking(2, none, Ranking(parse_order("A > B")))])
    assert found["exact_agreement"].value == 0.5
    assert found["pair_agreement"].value is None


def test_the_figures_reproduce_a_direct_computation_on_three_human_annotators() -> None:
    if not PANDALM.exists():
        pytest.skip(f"{PANDALM.name} is not here")
    rows = json.loads(PANDALM.read_text(encoding="utf-8"))
    verdicts = {0: "A = B", 1: "A > B", 2: "B > A"}
    turns = [
        DoubleRanking(row["idx"], Ranking(parse_order(verdicts[row[a]])), Ranking(parse_order(verdicts[row[b]])))
        for row in rows
        for a, b in combinations(("annotator1", "annotator2", "annotator3"), 2)
    ]
    direct = np.mean(
        [row[a] == row[b] for row in rows for a, b in combinations(("annotator1", "annotator2", "annotator3"), 2)]
    )
    assert mean_over_turns(MEANS["pair_agreement"], turns).value == pytest.approx(direct)
    ordinal = np.array([[{2: 0, 0: 1, 1: 2}[row[f"annotator{i}"]] for row in rows] for i in (1, 2)])
    two = [t for i, t in enumerate(turns) if i % 3 == 0]
    expected = krippendorff.alpha(reliability_data=ordinal, level_of_measurement="ordinal")
    assert alpha_of_relations(two, resamples=2).value == pytest.approx(expected)


def test_agreement_by_group_counts_each_group_alone() -> None:
    same = DoubleRanking("d1", ranked("A > B > C > D"), ranked("A > B > C > D"))
    opposite = DoubleRanking("d2", ranked("A > B > C > D"), ranked("D > C > B > A"))
    found = pair_agreement_by([("儿科", same), ("儿科", opposite), ("内科", same)])
    assert [(key, each.value, each.n) for key, each in found.items()] == [("儿科", 0.5, 2), ("内科", 1.0, 1)]


def test_agreement_by_ability_counts_the_pairs_that_it_decides_for_one_of_the_two() -> None:
    # One lets accuracy decide A over C and B over C and warm tone A over B; the other ties A and B.
    turn = DoubleRanking("d", ranked("A > B > C", 9, 1), ranked("A = B > C", 1))
    found = pair_agreement_by_ability([turn])
    assert {ability.value: each.value for ability, each in found.items()} == {1: 1.0, 9: 0.0}
