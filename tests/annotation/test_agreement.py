"""When two rankings agree, and the figures of agreement against obvious ones."""

import json
from collections import Counter
from collections.abc import Sequence
from itertools import combinations, permutations, product
from pathlib import Path

import krippendorff
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from annotation.abilities import Ability
from annotation.agreement import Grouping, Statistic, agree, agreement, agreement_by, contested_pairs, tallies
from annotation.ranking import Ranking, format_order, weak_orders
from tests.annotation.columns import Double, doubles
from tests.material import parse_order, ranked

ORDERS = [Ranking(order) for order in weak_orders(4)]
EVERY_TWO = list(product(ORDERS, ORDERS))
PANDALM = Path(__file__).parents[3] / "shared" / "data" / "pandalm_three_annotators.json"


def test_two_rankings_agree_only_if_every_relation_is_the_same() -> None:
    assert [agree(first, second) for first, second in EVERY_TWO].count(True) == 75
    assert not agree(Ranking((), none_acceptable=True), Ranking(parse_order("A > B")))
    assert agree(Ranking((), none_acceptable=True), Ranking((), none_acceptable=True))


def test_an_outcome_that_differs_is_a_disagreement_though_the_orders_agree() -> None:
    order = parse_order("A > B")
    assert not agree(Ranking(order), Ranking(order, none_acceptable=True))


def test_only_the_pairs_that_differ_are_contested() -> None:
    first, second = Ranking(parse_order("D > B > A > C")), Ranking(parse_order("D > A > B > C"))
    assert contested_pairs(first, second) == [(0, 1)]
    assert len(contested_pairs(first, Ranking((), none_acceptable=True))) == 6


def place_of(response: int, ranking: Ranking) -> int:
    """In which group a response stands, by looking for it."""
    return next(i for i, group in enumerate(ranking.groups) if response in group)


def judged(ranking: Ranking, i: int, j: int) -> str:
    """What a ranking says about two responses, in a word."""
    if place_of(i, ranking) == place_of(j, ranking):
        return "tie"
    return "better" if place_of(i, ranking) < place_of(j, ranking) else "worse"


def by_hand(first: Ranking, second: Ranking) -> dict[Statistic, float | None]:
    """The figures of one turn, from the words for its six pairs."""
    words = [(judged(first, i, j), judged(second, i, j)) for i, j in combinations(range(4), 2)]
    strict = [a == b for a, b in words if "tie" not in (a, b)]
    concordant = sum(a == b for a, b in words if "tie" not in (a, b))
    discordant = len(strict) - concordant
    untied = sum(a != "tie" for a, _ in words) * sum(b != "tie" for _, b in words)
    return {
        Statistic.PAIRS: sum(a == b for a, b in words) / 6,
        Statistic.EXACT: float(first.groups == second.groups),
        Statistic.BEST: float(set(first.groups[0]) == set(second.groups[0])),
        Statistic.TAU_B: (concordant - discordant) / untied**0.5 if untied else None,
        Statistic.STRICT: sum(strict) / len(strict) if strict else None,
        Statistic.ALPHA: alpha_by_hand(words),
    }


def alpha_by_hand(words: Sequence[tuple[str, str]]) -> float | None:
    """Ordinal alpha: 1 - observed / expected, by going through all values that were paired and could have been.

    Krippendorff (2004), 11.3: the distance of two values is the square of what lies between them, ends by half.
    """
    turned = {"better": "worse", "tie": "tie", "worse": "better"}  # each pair is read from both of its responses
    words = [*words, *((turned[a], turned[b]) for a, b in words)]
    given = Counter(word for pair in words for word in pair)
    if len(given) < 2:
        return None
    scale = ["worse", "tie", "better"]

    def distance(a: str, b: str) -> float:
        low, high = sorted((scale.index(a), scale.index(b)))
        return (sum(given[word] for word in scale[low : high + 1]) - (given[a] + given[b]) / 2) ** 2

    every = [word for pair in words for word in pair]
    observed = sum(distance(a, b) for a, b in words) / len(words)
    expected = sum(distance(every[i], every[j]) for i, j in combinations(range(len(every)), 2))
    return 1 - observed / (expected / (len(every) * (len(every) - 1) / 2))


def test_every_statistic_equals_a_brute_force_one_on_all_75_by_75_rankings() -> None:
    for i, (first, second) in enumerate(EVERY_TWO):
        found = agreement(doubles([Double(first, second)]), 1)
        for statistic, expected in by_hand(first, second).items():
            assert found[statistic].value == (None if expected is None else pytest.approx(expected)), (i, statistic)


