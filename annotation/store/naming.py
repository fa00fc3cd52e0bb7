"""Named assignment: the admin keeps places of a turn for people, who alone may take them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import ColumnElement, Select, delete, exists, func, insert, select, update
from sqlalchemy.orm import Session

from annotation.measure_tables import NamedPlace
from annotation.refusals import Conflict, Invalid
from annotation.store import audit
from annotation.tables import Assignment, AssignmentState, Campaign, Dialogue, Membership, Purpose, Turn, TurnState

PLACES = 2
AT_ONCE = 1000
WAITING = (TurnState.OPEN, TurnState.ONE_RANKING)


def of_turn(session: Session, turn_id: int) -> Sequence[NamedPlace]:
    """The places of a turn that were named, taken or not."""
    return session.scalars(select(NamedPlace).where(NamedPlace.turn_id == turn_id).order_by(NamedPlace.user_id)).all()


def name(session: Session, campaign: Campaign, turn: Turn, user_ids: Collection[int], *, actor_id: int | None) -> None:
    """Keeps a place of the turn for each of these people.

    Raises Conflict where the turn has too few places left, or one of them has had it, and Invalid for who does
    not rank here.
    """
    _require_members(session, campaign, user_ids)
    if not _name(session, [turn.id], set(user_ids)):
        raise Conflict("This turn has no place left for them, or one of them has had it already.")
    session.refresh(turn, ["places_named"])
    audit.record(session, actor_id, "places named", f"turn {turn.id}", users=sorted(user_ids))


def name_many(
    session: Session,
    campaign: Campaign,
    user_ids: Collection[int],
    *,
    department: str = "",
    dialogues: Iterable[str] = (),
    actor_id: int | None,
) -> int:
    """Keeps places of every turn of a department, or of dialogues by their ids; returns of how many turns.

    Turns that have no place left for these people, or that one of them has had, stay as they are.
    """
    _require_members(session, campaign, user_ids)
    wanted = list(dict.fromkeys(identity.strip() for identity in dialogues if identity.strip()))
    if bool(department) == bool(wanted) or len(wanted) > AT_ONCE:
        raise Invalid("Choose a department, or list at most 1,000 dialogues by their ids.")
    chosen = select(Turn.id).where(Turn.campaign_id == campaign.id, Turn.state.in_(WAITING))
    if department:
        ids = session.scalars(chosen.where(Turn.department == department).order_by(Turn.id)).all()
    else:
        ids = _of_dialogues(session, campaign, wanted, chosen)
    batches = (ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE))
    named = sum(_name(session, batch, set(user_ids)) for batch in batches)
    subject, about = f"campaign {campaign.id}", {"department": department, "turns": named}
    audit.record(session, actor_id, "places named", subject, users=sorted(user_ids), **about)
    return named


def withdraw(session: Session, turn: Turn, user_id: int, *, actor_id: int | None) -> None:
    """No longer keeps a place for somebody; one that is taken stays theirs, which raises Conflict."""
    _lock(session, [turn.id])
    if not _withdraw(session, [turn.id], {user_id}):
        raise Conflict("This place is taken already, or it was not kept for them.")
    session.refresh(turn, ["places_named"])
    audit.record(session, actor_id, "named place withdrawn", f"turn {turn.id}", users=[user_id])


def withdraw_all(session: Session, user_ids: Collection[int], campaign_id: int | None = None) -> int:
    """No longer keeps anything for people who left, in one campaign or in all; returns how many places that frees."""
    kept = select(NamedPlace.turn_id).where(NamedPlace.user_id.in_(user_ids), NamedPlace.taken.is_(False))
    if campaign_id is not None:
        kept = kept.join(Turn, Turn.id == NamedPlace.turn_id).where(Turn.campaign_id == campaign_id)
    turn_ids = session.scalars(kept.distinct().order_by(NamedPlace.turn_id)).all()
    freed = 0
    for start in range(0, len(turn_ids), AT_ONCE):
        batch = turn_ids[start : start + AT_ONCE]
        _lock(session, batch)
        freed += _withdraw(session, batch, user_ids)
    return freed


def taken(session: Session, turn: Turn, user_id: int) -> None:
    """Somebody takes a place: if it was kept for them, it is no longer free. The turn is locked by the caller."""
    if turn.places_named and _set(session, turn.id, user_id, taken=True):
        turn.places_named -= 1


def left(session: Session, turn: Turn, user_id: int, *, for_good: bool) -> None:
    """Somebody gives a place back: one that was kept for them is kept again, unless they cannot judge the turn."""
    if for_good:
        gone = delete(NamedPlace).where(NamedPlace.turn_id == turn.id, NamedPlace.user_id == user_id)
        session.execute(gone)
    elif _set(session, turn.id, user_id, taken=False):
        turn.places_named += 1


def kept_for_others(session: Session, turn: Turn, user_id: int) -> int:
    """How many of the free places somebody may not take."""
    if not turn.places_named:
        return 0
    kept = select(func.count()).where(NamedPlace.turn_id == turn.id, NamedPlace.taken.is_(False))
    return session.scalar(kept.where(NamedPlace.user_id != user_id)) or 0


def in_play(turn_id: int) -> ColumnElement[bool]:
    """That a place of the turn was taken by name, so that it says nothing about even sharing."""
    return exists().where(NamedPlace.turn_id == turn_id, NamedPlace.taken.is_(True))


def _require_members(session: Session, campaign: Campaign, user_ids: Collection[int]) -> None:
    if not 1 <= len(set(user_ids)) <= PLACES:
        raise Invalid("A turn has two places: name one or two people.")
    if not set(user_ids) <= set(
        session.scalars(select(Membership.user_id).where(Membership.campaign_id == campaign.id))
    ):
        raise Invalid("Only people who rank in this campaign can be named.")


def _name(session: Session, turn_ids: Sequence[int], user_ids: set[int]) -> int:
    """Keeps the places where there are enough and none of these people had the turn; returns of how many turns."""
    _lock(session, turn_ids)
    had = exists().where(
        Assignment.turn_id == Turn.id,
        Assignment.user_id.in_(user_ids),
        Assignment.purpose == Purpose.LABEL,
        Assignment.state != AssignmentState.EXPIRED,
    )
    known = exists().where(NamedPlace.turn_id == Turn.id, NamedPlace.user_id.in_(user_ids))
    enough = Turn.places_taken + Turn.places_named + len(user_ids) <= PLACES
    fitting = select(Turn.id).where(Turn.id.in_(turn_ids), Turn.state.in_(WAITING), enough, ~had, ~known)
    ids = session.scalars(fitting).all()
    if ids:
        rows = [{"turn_id": turn_id, "user_id": user_id} for turn_id in ids for user_id in user_ids]
        session.execute(insert(NamedPlace), rows)
        more = update(Turn).where(Turn.id.in_(ids)).values(places_named=Turn.places_named + len(user_ids))
        session.execute(more, execution_options={"synchronize_session": False})
    return len(ids)


def _of_dialogues(session: Session, campaign: Campaign, wanted: Sequence[str], chosen: Select[int]) -> Sequence[int]:
    """The turns of these dialogues; raises Invalid where an id is unknown, and names it."""
    here = select(Dialogue.external_id, Dialogue.id).where(
        Dialogue.campaign_id == campaign.id, Dialogue.external_id.in_(wanted[:AT_ONCE])
    )
    found = {row.external_id: row.id for row in session.execute(here)}
    unknown = [identity for identity in wanted if identity not in found]
    if unknown:
        raise Invalid("There is no dialogue {id} in this campaign.", id=unknown[0])
    return session.scalars(chosen.where(Turn.dialogue_id.in_(found.values())).order_by(Turn.id)).all()


def _lock(session: Session, turn_ids: Sequence[int]) -> None:
    rows = select(Turn.id).where(Turn.id.in_(turn_ids)).order_by(Turn.id).with_for_update(of=Turn)
    session.execute(rows).all()


def _withdraw(session: Session, turn_ids: Sequence[int], user_ids: Collection[int]) -> int:
    gone = delete(NamedPlace).where(
        NamedPlace.turn_id.in_(turn_ids), NamedPlace.user_id.in_(user_ids), NamedPlace.taken.is_(False)
    )
    freed = session.scalars(gone.returning(NamedPlace.turn_id)).all()
    for turn_id in freed:
        fewer = update(Turn).where(Turn.id == turn_id).values(places_named=Turn.places_named - 1)
        session.execute(fewer, execution_options={"synchronize_session": False})
    return len(freed)


def _set(session: Session, turn_id: int, user_id: int, *, taken: bool) -> bool:
    named = (NamedPlace.turn_id == turn_id) & (NamedPlace.user_id == user_id) & (NamedPlace.taken != taken)
    changed = update(NamedPlace).where(named).values(taken=taken).returning(NamedPlace.turn_id)
    return session.scalar(changed) is not None
