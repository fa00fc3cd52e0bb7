"""How a third expert settles a contested turn: only what is open is asked, and as little of it as possible.

A case starts from what both annotators agree on. The candidates are the weak orders that extend it; each answer drops
candidates; a pair on which all remaining candidates agree is closed without being asked. The end is one candidate.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from annotation.abilities import Ability
from annotation.ranking import Pair, Ranking, Relation, pairs_of, weak_orders

TIE_WEIGHT = 0.1
HIDDEN_SHARE = 0.1
"""How likely a tie is against a strict relation, for choosing questions only: experts rarely end in a tie."""

EXACT_UP_TO = 75
"""With at most so many candidates the cheapest question is computed exactly, beyond by one step of look-ahead."""


class Provenance(enum.StrEnum):
    """How a pair of a settled turn came to its relation."""

    AGREED = "agreed"
    ADJUDICATED = "adjudicated"
    IMPLIED = "implied"
    REWRITTEN = "rewritten"
    AUDITED = "audited"
    UNREVIEWED = "unreviewed"


@dataclass(frozen=True)
class SettledPair:
    """What is settled about two responses; ``ability`` is None in a tie, ``relation`` where it stays unreviewed."""

    pair: Pair
    relation: Relation | None
    ability: Ability | None
    provenance: Provenance


@dataclass(frozen=True)
class Answer:
    """What the adjudicator said about one pair; ``ability`` only where neither annotator named one for it."""

    pair: Pair
    relation: Relation
    ability: Ability | None = None


UNDECIDED = (Relation.TIE, None)
"""No ability decides in a tie, nor where nothing is settled."""

Relations = tuple[Relation, ...]
"""The relation of every pair, in the order of ``pairs_of``."""


@dataclass(frozen=True)
class Decisions:
    """What the adjudicator has said so far about one turn."""

    none_acceptable: bool | None = None
    answers: tuple[Answer, ...] = ()
    rewrite: str | None = None


class Asks(enum.StrEnum):
    """What a question is about."""

    OUTCOME = "outcome"
    PAIR = "pair"
    ABILITY = "ability"
    REWRITE = "rewrite"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Question:
    """What to ask next; ``pair`` for a pair and for the ability that decides it."""

    asks: Asks
    pair: Pair | None = None


class CannotFollowError(ValueError):
    """An answer that contradicts what is settled already."""


@dataclass(frozen=True)
class Case:
    """A contested turn before the adjudicator; the order of the two rankings tells nothing about whose they are.

    ``unlocked`` drops what both agree on, so that the adjudicator sorts all of it. ``asked_about`` holds the contested
    pairs that the review policy has settled, None for all of them; the others stay unreviewed unless they follow.
    """

    k: int
    first: Ranking | None = None
    second: Ranking | None = None
    ties: bool = True
    unlocked: bool = False
    asked_about: frozenset[Pair] | None = None

    @property
    def outcome_open(self) -> bool:
        """Whether "none acceptable?" is a question: the two outcomes differ, or there are not two."""
        return self.first is None or self.second is None or self.first.none_acceptable != self.second.none_acceptable

    @property
    def agreed(self) -> dict[Pair, Relation]:
        """The relations that both give and that therefore stand."""
        if self.unlocked or self.first is None or self.second is None:
            return {}
        theirs = self.second.relations()
        return {pair: relation for pair, relation in self.first.relations().items() if theirs.get(pair) is relation}

    @property
    def contested(self) -> list[Pair]:
        """The pairs on which the two differ, or all where nothing is locked."""
        agreed = self.agreed
        return [pair for pair in pairs_of(self.k) if pair not in agreed]

    @property
    def to_settle(self) -> list[Pair]:
        """The contested pairs that the adjudicator settles; whoever unlocks the agreed part settles all of it."""
        if self.unlocked or self.asked_about is None:
            return self.contested
        return [pair for pair in self.contested if pair in self.asked_about]

    def ability_for(self, pair: Pair, relation: Relation) -> Ability | None:
        """The deciding ability of those annotators who gave the pair this relation; the more important of two."""
        if relation is Relation.TIE:
            return None
        sides = [r for r in (self.first, self.second) if r is not None and r.relations().get(pair) is relation]
        return min((a for a in (side.deciding_ability(pair) for side in sides) if a is not None), default=None)


def candidates(case: Case, answers: Iterable[Answer]) -> tuple[Relations, ...]:
    """Every order that extends what is agreed and answered; raises CannotFollowError where there is none."""
    position = {pair: i for i, pair in enumerate(pairs_of(case.k))}
    wanted = [*case.agreed.items(), *((answer.pair, answer.relation) for answer in answers)]
    found = tuple(
        relations
        for relations in _all_relations(case.k, case.ties)
        if all(relations[position[pair]] is relation for pair, relation in wanted)
    )
    if not found:
        raise CannotFollowError("This answer contradicts what is settled already: take an answer back first.")
    return found


def next_question(case: Case, answers: Sequence[Answer]) -> Pair | None:
    """The pair to ask about next: the one that leaves the fewest expected questions; None where all is settled."""
    position = _cheapest(candidates(case, answers), _positions(case))[0]
    return None if position is None else pairs_of(case.k)[position]


def expected_questions(case: Case, answers: Sequence[Answer] = ()) -> float:
    """How many more pairs an adjudicator is likely to be asked about, as ``next_question`` chooses them."""
    return _expected(candidates(case, answers), _positions(case))


def open_pairs(case: Case, answers: Sequence[Answer]) -> frozenset[Pair]:
    """The pairs to settle that neither were answered nor follow from what was."""
    possible = zip(*candidates(case, answers), strict=True)
    undecided = {pair for pair, seen in zip(pairs_of(case.k), possible, strict=True) if len(set(seen)) > 1}
    return frozenset(undecided.intersection(case.to_settle))


def outcome(case: Case, decisions: Decisions) -> bool | None:
    """Whether none is acceptable: as both annotators say, else as the adjudicator does; None while that is open."""
    if case.first is not None and not case.outcome_open:
        return case.first.none_acceptable
    return decisions.none_acceptable


def sorts(case: Case, none_acceptable: bool) -> bool:
    """Whether the K responses are put in order: always, but for unacceptable ones that nobody has ordered.

    Where only one of the two gave an order nothing is locked, so the adjudicator sorts all of it.
    """
    ordered = any(r is not None and r.has_order for r in (case.first, case.second))
    return not none_acceptable or ordered


def next_step(case: Case, decisions: Decisions) -> Question:
    """What to ask the adjudicator next: the outcome first, then pairs, then what decides them, then the rewrite."""
    none_acceptable = outcome(case, decisions)
    if none_acceptable is None:
        return Question(Asks.OUTCOME)
    if sorts(case, none_acceptable):
        pair = next_question(case, decisions.answers)
        if pair is not None:
            return Question(Asks.PAIR, pair)
        unnamed = missing_ability(case, settle(case, decisions.answers))
        if unnamed is not None:
            return Question(Asks.ABILITY, unnamed)
    if none_acceptable and not decisions.rewrite:
        return Question(Asks.REWRITE)
    return Question(Asks.NOTHING)


def order_of(relations: Mapping[Pair, Relation], k: int) -> tuple[tuple[int, ...], ...]:
    """The groups, best first, of the weak order with these relations, which are those of every pair."""
    beaten_by = [0] * k
    for (first, second), relation in relations.items():
        if relation is not Relation.TIE:
            beaten_by[second if relation is Relation.BETTER else first] += 1
    places = sorted(set(beaten_by))
    return tuple(tuple(r for r in range(k) if beaten_by[r] == place) for place in places)


def settle(case: Case, answers: Sequence[Answer]) -> list[SettledPair]:
    """Every pair with its relation, deciding ability and provenance, once no question is left."""
    possible = zip(*candidates(case, answers), strict=True)
    told = {pair: set(relations) for pair, relations in zip(pairs_of(case.k), possible, strict=True)}
    if any(len(told[pair]) > 1 for pair in case.to_settle):
        raise CannotFollowError("There are still questions open: answer them first.")
    asked = {answer.pair: answer for answer in answers}
    return [_settled_pair(case, pair, min(rs) if len(rs) == 1 else None, asked) for pair, rs in told.items()]


def missing_ability(case: Case, settled: Iterable[SettledPair]) -> Pair | None:
    """The first strict pair for which nobody named what decides, so that the adjudicator is asked."""
    open_pairs = set(case.contested)
    return next(
        (s.pair for s in settled if s.pair in open_pairs and s.relation not in UNDECIDED and s.ability is None),
        None,
    )


def settle_agreed(first: Ranking, second: Ranking) -> list[SettledPair]:
    """Every pair of a turn that no third expert saw: what both agree on stands, the rest is unreviewed."""
    return settle(Case(first.k, first, second, asked_about=frozenset()), ())


def hides_suggestion(review: int, pair: Pair) -> bool:
    """Whether the rule's suggestion is kept back: for a random tenth of pairs, always the same, to measure its pull."""
    drawn = hashlib.sha256(f"suggestion:{review}:{pair[0]}:{pair[1]}".encode()).digest()
    return int.from_bytes(drawn[:8]) / 2**64 < HIDDEN_SHARE


