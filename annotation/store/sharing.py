"""How many turns two annotators share, counted as places are taken and given back, for the rule of even sharing."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

from sqlalchemy import bindparam, case, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, aliased

from annotation.store import naming
from annotation.tables import Assignment, PairCount, Turn, TurnOrder

_SHARED = select(PairCount.low_user_id, PairCount.high_user_id, PairCount.turns).where(
    PairCount.campaign_id == bindparam("campaign_id")
)


def shared(session: Session, campaign_id: int, user_id: int, team: Sequence[int]) -> tuple[dict[int, int], int]:
    """How much somebody shares with each of the team, and how much that pair of the team shares that shares least."""
    rows = session.execute(_SHARED, {"campaign_id": campaign_id})
    here = set(team)
    pairs = {(low, high): turns for low, high, turns in rows if low in here and high in here}
    least = min(pairs.values(), default=0) if len(pairs) == comb(len(team), 2) else 0
    mine = {pair: turns for pair, turns in pairs.items() if user_id in pair}
    return {high if low == user_id else low: turns for (low, high), turns in mine.items()}, least


def count(session: Session, turn: Turn, one: int, other: int, change: int) -> None:
    """Counts what two annotators come to share: a turn, or its dialogue if that is the first of it; none by name."""
    if turn.campaign.turn_order is TurnOrder.DIALOGUE and _share_more_of_it(session, turn, one, other):
        return
    low, high = sorted((one, other))
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    row = (literal(turn.campaign_id), literal(low), literal(high), literal(max(change, 0)))
    columns = ["campaign_id", "low_user_id", "high_user_id", "turns"]
    first = insert(PairCount).from_select(columns, select(*row).where(~naming.in_play(turn.id)))
    changed = PairCount.turns + change
    session.execute(
        first.on_conflict_do_update(
            index_elements=["campaign_id", "low_user_id", "high_user_id"],
            set_={"turns": case((changed < 0, 0), else_=changed)},
        )
    )


def _share_more_of_it(session: Session, turn: Turn, one: int, other: int) -> bool:
    """Whether the two hold both places of another turn of the dialogue."""
    mine, theirs = aliased(Assignment), aliased(Assignment)
    both = (
        select(Turn.id)
        .join(mine, (mine.turn_id == Turn.id) & (mine.user_id == one) & mine.place.is_not(None))
        .join(theirs, (theirs.turn_id == Turn.id) & (theirs.user_id == other) & theirs.place.is_not(None))
        .where(Turn.dialogue_id == turn.dialogue_id, Turn.id != turn.id)
    )
    return session.scalar(both.limit(1)) is not None
