"""The more important ability decides: how fault marks must fit the order."""

from itertools import combinations, product

import pytest

from annotation.abilities import Ability, Contradiction, Dimension, Fault, contradictions
from annotation.mending import mend, mend_all
from annotation.ranking import Boundary, Ranking, Relation, weak_orders
from tests.material import parse_order

ACCURACY, SAFETY, WARM = Ability.ACCURACY, Ability.SAFETY, Ability.WARM_TONE


def ranked(order: str, *abilities: Ability | None, **marks: Ability) -> Ranking:
    """``ranked("A > B", WARM, A=ACCURACY)`` marks one fault on A."""
    return Ranking(
        parse_order(order),
        tuple(map(Boundary, abilities)),
        {"ABCD".index(k): frozenset({v}) for k, v in marks.items()},
    )


def test_the_nine_abilities_form_three_dimensions_of_three() -> None:
    assert [a.dimension for a in Ability] == [d for d in Dimension for _ in range(3)]


def test_a_fault_in_a_more_important_ability_on_the_upper_one_is_a_contradiction() -> None:
    found = contradictions(ranked("C > A > B", WARM, WARM, C=ACCURACY))
    assert found == [Contradiction(Fault.UPPER_IS_MARKED, 2, 0, ACCURACY, WARM)]


def test_a_fault_in_the_deciding_ability_on_the_upper_one_is_a_contradiction() -> None:
    assert [c.fault for c in contradictions(ranked("A > B", SAFETY, A=SAFETY))] == [Fault.UPPER_IS_MARKED]


def test_a_more_important_fault_on_the_lower_one_must_decide() -> None:
    found = contradictions(ranked("A > B", WARM, B=ACCURACY))
    assert found == [Contradiction(Fault.MARK_MUST_DECIDE, 0, 1, ACCURACY, WARM)]


@pytest.mark.parametrize(
    "ranking",
    [
        ranked("A > B", ACCURACY, B=ACCURACY),
        ranked("A > B", ACCURACY, A=WARM),
        ranked("A > B", WARM, A=ACCURACY, B=ACCURACY),
        ranked("A > B", None, A=ACCURACY),
        ranked("A = B", A=WARM, B=WARM),
    ],
    ids=["mark decides", "lesser fault above", "both have it", "nothing named yet", "tie with equal marks"],
)
def test_marks_that_fit_the_order_are_no_contradiction(ranking: Ranking) -> None:
    assert contradictions(ranking) == []


def test_tied_responses_carry_equal_marks() -> None:
    found = contradictions(ranked("A = B > C", WARM, B=SAFETY))
    assert found[0] == Contradiction(Fault.TIED_BUT_MARKED_DIFFERENTLY, 0, 1, SAFETY, None)


def every_marked_ranking() -> list[Ranking]:
    """All weak orders of three with every deciding ability and mark drawn from two abilities."""
    few = (SAFETY, WARM)
    sets = [frozenset(s) for n in range(3) for s in combinations(few, n)]
    return [
        Ranking(order, tuple(map(Boundary, abilities)), dict(enumerate(marks)))
        for order in weak_orders(3)
        for abilities in product(few, repeat=len(order) - 1)
        for marks in product(sets, repeat=3)
    ]


def contradicts_by_definition(ranking: Ranking) -> bool:
    """The rule read for every two responses, not only for neighbours."""
    for pair, relation in ranking.relations().items():
        upper, lower = pair if relation is not Relation.WORSE else pair[::-1]
        differing = ranking.marks_of(upper) ^ ranking.marks_of(lower)
        if not differing:
            continue
        decisive = min(differing)
        if relation is Relation.TIE:
            return True
        decided_by = ranking.deciding_ability(pair)
        assert decided_by is not None
        if decisive in ranking.marks_of(upper) and decisive <= decided_by:
            return True
        if decisive in ranking.marks_of(lower) and decisive < decided_by:
            return True
    return False


def test_checking_neighbours_finds_exactly_the_rankings_that_checking_all_pairs_finds() -> None:
    rankings = every_marked_ranking()
    verdicts = {contradicts_by_definition(ranking) for ranking in rankings}
    assert verdicts == {True, False}
    for ranking in rankings:
        assert bool(contradictions(ranking)) == contradicts_by_definition(ranking), ranking


def test_the_mend_moves_the_marked_response_below_and_names_what_decides() -> None:
    ranking = ranked("C > A > B", WARM, None, C=ACCURACY)
    mended = mend(ranking, contradictions(ranking)[0])
    assert mended == Ranking(parse_order("A > C > B"), (Boundary(ACCURACY), Boundary()), ranking.marks)


def test_a_marked_response_sinks_below_whatever_is_surpassed_by_less_than_its_fault() -> None:
    ranking = ranked("C > A > B", WARM, SAFETY, C=ACCURACY)  # A and B are equal in accuracy, or that would decide
    assert mend(ranking, contradictions(ranking)[0]) == ranked("A > B > C", SAFETY, ACCURACY, C=ACCURACY)


def test_a_marked_response_stays_above_what_is_surpassed_by_more_than_its_fault() -> None:
    ranking = ranked("C > A > B", WARM, ACCURACY, C=SAFETY)
    assert mend(ranking, contradictions(ranking)[0]) == ranked("A > C > B", SAFETY, ACCURACY, C=SAFETY)


def test_a_marked_response_stays_above_one_with_the_same_fault() -> None:
    ranking = Ranking(parse_order("C > A > B"), ranked("C > A > B", WARM, SAFETY).boundaries,
                      {2: frozenset({ACCURACY}), 1: frozenset({ACCURACY})})  # fmt: skip
    mended = mend(ranking, contradictions(ranking)[0])
    assert (mended.groups, mended.boundaries) == (parse_order("A > C > B"), (Boundary(ACCURACY), Boundary()))


def test_the_mend_of_a_fault_that_must_decide_keeps_the_order() -> None:
    ranking = ranked("A > B", WARM, B=ACCURACY)
    assert mend(ranking, contradictions(ranking)[0]) == ranked("A > B", ACCURACY, B=ACCURACY)


def test_the_mend_of_a_tie_takes_the_marked_response_out_of_it() -> None:
    ranking = ranked("A = B > C", WARM, A=SAFETY)
    mended = mend(ranking, contradictions(ranking)[0])
    assert mended == Ranking(parse_order("B > A > C"), (Boundary(SAFETY), Boundary()), ranking.marks)


def test_mending_again_and_again_ends_without_contradiction() -> None:
    for ranking in every_marked_ranking():
        assert contradictions(mend_all(ranking)) == [], ranking
