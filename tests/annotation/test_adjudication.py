"""The third expert: what is asked, what follows, what is settled."""

import random
from itertools import product

import pytest

from annotation.abilities import Ability
from annotation.adjudication import (
    Answer,
    Asks,
    CannotFollowError,
    Case,
    Decisions,
    Provenance,
    Question,
    candidates,
    hides_suggestion,
    missing_ability,
    next_question,
    next_step,
    order_of,
    settle,
    settle_agreed,
    suggestion,
)
from annotation.ranking import Boundary, Pair, Ranking, Relation, pairs_of, weak_orders
from tests.material import parse_order

A, B, C, D = range(4)
ACCURACY, CLARITY, WARM = Ability.ACCURACY, Ability.CLARITY, Ability.WARM_TONE
ORDERS = [Ranking(order) for order in weak_orders(4)]


def ranked(order: str, *abilities: Ability | None) -> Ranking:
    return Ranking(parse_order(order), tuple(map(Boundary, abilities)))


def test_only_the_contested_pair_is_asked() -> None:
    case = Case(4, ranked("D > B > A > C"), ranked("D > A > B > C"))
    assert case.contested == [(A, B)]
    assert next_question(case, []) == (A, B)
    assert next_question(case, [Answer((A, B), Relation.TIE)]) is None


def test_what_follows_from_an_answer_is_not_asked() -> None:
    case = Case(3, ranked("A > B > C"), ranked("C > B > A"))
    answers = [Answer((A, B), Relation.BETTER), Answer((B, C), Relation.BETTER)]
    settled = settle(case, answers)
    assert [(s.pair, s.relation, s.provenance) for s in settled] == [
        ((A, B), Relation.BETTER, Provenance.ADJUDICATED),
        ((A, C), Relation.BETTER, Provenance.IMPLIED),
        ((B, C), Relation.BETTER, Provenance.ADJUDICATED),
    ]


def test_the_first_answer_can_always_be_any_of_the_three() -> None:
    for first, second in product(ORDERS, ORDERS):
        case = Case(4, first, second)
        for pair in case.contested:
            for relation in Relation:
                assert candidates(case, [Answer(pair, relation)])


def test_every_adjudication_ends_in_a_weak_order_that_extends_what_both_agree_on() -> None:
    rng = random.Random(7)
    for first, second in product(rng.sample(ORDERS, 25), ORDERS):
        case = Case(4, first, second)
        truth = rng.choice(list(candidates(case, [])))
        relation_of = dict(zip(pairs_of(4), truth, strict=True))
        answers: list[Answer] = []
        asked: list[Pair] = []
        while (pair := next_question(case, answers)) is not None:
            assert pair in case.contested
            asked.append(pair)
            answers.append(Answer(pair, relation_of[pair]))
        assert len(set(asked)) == len(asked) <= len(case.contested)
        settled = {s.pair: s.relation for s in settle(case, answers)}
        assert settled == relation_of
        assert settled.items() >= case.agreed.items()
        assert Ranking(order_of(settled, 4)).relations() == settled


def test_two_agreeing_rankings_leave_no_question() -> None:
    for ranking in ORDERS:
        assert next_question(Case(4, ranking, ranking), []) is None


def test_without_ties_the_answer_equal_cannot_follow() -> None:
    case = Case(4, ranked("A > B > C > D"), ranked("B > A > C > D"), ties=False)
    with pytest.raises(CannotFollowError):
        candidates(case, [Answer((A, B), Relation.TIE)])


def test_an_answer_against_what_is_agreed_is_refused_unless_it_was_unlocked() -> None:
    first, second = ranked("D > B > A > C"), ranked("D > A > B > C")
    against = [Answer((A, D), Relation.BETTER)]
    with pytest.raises(CannotFollowError):
        candidates(Case(4, first, second), against)
    assert candidates(Case(4, first, second, unlocked=True), against)


def test_settling_with_questions_open_is_refused() -> None:
    with pytest.raises(CannotFollowError):
        settle(Case(4, ranked("A > B > C > D"), ranked("B > A > C > D")), [])


