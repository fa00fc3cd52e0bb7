"""What a review policy says about all turns of a campaign at once: ``annotation.review_policy`` on columns.

N counts turns with two rankings, P pairs.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from annotation import adjudication
from annotation.abilities import Ability, Dimension
from annotation.adjudication import Answer, Case
from annotation.columns import NO_ABILITY, Bools, Doubles, Floats, Ints
from annotation.ranking import Relation, pairs_of
from annotation.review_policy import Policy, ReviewPolicy

SAFETY = [int(ability) for ability in Ability if ability.dimension is Dimension.SAFETY]
OPEN, SKIPPED = 2, 3
"""How a pair stands before it is reviewed, beside the relations -1, 0 and 1 on which both agree."""

RELATIONS = {1: Relation.BETTER, 0: Relation.TIE, -1: Relation.WORSE}


def agreed(doubles: Doubles) -> Bools:
    """The pairs that both give the same relation: (N, P)."""
    return np.asarray((doubles.relations[:, 0] == doubles.relations[:, 1]) & doubles.ordered[:, None])


def wholly_agreed(doubles: Doubles) -> Bools:
    """Whether outcome and all relations of the two are the same: (N,); of agreed turns some are audited."""
    have = doubles.judgements.ordered[doubles.rows]
    same = (doubles.relations[:, 0] == doubles.relations[:, 1]).all(axis=1)
    return np.asarray(doubles.same_outcome & (have[:, 0] == have[:, 1]) & same)


def pairs_to_ask(policy: Policy, doubles: Doubles) -> Bools:
    """The contested pairs that a third expert settles: (N, P). Without any order there is no pair to contest."""
    have = doubles.judgements.ordered[doubles.rows]
    contested: Bools = ~agreed(doubles) & np.asarray(have.any(axis=1))[:, None]
    if policy.kind is ReviewPolicy.ANY_DIFFERENCE:
        return contested
    if policy.kind is ReviewPolicy.BEYOND_DISTANCE:
        asked = contested & (contested.sum(axis=1) > policy.distance)[:, None]
    else:
        asked = contested & np.isin(doubles.deciding, SAFETY).any(axis=1)
    whole = ~doubles.same_outcome | (have[:, 0] != have[:, 1])
    return np.where(whole[:, None], contested, asked)


def needs_review(policy: Policy, doubles: Doubles) -> Bools:
    """Whether a third expert sees the turn: (N,)."""
    none = doubles.judgements.none_acceptable[doubles.rows]
    return np.asarray(none.any(axis=1) | pairs_to_ask(policy, doubles).any(axis=1))


def most_important_ability(policy: Policy, doubles: Doubles) -> Ints:
    """The most important ability that decides one of the pairs to ask for either side: (N,); NO_ABILITY for none."""
    beyond = len(Ability) + 1
    asked = pairs_to_ask(policy, doubles)[:, None, :] & (doubles.deciding != NO_ABILITY)
    least = np.where(asked, doubles.deciding, beyond).min(axis=(1, 2), initial=beyond)
    return np.where(least == beyond, NO_ABILITY, least).astype(np.int64)


def expected_questions(policy: Policy, doubles: Doubles) -> Floats:
    """How many questions each turn is likely to cost: (N,); 0 where nobody reviews it. A rewrite counts as one."""
    none = doubles.judgements.none_acceptable[doubles.rows]
    asked = pairs_to_ask(policy, doubles)
    standing = np.where(agreed(doubles), doubles.relations[:, 0], np.where(asked, OPEN, SKIPPED)).astype(np.int8)
    kinds, kind = np.unique(standing, axis=0, return_inverse=True)
    a_kind = np.array([_questions(each.tobytes(), doubles.judgements.k) for each in kinds])
    of_pairs = np.where(asked.any(axis=1), a_kind[kind.reshape(-1)] if len(kinds) else 0.0, 0.0)
    reviewed = none.any(axis=1) | asked.any(axis=1)
    return np.asarray(np.where(reviewed, of_pairs + ~doubles.same_outcome + none.all(axis=1), 0.0))


@lru_cache(maxsize=65536)
def _questions(standing: bytes, k: int) -> float:
    """The expected questions where the pairs, in the order of ``pairs_of``, stand like this."""
    codes = dict(zip(pairs_of(k), np.frombuffer(standing, dtype=np.int8).tolist(), strict=True))
    known = [Answer(pair, RELATIONS[code]) for pair, code in codes.items() if code in RELATIONS]
    asked = frozenset(pair for pair, code in codes.items() if code == OPEN)
    return adjudication.expected_questions(Case(k, asked_about=asked), known)
