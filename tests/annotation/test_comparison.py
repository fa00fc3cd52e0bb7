"""Rankings set against each other, and what a calibration round shows of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.abilities import Ability
from annotation.agreement import Grouping, Statistic, agree, agreement_by
from annotation.calibration import Said, each_two, said_of, spoken_of
from annotation.comparison import Comparison, _doubles, figures
from annotation.ranking import Ranking, weak_orders
from tests.material import ranked

ORDERS = [Ranking(order) for order in weak_orders(4)]


@given(st.lists(st.tuples(st.sampled_from(ORDERS), st.sampled_from(ORDERS)), min_size=1, max_size=12))
def test_compared_rankings_agree_as_often_as_the_rule_says(pairs: list[tuple[Ranking, Ranking]]) -> None:
    found = figures([Comparison(i, *both) for i, both in enumerate(pairs)], 4)
    alike = sum(agree(*both) for both in pairs)
    same = sum(r is s.relations()[p] for f, s in pairs for p, r in f.relations().items())
    assert found[Statistic.EXACT].value == pytest.approx(alike / len(pairs))
    assert found[Statistic.PAIRS].value == pytest.approx(same / (6 * len(pairs)))


def test_of_nothing_there_are_no_figures_and_no_groups() -> None:
    assert {estimate.value for estimate in figures([], 4).values()} == {None}
    assert all(agreement_by(_doubles([], 4), 0, grouping) == {} for grouping in Grouping)


def test_three_doctors_are_three_comparisons_and_one_is_none() -> None:
    a, b, c = (ranked(order) for order in ("A > B", "B > A", "A = B"))
    assert [(x.first, x.second) for x in each_two("d", {3: c, 1: a, 2: b})] == [(a, b), (a, c), (b, c)]
    assert each_two("d", {1: a}) == []


def test_what_is_said_of_an_ability_is_where_it_decides_and_who_lacks_it() -> None:
    ranking = ranked("D > B = A > C", 1, 9, C=9)
    assert said_of(ranking, Ability.ACCURACY).decides == (((3,), (0, 1)),)
    assert said_of(ranking, Ability.WARM_TONE) == Said(decides=(((0, 1), (2,)),), marked=(2,))
    assert spoken_of({1: ranking, 2: ranked("A > B > C > D", 4, 4, 4)}) == [1, 4, 9]
