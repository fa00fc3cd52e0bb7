"""What a ranking is."""

from math import comb, factorial

import pytest

from annotation.abilities import Ability
from annotation.ranking import (
    BadRankingError,
    Boundary,
    Ranking,
    Relation,
    Strength,
    format_order,
    pairs_of,
    weak_orders,
)
from tests.material import parse_order


def test_d_over_b_equal_a_over_c_means_five_strict_pairs_and_one_tie() -> None:
    relations = Ranking(parse_order("D > B = A > C")).relations()
    a, b, c, d = range(4)
    assert relations == {
        (a, b): Relation.TIE,
        (a, c): Relation.BETTER,
        (a, d): Relation.WORSE,
        (b, c): Relation.BETTER,
        (b, d): Relation.WORSE,
        (c, d): Relation.WORSE,
    }


@pytest.mark.parametrize(("k", "with_ties"), [(2, 3), (3, 13), (4, 75), (5, 541)])
def test_there_are_as_many_weak_orders_as_fubini_numbers(k: int, with_ties: int) -> None:
    orders = list(weak_orders(k))
    assert len(orders) == len(set(orders)) == with_ties
    assert len(list(weak_orders(k, ties=False))) == factorial(k)


def test_three_deciding_abilities_explain_all_six_pairs_of_four() -> None:
    boundaries = tuple(Boundary(a) for a in (Ability.CLARITY, Ability.ACCURACY, Ability.WARM_TONE))
    ranking = Ranking(parse_order("C > A > D > B"), boundaries)
    a, b, c, d = range(4)
    assert {pair: ranking.deciding_ability(pair) for pair in pairs_of(4)} == {
        (a, c): Ability.CLARITY,
        (a, d): Ability.ACCURACY,
        (b, d): Ability.WARM_TONE,
        (c, d): Ability.ACCURACY,
        (a, b): Ability.ACCURACY,
        (b, c): Ability.ACCURACY,
    }


def test_a_pair_across_a_boundary_without_ability_has_no_deciding_ability() -> None:
    ranking = Ranking(parse_order("A > B > C"), (Boundary(Ability.ACCURACY), Boundary()))
    assert ranking.deciding_ability((0, 1)) is Ability.ACCURACY
    assert ranking.deciding_ability((0, 2)) is None


@pytest.mark.parametrize("order", list(weak_orders(4)), ids=format_order)
def test_all_75_weak_orders_of_four_survive_text_and_json(order: tuple[tuple[int, ...], ...]) -> None:
    boundaries = tuple(Boundary(Ability(i + 1), Strength.CLEAR) for i in range(len(order) - 1))
    ranking = Ranking(order, boundaries, {2: frozenset({Ability.SAFETY})})
    assert parse_order(format_order(ranking.groups)) == ranking.groups
    assert Ranking.from_json(ranking.to_json()) == ranking
    assert len(ranking.relations()) == comb(4, 2)


@pytest.mark.parametrize(
    ("groups", "boundaries"),
    [
        (((0,), (0,)), ()),
        (((0,), (2,)), ()),
        (((0,), ()), ()),
        (((0,),), ()),
        (tuple((r,) for r in range(6)), ()),
        ((), ()),
        (((0,), (1,)), (Boundary(), Boundary())),
    ],
    ids=["twice", "missing", "empty group", "one response", "six responses", "no order", "boundary too many"],
)
def test_a_ranking_that_cannot_be_is_refused(groups: tuple[tuple[int, ...], ...], boundaries: tuple[Boundary]) -> None:
    with pytest.raises(BadRankingError):
        Ranking(groups, boundaries)


def test_none_acceptable_may_come_without_an_order() -> None:
    ranking = Ranking((), none_acceptable=True)
    assert not ranking.has_order
    assert ranking.relations() == {}
    assert Ranking.from_json(ranking.to_json()) == ranking