def test_the_more_important_deciding_ability_is_suggested() -> None:
    case = Case(2, ranked("B > A", ACCURACY), ranked("A > B", WARM))
    assert suggestion(case, (A, B)) is Relation.WORSE
    assert suggestion(Case(2, case.second, case.first), (A, B)) is Relation.WORSE


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (ranked("A > B", WARM), ranked("B > A", WARM)),
        (ranked("A > B", WARM), ranked("A = B")),
        (ranked("A > B", None), ranked("B > A", WARM)),
    ],
    ids=["dispute of fact", "tie against strict", "nothing named"],
)
def test_there_is_no_suggestion(first: Ranking, second: Ranking) -> None:
    assert suggestion(Case(2, first, second), (A, B)) is None


def test_suggestions_never_form_a_cycle() -> None:
    rng = random.Random(3)
    strict = [Ranking(o) for o in weak_orders(4, ties=False)]
    for _ in range(3000):
        first, second = (
            Ranking(rng.choice(strict).groups, tuple(Boundary(rng.choice(list(Ability))) for _ in range(3)))
            for _ in "ab"
        )
        case = Case(4, first, second)
        answers = [Answer(p, s) for p in case.contested if (s := suggestion(case, p)) is not None]
        assert candidates(case, answers)


def test_a_settled_pair_keeps_the_winning_sides_deciding_ability() -> None:
    case = Case(2, ranked("B > A", ACCURACY), ranked("A > B", WARM))
    assert settle(case, [Answer((A, B), Relation.BETTER)])[0].ability is WARM
    assert settle(case, [Answer((A, B), Relation.WORSE)])[0].ability is ACCURACY
    assert settle(case, [Answer((A, B), Relation.TIE)])[0].ability is None


def test_an_agreed_pair_keeps_the_more_important_of_the_two_abilities() -> None:
    settled = settle_agreed(ranked("A > B", CLARITY), ranked("A > B", ACCURACY))
    assert [(s.ability, s.provenance) for s in settled] == [(ACCURACY, Provenance.AGREED)]


def test_where_nobody_named_an_ability_it_is_asked() -> None:
    case = Case(2, ranked("A = B"), ranked("B > A", WARM))
    unnamed = settle(case, [Answer((A, B), Relation.BETTER)])
    assert missing_ability(case, unnamed) == (A, B)
    named = settle(case, [Answer((A, B), Relation.BETTER, CLARITY)])
    assert missing_ability(case, named) is None
    assert named[0].ability is CLARITY


def test_the_outcome_is_the_first_question_where_it_differs() -> None:
    case = Case(2, ranked("A > B", WARM), Ranking((), none_acceptable=True))
    assert next_step(case, Decisions()) == Question(Asks.OUTCOME)
    assert next_step(case, Decisions(none_acceptable=False)) == Question(Asks.PAIR, (A, B))


def test_none_acceptable_asks_for_a_rewrite_and_sorts_what_somebody_has_ordered() -> None:
    unordered = Ranking((), none_acceptable=True)
    assert next_step(Case(2, unordered, unordered), Decisions()) == Question(Asks.REWRITE)
    one = Case(2, Ranking(parse_order("A > B"), none_acceptable=True), unordered)
    assert next_step(one, Decisions()) == Question(Asks.PAIR, (A, B))
    both = [Ranking(parse_order(order), none_acceptable=True) for order in ("A > B", "B > A")]
    assert next_step(Case(2, *both), Decisions()) == Question(Asks.PAIR, (A, B))
    done = Decisions(answers=(Answer((A, B), Relation.TIE),), rewrite="很抱歉，我不知道。")
    assert next_step(Case(2, *both), done) == Question(Asks.NOTHING)


def test_without_any_ranking_the_adjudicator_sorts_all_of_it() -> None:
    case = Case(4)
    assert next_step(case, Decisions()) == Question(Asks.OUTCOME)
    assert len(candidates(case, [])) == 75
    assert next_step(case, Decisions(none_acceptable=False)).asks is Asks.PAIR


def test_the_suggestion_is_hidden_on_a_tenth_of_pairs_and_always_the_same_ones() -> None:
    hidden = [(review, pair) for review in range(500) for pair in pairs_of(4) if hides_suggestion(review, pair)]
    assert 0.08 < len(hidden) / 3000 < 0.12
    assert all(hides_suggestion(review, pair) for review, pair in hidden)
