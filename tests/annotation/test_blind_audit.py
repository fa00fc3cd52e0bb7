"""A third expert looks again, first blind, then with the agreed order beside the own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from annotation.abilities import Ability
from annotation.adjudication import Case, Provenance
from annotation.blind_audit import (
    AuditAsks,
    NoSuchStepError,
    Opinion,
    confirms,
    differing,
    groups_of,
    next_step,
    own_ranking,
    place,
    settled,
    steps_of,
    take_back,
)
from annotation.ranking import Boundary, Ranking, Relation, weak_orders
from tests.material import parse_order

A, B, C, D = range(4)


def ranked(order: str, *abilities: int) -> Ranking:
    return Ranking(parse_order(order), tuple(Boundary(Ability(a)) for a in abilities))


AGREED = Case(4, ranked("D > B > A > C", 1, 2, 3), ranked("D > B > A > C", 4, 2, 9))


def placing(*letters: str) -> Opinion:
    """``placing("D", "=B", "A")``: a letter after = stands level with the one before."""
    opinion = Opinion()
    for letter in letters:
        opinion = place(opinion, "ABCD".index(letter[-1]), 4, level=letter[0] == "=")
    return opinion


def test_three_steps_place_four_responses() -> None:
    assert groups_of(placing("D", "B").steps, 4) == ((D,), (B,))
    assert groups_of(placing("D", "B", "A").steps, 4) == ((D,), (B,), (A,), (C,))
    assert groups_of(placing("D", "=B", "A").steps, 4) == ((D, B), (A,), (C,))


def test_the_last_one_can_be_levelled_with_the_one_before() -> None:
    assert groups_of(placing("D", "B", "A", "=C").steps, 4) == ((D,), (B,), (A, C))


@pytest.mark.parametrize("steps", [("D", "D"), ("=D",), ("D", "B", "A", "C"), ("D", "B", "A", "=A")])
def test_a_step_that_is_not_open_is_refused(steps: tuple[str, ...]) -> None:
    with pytest.raises(NoSuchStepError):
        placing(*steps)


@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_a_whole_order_is_the_one_that_its_steps_place(k: int) -> None:
    assert steps_of(((D,), (B,), (A, C))) == ((D, False), (B, False), (A, False), (C, True))
    assert steps_of(((D,), (B,), (A,), (C,))) == ((D, False), (B, False), (A, False))
    for order in weak_orders(k):
        opinion = Opinion()
        for response, level in steps_of(order):
            opinion = place(opinion, response, k, level=level)
        assert groups_of(opinion.steps, k) == order


def test_the_own_order_is_fixed_before_anything_is_compared() -> None:
    assert next_step(AGREED, Opinion()) is AuditAsks.ORDER
    assert next_step(AGREED, placing("D", "B")) is AuditAsks.ORDER
    assert next_step(AGREED, placing("D", "B", "A")) is AuditAsks.FIX


def test_the_same_order_confirms_without_a_further_question() -> None:
    same = replace(placing("D", "B", "A"), fixed=True)
    assert next_step(AGREED, same) is AuditAsks.NOTHING
    told = {each.pair: (each.relation, each.ability, each.provenance) for each in settled(AGREED, same)}
    assert told[A, B] == (Relation.WORSE, Ability.SAFETY, Provenance.AUDITED)
    assert told[B, D] == (Relation.WORSE, Ability.ACCURACY, Provenance.AUDITED)


def test_another_order_asks_for_a_verdict_and_may_leave_the_agreed_one_standing() -> None:
    other = replace(placing("D", "A", "B"), fixed=True)
    assert next_step(AGREED, other) is AuditAsks.VERDICT
    kept = replace(other, overturns=False)
    assert next_step(AGREED, kept) is AuditAsks.NOTHING
    assert {each.pair: each.relation for each in settled(AGREED, kept)}[A, B] is Relation.WORSE


def test_overturning_takes_the_auditors_order_with_an_ability_for_each_boundary() -> None:
    opinion = replace(placing("D", "A", "=B"), fixed=True, overturns=True, reason="两者无差别")
    assert next_step(AGREED, opinion) is AuditAsks.ABILITY
    opinion = replace(opinion, abilities=(Ability.ACCURACY, Ability.CLARITY))
    assert next_step(AGREED, opinion) is AuditAsks.NOTHING
    told = {each.pair: (each.relation, each.ability) for each in settled(AGREED, opinion)}
    assert told == {
        (A, B): (Relation.TIE, None),
        (A, C): (Relation.BETTER, Ability.CLARITY),
        (A, D): (Relation.WORSE, Ability.ACCURACY),
        (B, C): (Relation.BETTER, Ability.CLARITY),
        (B, D): (Relation.WORSE, Ability.ACCURACY),
        (C, D): (Relation.WORSE, Ability.ACCURACY),
    }


def test_none_acceptable_differs_and_ends_in_a_rewrite_above_the_agreed_order() -> None:
    opinion = Opinion(none_acceptable=True, fixed=True)
    assert next_step(AGREED, opinion) is AuditAsks.VERDICT
    opinion = replace(opinion, overturns=True, reason="剂量都错")
    assert next_step(AGREED, opinion) is AuditAsks.REWRITE
    assert next_step(AGREED, replace(opinion, rewrite="很抱歉，我不知道。")) is AuditAsks.NOTHING
    assert len(settled(AGREED, opinion)) == 6


def test_only_what_both_agree_on_is_compared() -> None:
    case = Case(4, ranked("D > B > A > C", 1, 2, 3), ranked("D > A > B > C", 1, 2, 3))
    own = own_ranking(placing("D", "A", "B"), 4)
    assert own is not None
    assert confirms(case, own)
    told = {each.pair: each.provenance for each in settled(case, replace(placing("D", "A", "B"), fixed=True))}
    assert told[A, B] is Provenance.UNREVIEWED
    assert told[A, D] is Provenance.AUDITED


def test_differing_pairs_are_named() -> None:
    own = own_ranking(placing("D", "A", "B"), 4)
    assert own is not None
    assert differing(AGREED, own) == [(A, B)]


def test_steps_are_taken_back_one_by_one_until_the_own_order_is_fixed() -> None:
    assert take_back(placing("D", "B", "A")) == placing("D", "B")
    assert take_back(Opinion(none_acceptable=True)) == Opinion()
    fixed = replace(placing("D", "A", "B"), fixed=True)
    said = replace(fixed, overturns=True, reason="x", abilities=(Ability.SAFETY,))
    assert take_back(said) == replace(said, abilities=())
    assert take_back(replace(said, abilities=())) == fixed
    assert take_back(fixed) == fixed