def suggestion(case: Case, pair: Pair) -> Relation | None:
    """What the priority of the abilities says about a contested pair.

    Two strict and opposite relations with different deciding abilities: the more important one wins. The same
    ability is a dispute of fact, and a tie against a strict relation is open: no suggestion.
    """
    if case.first is None or case.second is None:
        return None
    ours, theirs = case.first.relations().get(pair), case.second.relations().get(pair)
    if ours is None or theirs is None or ours is theirs or Relation.TIE in (ours, theirs):
        return None
    our_ability, their_ability = case.first.deciding_ability(pair), case.second.deciding_ability(pair)
    if our_ability is None or their_ability is None or our_ability == their_ability:
        return None
    return ours if our_ability < their_ability else theirs


def _settled_pair(case: Case, pair: Pair, relation: Relation | None, asked: Mapping[Pair, Answer]) -> SettledPair:
    if relation is None:
        return SettledPair(pair, None, None, Provenance.UNREVIEWED)
    if pair in case.agreed:
        return SettledPair(pair, relation, case.ability_for(pair, relation), Provenance.AGREED)
    answer = asked.get(pair)
    named = None if answer is None else answer.ability
    ability = None if relation is Relation.TIE else case.ability_for(pair, relation) or named
    return SettledPair(pair, relation, ability, Provenance.IMPLIED if answer is None else Provenance.ADJUDICATED)


