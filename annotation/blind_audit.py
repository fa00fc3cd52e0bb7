"""A blind audit: a third expert orders what two agreed on without knowing so, and judges it only afterwards.

First the auditor's own order, which is then fixed. Where it differs from the agreed one both are shown, and the
auditor keeps the agreed one or overturns it, giving a reason; what overturns it is explained like any ranking.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace

from annotation.abilities import Ability
from annotation.adjudication import Case, Provenance, SettledPair, settle_agreed
from annotation.ranking import Boundary, Pair, Ranking

Step = tuple[int, bool]
"""A response that is placed next, and whether it stands level with the one before."""


class AuditAsks(enum.StrEnum):
    """What the auditor is asked."""

    ORDER = "order"
    FIX = "fix"
    VERDICT = "verdict"
    ABILITY = "ability"
    REWRITE = "rewrite"
    NOTHING = "nothing"


class NoSuchStepError(ValueError):
    """A step that is not open: the response stands already, or a tie joins nothing."""


@dataclass(frozen=True)
class Opinion:
    """What the auditor has said so far; ``fixed`` once the own order stands and the agreed one may be seen."""

    steps: tuple[Step, ...] = ()
    none_acceptable: bool = False
    fixed: bool = False
    overturns: bool | None = None
    reason: str = ""
    abilities: tuple[Ability, ...] = ()
    rewrite: str | None = None


def groups_of(steps: Sequence[Step], k: int) -> tuple[tuple[int, ...], ...]:
    """The groups placed so far, best first; the last of k falls into the last place by itself."""
    groups: list[tuple[int, ...]] = []
    for response, level in steps:
        if level:
            groups[-1] = (*groups[-1], response)
        else:
            groups.append((response,))
    left = set(range(k)) - {response for response, _ in steps}
    return (*groups, tuple(left)) if steps and len(left) == 1 else tuple(groups)


def steps_of(groups: Sequence[Sequence[int]]) -> tuple[Step, ...]:
    """The steps that place a whole order; the last response, where it stands alone, falls into its place."""
    steps = [(response, place > 0) for group in groups for place, response in enumerate(group)]
    return tuple(steps[:-1] if groups and len(groups[-1]) == 1 else steps)


def place(opinion: Opinion, response: int, k: int, *, level: bool) -> Opinion:
    """Places a response next, or level with the one before; the last, which fell into its place, can be levelled.

    Raises NoSuchStepError for anything else.
    """
    placed = {done for done, _ in opinion.steps}
    fell = level and len(placed) == k - 1
    whole = len(placed) >= k - 1 and not fell
    if response in placed or not 0 <= response < k or whole or (level and not placed):
        raise NoSuchStepError(f"response {response} cannot be placed after {opinion.steps}")
    return replace(opinion, steps=(*opinion.steps, (response, level)))


def is_whole(opinion: Opinion, k: int) -> bool:
    """Whether all responses have a place."""
    return sum(map(len, groups_of(opinion.steps, k))) == k


def own_ranking(opinion: Opinion, k: int) -> Ranking | None:
    """The auditor's ranking, with the abilities named so far; None while there is none."""
    if not is_whole(opinion, k):
        return Ranking((), none_acceptable=True) if opinion.none_acceptable else None
    groups = groups_of(opinion.steps, k)
    named = [*opinion.abilities, *[None] * len(groups)]
    boundaries = tuple(Boundary(ability) for ability in named[: len(groups) - 1])
    return Ranking(groups, boundaries, none_acceptable=opinion.none_acceptable)


def differing(case: Case, own: Ranking) -> list[Pair]:
    """The agreed pairs that the auditor orders otherwise; none where the auditor gave no order."""
    relations = own.relations()
    return [pair for pair, relation in case.agreed.items() if relations and relations[pair] is not relation]


def confirms(case: Case, own: Ranking) -> bool:
    """Whether the auditor says the same as both annotators, as far as those agree."""
    return not own.none_acceptable and not differing(case, own)


def next_step(case: Case, opinion: Opinion) -> AuditAsks:
    """What to ask next."""
    own = own_ranking(opinion, case.k)
    if own is None:
        return AuditAsks.ORDER
    if not opinion.fixed:
        return AuditAsks.FIX
    if confirms(case, own) or opinion.overturns is False:
        return AuditAsks.NOTHING
    if opinion.overturns is None:
        return AuditAsks.VERDICT
    if len(opinion.abilities) < len(own.groups) - 1:
        return AuditAsks.ABILITY
    return AuditAsks.REWRITE if own.none_acceptable and not opinion.rewrite else AuditAsks.NOTHING


def take_back(opinion: Opinion) -> Opinion:
    """Without the last thing said; the own order stays as it was once it was fixed, for then it is blind no more."""
    if opinion.rewrite is not None:
        return replace(opinion, rewrite=None)
    if opinion.abilities:
        return replace(opinion, abilities=opinion.abilities[:-1])
    if opinion.fixed:
        return replace(opinion, overturns=None, reason="")
    if opinion.none_acceptable:
        return replace(opinion, none_acceptable=False)
    return replace(opinion, steps=opinion.steps[:-1])


def settled(case: Case, opinion: Opinion) -> list[SettledPair]:
    """Every pair after the audit: the agreed ones as audited, or those of the auditor who overturned them.

    Where the auditor finds none acceptable and gives no order, the agreed order of the unacceptable ones stands.
    """
    own = own_ranking(opinion, case.k)
    if opinion.overturns and own is not None and own.has_order:
        return [
            SettledPair(pair, relation, own.deciding_ability(pair), Provenance.AUDITED)
            for pair, relation in own.relations().items()
        ]
    assert case.first is not None
    assert case.second is not None
    return [
        replace(each, provenance=Provenance.AUDITED) if each.provenance is Provenance.AGREED else each
        for each in settle_agreed(case.first, case.second)
    ]
