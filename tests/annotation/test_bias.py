"""Position, length and the pull of the suggestion, on rankings built so that the figures are known."""

from itertools import permutations, product

import numpy as np
import pytest

from annotation import adjudication
from annotation.adjudication import Case
from annotation.bias import (
    Verdicts,
    anchoring,
    first_place_by_position,
    first_place_of_the_first,
    length,
    length_by_annotator,
    suggestions,
)
from annotation.ranking import Ranking, Relation, pairs_of, weak_orders
from annotation.upheld import upheld
from tests.annotation.columns import Double, doubles
from tests.material import parse_order, ranked

ABCD, DCBA = ranked("A > B > C > D"), ranked("D > C > B > A")
SIGN = {None: 0, Relation.BETTER: 1, Relation.WORSE: -1}


def test_over_all_orders_of_the_screen_each_position_comes_first_equally_often() -> None:
    turns = [Double(ABCD, DCBA, shown=(order, order)) for order in permutations(range(4))]
    found = first_place_by_position(doubles(turns).judgements, len(turns))
    assert [each.share.value for each in found] == [0.25] * 4
    assert [each.p for each in found] == [1.0] * 4


def test_who_always_prefers_what_is_shown_first_stands_out() -> None:
    # 16 rankings, all 16 first: 12 above the 4 of chance, whose deviation is sqrt(16 * 3/16) = 1.732.
    turns = [Double(ABCD, ABCD, annotators=(1, 2), shown=((0, 1, 2, 3), (3, 2, 1, 0)))] * 16
    found = first_place_of_the_first(doubles([t.but(dialogue=i) for i, t in enumerate(turns)]).judgements, 16)
    assert found[1].share.value == 1.0
    assert found[1].p == pytest.approx(4.26e-12, rel=0.01)  # 12 / 1.732 = 6.93 standard deviations
    assert found[2].share.value == 0.0


def test_a_shared_first_place_counts_by_its_share() -> None:
    tied = Ranking(parse_order("A = B > C > D"))
    found = first_place_by_position(doubles([Double(tied, tied, shown=((2, 0, 1, 3), (1, 2, 3, 0)))]).judgements, 1)
    assert [each.share.value for each in found] == [0.25, 0.25, 0.25, 0.25]


def test_where_all_are_tied_nothing_is_tested() -> None:
    tied = Ranking(parse_order("A = B = C = D"))
    found = first_place_by_position(doubles([Double(tied, tied)]).judgements, 1)
    assert [(each.share.value, each.p) for each in found] == [(0.25, None)] * 4


def test_the_longer_of_each_strict_pair_wins_or_does_not() -> None:
    # A is longest, B and C are equal and drop out: A > B, A > C, A > D, B > D, C > D go one way, all 5 to the longer.
    lengths = np.array([[400, 200, 200, 100]])
    found = length_by_annotator(doubles([Double(ABCD, DCBA)]).judgements, lengths, 1)
    assert (found[1].longer_wins.value, found[1].longer_wins.n) == (1.0, 5)
    assert found[2].longer_wins.value == 0.0
    # ln 2, ln 2, ln 4, ln 2, ln 2: in the mean 6/5 ln 2.
    assert found[1].log_ratio.value == pytest.approx(1.2 * np.log(2))
    assert found[2].log_ratio.value == pytest.approx(-1.2 * np.log(2))


def test_ties_and_responses_without_text_say_nothing_about_length() -> None:
    tied = Ranking(parse_order("A = B > C = D"))
    found = length(doubles([Double(tied, tied)]).judgements, np.array([[9, 8, 7, 0]]), 1)
    assert (found.longer_wins.value, found.longer_wins.n) == (1.0, 4)  # A > C and B > C, by each of the two


def test_the_suggestions_in_columns_are_those_of_the_rule() -> None:
    orders, rng = list(weak_orders(4)), np.random.default_rng(3)
    for first, second in product(orders[::6], orders[::5]):
        a, b = ([int(x) or None for x in rng.integers(0, 4, size=3)] for _ in range(2))
        one = Ranking(first, ranked("A > B > C > D", *a).boundaries[: len(first) - 1])
        other = Ranking(second, ranked("A > B > C > D", *b).boundaries[: len(second) - 1])
        expected = [SIGN[adjudication.suggestion(Case(4, one, other), pair)] for pair in pairs_of(4)]
        assert suggestions(doubles([Double(one, other)]))[0].tolist() == expected


def closed(*rows: tuple[int, int, int, bool, bool]) -> Verdicts:
    """Verdicts by adjudicator 9: the turn's row, the pair, the relation, whether asked, whether hidden."""
    columns = np.array(rows, dtype=np.int64).reshape(-1, 5)
    return Verdicts(
        row=columns[:, 0],
        pair=columns[:, 1],
        relation=columns[:, 2].astype(np.int8),
        asked=columns[:, 3] == 1,
        hidden=columns[:, 4] == 1,
        adjudicator=np.full(len(columns), 9),
    )


# On A and B accuracy speaks for A, warm tone for B: the rule suggests A.
TORN = Double(ranked("A > B > C > D", 1, 1, 1), ranked("B > A > C > D", 9, 1, 1))
DISPUTE = Double(ranked("A > B > C > D", 1, 1, 1), ranked("B > A > C > D", 1, 1, 1))


def test_the_pull_is_how_much_more_often_a_suggestion_is_taken_where_it_is_shown() -> None:
    columns = doubles([TORN] * 4 + [DISPUTE])
    verdicts = closed((0, 0, 1, 1, 0), (1, 0, 1, 1, 0), (2, 0, 1, 1, 1), (3, 0, -1, 1, 1), (4, 0, 1, 1, 0))
    found = anchoring(verdicts, columns, 5)
    assert (found.shown.value, found.shown.n) == (1.0, 2)  # the dispute of fact has no suggestion to take
    assert (found.hidden.value, found.hidden.n) == (0.5, 2)
    assert (found.difference.value, found.difference.n) == (0.5, 4)


def test_a_pair_that_followed_is_no_answer() -> None:
    assert anchoring(closed((0, 0, 1, 0, 0)), doubles([TORN]), 1).shown.value is None


def test_an_annotator_is_upheld_by_the_ability_that_they_named() -> None:
    share, found = upheld(closed((0, 0, 1, 1, 0), (1, 0, 1, 1, 0), (2, 0, -1, 1, 0)), doubles([TORN] * 3))
    assert share == 0.5  # of six relations three were kept
    assert (found[1, 1].raw, found[1, 1].n, found[1, 1].few) == (pytest.approx(2 / 3), 3, True)
    assert found[2, 9].raw == pytest.approx(1 / 3)
    assert found[1, 0].raw == found[1, 1].raw
    assert found[1, 1].shrunken == pytest.approx(12 / 23)  # 2 of 3 pairs, and 10 of the 20 that are added


def test_a_tie_is_neither_upheld_nor_overturned() -> None:
    tied = Double(ranked("A = B > C > D", 1, 1), ranked("B > A > C > D", 9, 1, 1))
    _, found = upheld(closed((0, 0, -1, 1, 0)), doubles([tied]))
    assert set(found) == {(2, 0), (2, 9)}