@cache
def _all_relations(k: int, ties: bool) -> tuple[Relations, ...]:
    orders = [Ranking(order) for order in weak_orders(k, ties=ties)]
    return tuple(tuple(order.relations().values()) for order in orders)


def _weight(relations: Relations) -> float:
    return float(TIE_WEIGHT ** relations.count(Relation.TIE))


def _split(remaining: tuple[Relations, ...], position: int) -> list[tuple[Relations, ...]]:
    parts: dict[Relation, list[Relations]] = {}
    for relations in remaining:
        parts.setdefault(relations[position], []).append(relations)
    return [tuple(part) for part in parts.values()]


def _positions(case: Case) -> tuple[int, ...]:
    """Where the pairs that are to be settled stand among the relations."""
    to_settle = set(case.to_settle)
    return tuple(i for i, pair in enumerate(pairs_of(case.k)) if pair in to_settle)


@lru_cache(maxsize=200_000)
def _cheapest(remaining: tuple[Relations, ...], positions: tuple[int, ...]) -> tuple[int | None, float]:
    """Which pair to ask first and how many questions are then expected, the candidates weighted by ``_weight``.

    Only the pairs at ``positions`` are asked about; where the candidates agree on all of them nothing is left to ask.
    """
    total = sum(map(_weight, remaining))
    best: tuple[int | None, float] = (None, float("inf"))
    for position in positions:
        parts = _split(remaining, position)
        if len(parts) == 1:
            continue
        cost = 1 + sum(sum(map(_weight, part)) / total * _cost(part, positions, len(remaining)) for part in parts)
        if cost < best[1] - 1e-12:
            best = (position, cost)
    return best if best[0] is not None else (None, 0.0)


def _cost(part: tuple[Relations, ...], positions: tuple[int, ...], out_of: int) -> float:
    """Expected questions for a part: exact for small cases, else the part's entropy-like size."""
    if out_of <= EXACT_UP_TO:
        return _cheapest(part, positions)[1]
    return float(len(part)) / out_of


@lru_cache(maxsize=50_000)
def _expected(remaining: tuple[Relations, ...], positions: tuple[int, ...]) -> float:
    """Expected questions where each is the one that ``_cheapest`` names."""
    position, cost = _cheapest(remaining, positions)
    if position is None or len(remaining) <= EXACT_UP_TO:
        return cost
    total = sum(map(_weight, remaining))
    parts = _split(remaining, position)
    return 1 + sum(sum(map(_weight, part)) / total * _expected(part, positions) for part in parts)