def test_the_figures_of_many_turns_are_what_their_pairs_turns_and_taus_amount_to() -> None:
    found = agreement(doubles([Double(*both) for both in EVERY_TWO]), len(EVERY_TWO))
    each = [by_hand(*both) for both in EVERY_TWO]
    for statistic in (Statistic.PAIRS, Statistic.EXACT, Statistic.BEST, Statistic.TAU_B):
        defined = [figures[statistic] for figures in each if figures[statistic] is not None]
        assert found[statistic].value == pytest.approx(np.mean(defined))
        assert found[statistic].n == len(defined)
    words = [(judged(a, i, j), judged(b, i, j)) for a, b in EVERY_TWO[::97] for i, j in combinations(range(4), 2)]
    some = agreement(doubles([Double(*both) for both in EVERY_TWO[::97]]), 58)
    assert some[Statistic.ALPHA].value == pytest.approx(alpha_by_hand(words))


def test_tau_b_is_that_of_scipy_on_rank_vectors() -> None:
    for first, second in EVERY_TWO[::11]:
        theirs = kendalltau(first.ranks(), second.ranks(), variant="b").statistic
        ours = agreement(doubles([Double(first, second)]), 1)[Statistic.TAU_B].value
        assert ours == (None if np.isnan(theirs) else pytest.approx(theirs))


def values_of(rankings: Sequence[Ranking]) -> list[int]:
    """Worse, tie, better as 0, 1, 2 for all pairs of all rankings, each read from both of its responses."""
    words = [judged(ranking, i, j) for ranking in rankings for i, j in permutations(range(4), 2)]
    return [["worse", "tie", "better"].index(word) for word in words]


@given(st.lists(st.tuples(st.sampled_from(ORDERS), st.sampled_from(ORDERS)), min_size=1, max_size=8))
def test_alpha_is_that_of_the_krippendorff_package(turns: list[tuple[Ranking, Ranking]]) -> None:
    data = np.array([values_of([first for first, _ in turns]), values_of([second for _, second in turns])])
    found = agreement(doubles([Double(*both) for both in turns]), len(turns))[Statistic.ALPHA].value
    if len(np.unique(data)) < 2:
        assert found is None
    else:
        assert found == pytest.approx(krippendorff.alpha(data, level_of_measurement="ordinal"))


def test_alpha_does_not_hang_on_how_the_responses_are_numbered() -> None:
    turns = [(ranked("A > B > C > D"), ranked("A > C > B > D")), (ranked("A > B > D > C"), ranked("B > A > D > C"))]
    renamed = str.maketrans("ABCD", "DBAC")
    again = [[Ranking(parse_order(format_order(e.groups).translate(renamed))) for e in both] for both in turns]
    ours, theirs = (agreement(doubles([Double(*both) for both in each]), 2)[Statistic.ALPHA] for each in (turns, again))
    assert ours.value == pytest.approx(theirs.value)


def test_the_interval_of_alpha_is_that_of_the_package_on_the_same_resamples() -> None:
    from annotation.bootstrap import drawn

    turns = EVERY_TWO[5:5625:401]
    found = agreement(doubles([Double(*both) for both in turns]), len(turns))[Statistic.ALPHA]
    one, other = (np.array([values_of([both[side]]) for both in turns]) for side in (0, 1))
    alphas = [
        krippendorff.alpha(
            np.stack([np.repeat(one, weights, axis=0).ravel(), np.repeat(other, weights, axis=0).ravel()]),
            level_of_measurement="ordinal",
        )
        for weights in np.hstack(list(drawn(len(turns)))).T
    ]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(alphas, [0.025, 0.975])), abs=1e-5)


def test_without_turns_every_figure_is_undefined() -> None:
    assert {figure.value for figure in agreement(doubles([]), 0).values()} == {None}


def test_rankings_without_an_order_count_for_the_outcome_only() -> None:
    none = Ranking((), none_acceptable=True)
    found = agreement(doubles([Double(none, none), Double(none, ORDERS[0])]), 2)
    assert (found[Statistic.EXACT].value, found[Statistic.EXACT].n) == (0.5, 2)
    assert found[Statistic.PAIRS].value is None
    assert found[Statistic.BEST].value is None


def test_the_same_order_with_another_outcome_is_not_the_same_ranking() -> None:
    order = ORDERS[10].groups
    found = agreement(doubles([Double(Ranking(order), Ranking(order, none_acceptable=True))]), 1)
    assert (found[Statistic.EXACT].value, found[Statistic.PAIRS].value) == (0.0, 1.0)


