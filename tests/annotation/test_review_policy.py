"""Which differences a third expert settles, and what becomes of the others."""

from __future__ import annotations

import random
from itertools import product

import pytest

from annotation.abilities import Ability
from annotation.adjudication import Answer, Case, Provenance, expected_questions, next_question, settle, settle_agreed
from annotation.ranking import Boundary, Ranking, Relation, weak_orders
from annotation.review_policy import (
    Policy,
    ReviewPolicy,
    most_important_ability,
    needs_review,
    pairs_to_ask,
)
from annotation.review_policy import expected_questions as questions_of
from tests.material import parse_order

A, B, C, D = range(4)
ANY = Policy()
SAFETY = Policy(ReviewPolicy.SAFETY_DECIDES)


def beyond(distance: int) -> Policy:
    return Policy(ReviewPolicy.BEYOND_DISTANCE, distance)


def ranked(order: str, *abilities: int, none_acceptable: bool = False) -> Ranking:
    groups = parse_order(order) if order else ()
    return Ranking(groups, tuple(Boundary(Ability(a)) for a in abilities), none_acceptable=none_acceptable)


ONE_SWAP = ranked("A > B > C > D", 9, 9, 9), ranked("B > A > C > D", 9, 9, 9)
REVERSED = ranked("A > B > C > D", 1, 5, 9), ranked("D > C > B > A", 9, 9, 9)


def test_any_difference_asks_about_every_contested_pair() -> None:
    assert pairs_to_ask(ANY, *ONE_SWAP) == {(A, B)}
    assert len(pairs_to_ask(ANY, *REVERSED)) == 6


def test_up_to_the_distance_nothing_is_asked_and_beyond_it_everything() -> None:
    assert pairs_to_ask(beyond(1), *ONE_SWAP) == frozenset()
    assert pairs_to_ask(beyond(0), *ONE_SWAP) == {(A, B)}
    assert len(pairs_to_ask(beyond(5), *REVERSED)) == 6
    assert pairs_to_ask(beyond(6), *REVERSED) == frozenset()


def test_only_pairs_that_the_safety_dimension_decides_for_one_of_the_two_are_asked() -> None:
    # A stands above all by accuracy; B above C and D by clarity, C above D by warm tone; the other says warm tone
    assert pairs_to_ask(SAFETY, *REVERSED) == {(A, B), (A, C), (A, D)}
    assert pairs_to_ask(SAFETY, *ONE_SWAP) == frozenset()


@pytest.mark.parametrize("policy", [ANY, beyond(6), SAFETY], ids=["any", "distance", "safety"])
def test_different_outcomes_are_reviewed_under_every_policy(policy: Policy) -> None:
    acceptable, none = ONE_SWAP[0], ranked("A > B > C > D", 9, 9, 9, none_acceptable=True)
    assert needs_review(policy, acceptable, none)
    assert needs_review(policy, acceptable, ranked("", none_acceptable=True))
    assert needs_review(policy, none, none)  # somebody has to rewrite the answer
    assert not needs_review(policy, acceptable, acceptable)


def test_what_is_not_reviewed_makes_no_preference_and_says_so() -> None:
    settled = {s.pair: (s.relation, s.provenance) for s in settle_agreed(*ONE_SWAP)}
    assert settled.pop((A, B)) == (None, Provenance.UNREVIEWED)
    assert set(settled.values()) == {(Relation.BETTER, Provenance.AGREED)}


def test_a_pair_that_follows_from_the_answers_is_settled_though_nobody_was_asked() -> None:
    # to be settled are A:B and A:C; once A stands below B, and C below A, C stands below B as well
    first, second = ranked("A > B > C", 1, 9), ranked("C > B > A", 9, 9)
    case = Case(3, first, second, asked_about=pairs_to_ask(SAFETY, first, second))
    assert case.to_settle == [(A, B), (A, C)]
    answers = [Answer((A, B), Relation.WORSE), Answer((A, C), Relation.BETTER)]
    assert next_question(case, answers) is None
    assert [(s.relation, s.provenance) for s in settle(case, answers)] == [
        (Relation.WORSE, Provenance.ADJUDICATED),
        (Relation.BETTER, Provenance.ADJUDICATED),
        (Relation.BETTER, Provenance.IMPLIED),
    ]


def test_a_pair_that_does_not_follow_stays_unreviewed() -> None:
    first, second = ranked("A > B > C", 1, 9), ranked("C > B > A", 9, 9)
    case = Case(3, first, second, asked_about=pairs_to_ask(SAFETY, first, second))
    answers = [Answer((A, B), Relation.BETTER), Answer((A, C), Relation.BETTER)]
    assert next_question(case, answers) is None
    assert settle(case, answers)[2].provenance is Provenance.UNREVIEWED


def test_under_every_policy_only_wanted_pairs_are_asked_and_the_result_fits_one_order() -> None:
    rng, orders = random.Random(2), list(weak_orders(4))
    relations_of = [Ranking(order).relations() for order in orders]
    for policy, _ in product((beyond(2), SAFETY, ANY), range(150)):
        first, second = (_with_abilities(rng.choice(orders), rng) for _ in "ab")
        wanted = pairs_to_ask(policy, first, second)
        case, answers = Case(4, first, second, asked_about=wanted), list[Answer]()
        truth = rng.choice([r for r in relations_of if r.items() >= case.agreed.items()])
        while (pair := next_question(case, answers)) is not None:
            assert pair in wanted
            answers.append(Answer(pair, truth[pair]))
        settled = {s.pair: s.relation for s in settle(case, answers) if s.relation is not None}
        assert settled.keys() >= wanted | case.agreed.keys()
        assert settled.items() <= truth.items()


def test_whoever_unlocks_the_agreed_part_settles_all_of_it() -> None:
    case = Case(4, *ONE_SWAP, unlocked=True, asked_about=frozenset())
    assert len(case.to_settle) == 6


def test_one_open_pair_costs_one_question_and_an_unreviewed_one_none() -> None:
    assert questions_of(ANY, *ONE_SWAP) == 1
    assert questions_of(beyond(1), *ONE_SWAP) == 0
    none = ranked("", none_acceptable=True)
    assert questions_of(ANY, none, none) == 1  # the rewrite
    assert questions_of(ANY, ONE_SWAP[0], ONE_SWAP[0]) == 0


def test_the_expected_questions_are_the_mean_over_what_may_be_answered() -> None:
    # A:B and C:D are open and tell nothing about each other
    case = Case(4, Ranking(parse_order("A > B > C > D")), Ranking(parse_order("B > A > D > C")))
    assert expected_questions(case) == pytest.approx(2)


def test_a_turn_waits_under_the_most_important_ability_of_what_is_asked() -> None:
    assert most_important_ability(pairs_to_ask(ANY, *REVERSED), *REVERSED) is Ability.ACCURACY
    assert most_important_ability([(B, C)], *REVERSED) is Ability.CLARITY
    assert most_important_ability([], *REVERSED) is None


def _with_abilities(order: tuple[tuple[int, ...], ...], rng: random.Random) -> Ranking:
    return Ranking(order, tuple(Boundary(rng.choice(list(Ability))) for _ in order[1:]))
