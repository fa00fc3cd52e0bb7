"""Gold turns: what is known, to measure people by. They settle nothing when they come to somebody again."""

from __future__ import annotations

from itertools import pairwise

from sqlalchemy.orm import Session

from annotation import adjudication
from annotation.ranking import Boundary, pairs_of
from annotation.ranking import Ranking as Order
from annotation.refusals import Conflict, Invalid
from annotation.store import audit, places, rankings, reviews, turns
from annotation.tables import SettledBy, Turn, TurnState


def declare_gold(session: Session, turn: Turn, *, gold: bool, actor_id: int | None) -> None:
    """Makes a settled turn one to measure people by, or no longer; raises Conflict or Invalid where it cannot be."""
    places.lock_turn(session, turn.id)
    if gold and turn.state is not TurnState.SETTLED:
        raise Conflict("Only a settled turn can be gold: settle it first.")
    if gold and settled_ranking(session, turn) is None:
        raise Invalid("Some pairs of this turn are unreviewed, so there is no whole order to compare with.")
    turn.gold = gold
    audit.record(session, actor_id, "gold declared" if gold else "gold taken back", f"turn {turn.id}")


def settled_ranking(session: Session, turn: Turn) -> Order | None:
    """What a settled turn says, as a ranking; None where some of its pairs are unreviewed."""
    none_acceptable = turn.settled_by is SettledBy.REWRITTEN
    settled = settled_pairs(session, turn)
    relations = {each.pair: each.relation for each in settled if each.relation is not None}
    if not settled and none_acceptable:
        return Order((), none_acceptable=True)
    if len(relations) < len(pairs_of(turn.campaign.k)):
        return None
    groups = adjudication.order_of(relations, turn.campaign.k)
    named = {each.pair: each.ability for each in settled}
    boundaries = []
    for upper, lower in pairwise(groups):
        across = [named[min(a, b), max(a, b)] for a in upper for b in lower]
        boundaries.append(Boundary(min((ability for ability in across if ability is not None), default=None)))
    return Order(groups, tuple(boundaries), none_acceptable=none_acceptable)


def settled_pairs(session: Session, turn: Turn) -> list[adjudication.SettledPair]:
    """What is settled about the pairs of a settled turn: by a third expert, else as both agree."""
    review = turns.review_of(session, turn.id)
    if review is not None and review.result is not None:
        return [reviews.pair_from_json(pair) for pair in review.result["pairs"]]
    given = [rankings.read(ranking) for ranking in rankings.counting(session, turn.id)]
    return adjudication.settle_agreed(*given) if len(given) == 2 and all(each.has_order for each in given) else []