def test_the_figures_reproduce_a_direct_computation_on_three_human_annotators() -> None:
    if not PANDALM.exists():
        pytest.skip(f"{PANDALM.name} is not here")
    rows = json.loads(PANDALM.read_text(encoding="utf-8"))
    verdicts = {0: "A = B", 1: "A > B", 2: "B > A"}
    for one, other in combinations(("annotator1", "annotator2", "annotator3"), 2):
        turns = [Double(*(Ranking(parse_order(verdicts[row[each]])) for each in (one, other))) for row in rows]
        found = agreement(doubles(turns, k=2), len(turns))
        ours, theirs = ([row[each] for row in rows] for each in (one, other))
        strict = [a == b for a, b in zip(ours, theirs, strict=True) if a and b]
        same = np.mean([a == b for a, b in zip(ours, theirs, strict=True)])
        scale = {2: 0, 0: 1, 1: 2}
        ordinal = [[*(scale[v] for v in each), *(2 - scale[v] for v in each)] for each in (ours, theirs)]
        assert found[Statistic.PAIRS].value == found[Statistic.EXACT].value == found[Statistic.BEST].value
        assert found[Statistic.PAIRS].value == pytest.approx(same)
        assert found[Statistic.STRICT].value == pytest.approx(np.mean(strict))
        assert found[Statistic.TAU_B].value == pytest.approx(np.mean([1 if each else -1 for each in strict]))
        assert found[Statistic.ALPHA].value == pytest.approx(
            krippendorff.alpha(ordinal, level_of_measurement="ordinal")
        )


SAME = Double(ranked("A > B > C > D"), ranked("A > B > C > D"))
OPPOSITE = Double(ranked("A > B > C > D"), ranked("D > C > B > A"))


def values_by(turns: list[Double], grouping: Grouping) -> list[tuple[object, float | None, int]]:
    found = agreement_by(doubles(turns), len(turns), grouping)
    return [(key, each[Statistic.PAIRS].value, each[Statistic.PAIRS].n) for key, each in found.items()]


def test_agreement_by_group_counts_each_group_alone() -> None:
    child = [SAME.but(department="儿科"), OPPOSITE.but(department="儿科"), SAME.but(department="内科")]
    assert values_by(child, Grouping.DEPARTMENT) == [("儿科", 0.5, 2), ("内科", 1.0, 1)]
    assert values_by([OPPOSITE.but(depth=2), SAME], Grouping.DEPTH) == [(1, 1.0, 1), (2, 0.0, 1)]
    assert values_by([OPPOSITE.but(source=0), SAME.but(source=-1)], Grouping.SOURCE) == [(-1, 1.0, 1), (0, 0.0, 1)]


def test_two_annotators_are_one_pair_whoever_had_which_place() -> None:
    turns = [SAME.but(annotators=(7, 3)), OPPOSITE.but(annotators=(3, 7)), SAME.but(annotators=(3, 4))]
    assert values_by(turns, Grouping.ANNOTATORS) == [((3, 7), 0.5, 2), ((3, 4), 1.0, 1)]


def test_a_week_begins_on_monday_and_is_that_of_the_second_ranking() -> None:
    # 2026-03-01 was a Sunday: its week began on 23 February.
    turns = [SAME.but(at="2026-03-01T23:59:59"), OPPOSITE.but(at="2026-03-02T00:00:00")]
    found = [(str(key), value) for key, value, _ in values_by(turns, Grouping.WEEK)]
    assert found == [("2026-02-23", 1.0), ("2026-03-02", 0.0)]


def test_rankings_under_two_versions_of_the_guideline_are_a_group_of_their_own() -> None:
    turns = [SAME.but(guidelines=(1, 1)), OPPOSITE.but(guidelines=(2, 1)), SAME.but(guidelines=(2, 2))]
    assert [key for key, _, _ in values_by(turns, Grouping.GUIDELINE)] == [(1, 1), (1, 2), (2, 2)]


def test_agreement_by_ability_counts_the_pairs_that_it_decides_for_one_of_the_two() -> None:
    # One lets accuracy decide A over C and B over C and warm tone A over B; the other ties A and B.
    turn = Double(ranked("A > B > C", 9, 1), ranked("A = B > C", 1))
    found = agreement_by(doubles([turn], k=3), 1, Grouping.ABILITY)
    assert {key: each[Statistic.PAIRS].value for key, each in found.items()} == {1: 1.0, 9: 0.0}
    assert found[Ability.WARM_TONE][Statistic.TAU_B].value is None  # one of the two ties the only pair that it decides


def test_what_decides_a_pair_in_columns_is_what_the_rule_says() -> None:
    rankings = [
        Ranking(order, ranked("A > B > C > D", *abilities).boundaries[: len(order) - 1])
        for order in weak_orders(4)
        for abilities in ((3, 1, 9), (2, 2, 2), (5, None, 1))
    ]
    columns = doubles([Double(each, each) for each in rankings])
    for row, ranking in enumerate(rankings):
        expected = [ranking.deciding_ability(pair) or 0 for pair in combinations(range(4), 2)]
        assert columns.deciding[row, 0].tolist() == expected


def test_a_restriction_to_no_pairs_leaves_nothing() -> None:
    columns = doubles([SAME, OPPOSITE])
    assert not tallies(columns, np.zeros((2, 6), dtype=bool)).any()
