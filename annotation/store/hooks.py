"""Hooks: other programs are told of what happened here.

A message is written in the transaction of what it tells of, so that neither is there without the other; workers send it
afterwards. It holds numbers and states, and no word of a patient or a doctor.
"""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, exists, func, select, update
from sqlalchemy.orm import Session

from annotation.db import utcnow
from annotation.outside_tables import Delivery, DeliveryState, Event, Webhook
from annotation.refusals import Conflict, Invalid, Missing
from annotation.store import audit
from annotation.tables import Campaign, SettledBy, Turn, TurnState

TOLD = "hooks told"
"""Under this key a session says that it holds messages to send once it is committed."""

LONGEST_URL = 512
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(hours=4)
TRIED_FOR = timedelta(hours=24)
CLAIM_LASTS = timedelta(minutes=2)
AT_ONCE, AT_ONCE_TO_ONE = 8, 2
LEFT = tuple(state for state in TurnState if state not in (TurnState.SETTLED, TurnState.WITHDRAWN))


@dataclass(frozen=True)
class Message:
    """A delivery as it is sent; ``attempt`` counts from 1."""

    id: int
    key: str
    event: str
    url: str
    secret: str
    body: bytes
    attempt: int


@dataclass(frozen=True)
class Attempt:
    """How an attempt ended: the status of the answer, or what kept one from coming."""

    status: int | None
    error: str
    seconds: float

    @property
    def arrived(self) -> bool:
        """Whether the other side took it."""
        return self.status is not None and 200 <= self.status < 300


def tell(session: Session, event: Event, **data: int | str | None) -> None:
    """Writes a message to every hook that wants this event; one small query where there is none."""
    _write(session, _listening(session), event, data)


def moved(session: Session, turn: Turn, before: TurnState) -> None:
    """Tells where a turn went, if anywhere: settled, or to a third expert."""
    if turn.state is not before and turn.state is TurnState.SETTLED:
        settled(session, turn)
    elif turn.state is not before and turn.state is TurnState.CONTESTED:
        tell(session, Event.TURN_CONTESTED, **_about(turn))


def settled(session: Session, turn: Turn) -> None:
    """Tells that a turn was settled, and that its campaign is finished where nothing is left."""
    listening = _listening(session)
    _write(session, listening, Event.TURN_SETTLED, _about(turn) | {"settled_by": turn.settled_by})
    _finished(session, listening, turn.campaign_id, turn.id)


def settled_together(session: Session, campaign_id: int, turn_ids: Sequence[int], by: SettledBy) -> None:
    """The same for many turns of a campaign at once."""
    listening = _listening(session) if turn_ids else ()
    wanting = [hook for hook in listening if Event.TURN_SETTLED in hook.events]
    for turn_id in turn_ids if wanting else ():
        _write(session, wanting, Event.TURN_SETTLED, {"campaign_id": campaign_id, "turn_id": turn_id, "settled_by": by})
    _finished(session, listening, campaign_id)


def withdrawn(session: Session, campaign_id: int) -> None:
    """Tells that a campaign is finished where nothing is left once some turns are taken out of it."""
    _finished(session, _listening(session), campaign_id)


def reopened(session: Session, turn: Turn) -> None:
    """Tells that the decision about a turn was taken back, so that it is settled no more."""
    tell(session, Event.TURN_REOPENED, **_about(turn))


def overturned(session: Session, turn: Turn, *, taken_back: bool) -> None:
    """Tells that a blind audit put its own in place of what two agreed on, or that this was taken back.

    The turn is settled before and after, by other pairs.
    """
    tell(session, Event.TURN_OVERTURNED, **_about(turn), settled_by=turn.settled_by, taken_back=taken_back)


def get(session: Session, webhook_id: int) -> Webhook:
    """The hook; raises Missing."""
    found = session.get(Webhook, webhook_id)
    if found is None:
        raise Missing("This webhook does not exist.")
    return found


def create(session: Session, url: str, events: Iterable[Event], *, actor_id: int | None) -> Webhook:
    """A hook with a secret of its own, by which its messages are signed; raises Invalid for no address to send to."""
    wanted = [event for event in Event if event in set(events) and event is not Event.PING]
    if not wanted:
        raise Invalid("Choose at least one event that the webhook is told of.")
    hook = Webhook(url=_checked(url), secret=secrets.token_urlsafe(32), events=[event.value for event in wanted])
    session.add(hook)
    session.flush()
    audit.record(session, actor_id, "webhook created", f"webhook {hook.id}", events=hook.events)
    return hook


def deactivate(session: Session, hook: Webhook, *, actor_id: int | None) -> None:
    """Ends a hook; what waits for it is given up."""
    if not hook.active:
        return
    hook.active = False
    waiting = (Delivery.webhook_id == hook.id) & (Delivery.state == DeliveryState.WAITING)
    session.execute(update(Delivery).where(waiting).values(state=DeliveryState.GIVEN_UP))
    audit.record(session, actor_id, "webhook deactivated", f"webhook {hook.id}")


def ping(session: Session, hook: Webhook) -> Delivery:
    """Writes a test message to one hook, whatever events it wants."""
    _require_active(hook)
    [delivery] = _deliveries([hook], Event.PING, {"webhook_id": hook.id})
    session.add(delivery)
    session.flush()
    session.info[TOLD] = True
    return delivery


def retry(session: Session, hook: Webhook, delivery_id: int, now: datetime | None = None) -> Delivery:
    """Lets a message be sent at once, be it given up or only waiting; raises Conflict where it has arrived."""
    _require_active(hook)
    delivery = session.get(Delivery, delivery_id, with_for_update=True)
    if delivery is None or delivery.webhook_id != hook.id:
        raise Missing("This message does not exist.")
    if delivery.state is DeliveryState.DELIVERED:
        raise Conflict("This message has arrived already.")
    delivery.state, delivery.next_attempt_at = DeliveryState.WAITING, now or utcnow()
    session.info[TOLD] = True
    return delivery


def is_due(session: Session, now: datetime | None = None) -> bool:
    """Whether any message waits to be sent."""
    return bool(session.scalar(select(exists().where(_due(now or utcnow())))))


def claim(session: Session, now: datetime | None = None) -> list[Message]:
    """Some messages to send, few to each hook; nobody else gets them unless this worker dies over them."""
    now = now or utcnow()
    place = func.row_number().over(partition_by=Delivery.webhook_id, order_by=Delivery.id).label("place")
    waiting = select(Delivery.id, place).where(_due(now)).subquery()
    chosen = select(waiting.c.id).where(waiting.c.place <= AT_ONCE_TO_ONE).order_by(waiting.c.id).limit(AT_ONCE)
    claimed = (
        update(Delivery)
        .where(Delivery.id.in_(chosen), _due(now))
        .values(attempts=Delivery.attempts + 1, next_attempt_at=now + CLAIM_LASTS)
        .returning(Delivery.id)
        .execution_options(synchronize_session=False)
    )
    ids = session.scalars(claimed).all()
    wanted = select(Delivery).where(Delivery.id.in_(ids)).order_by(Delivery.id)
    found = session.scalars(wanted.execution_options(populate_existing=True)).all()
    return [_message(delivery) for delivery in found]


def conclude(
    session: Session, message: Message, attempt: Attempt, *, chance: float, now: datetime | None = None
) -> None:
    """Notes how an attempt ended and when the next one is due; ``chance``, from 0 to 1, spreads those apart.

    An attempt that another has overtaken changes nothing.
    """
    now = now or utcnow()
    delivery = session.get(Delivery, message.id, with_for_update=True)
    if delivery is None or delivery.attempts != message.attempt:
        return
    ended = {"at": now.isoformat(), "seconds": round(attempt.seconds, 3)}
    delivery.tries = [*delivery.tries, {**ended, "status": attempt.status, "error": attempt.error}]
    if delivery.state is not DeliveryState.WAITING:
        return
    delivery.next_attempt_at = now + pause_after(message.attempt, chance)
    if attempt.arrived:
        delivery.state = DeliveryState.DELIVERED
    elif delivery.next_attempt_at > delivery.created_at + TRIED_FOR:
        delivery.state = DeliveryState.GIVEN_UP


def pause_after(attempt: int, chance: float) -> timedelta:
    """How long to wait after a failed attempt: 30 s, doubled each time up to 4 h, a quarter more or less by chance."""
    doubled: timedelta = FIRST_PAUSE * 2 ** min(attempt - 1, 20)
    return min(doubled, LONGEST_PAUSE) * (0.75 + chance / 2)


def body_of(delivery: Delivery) -> bytes:
    """What is sent: the same bytes at every attempt."""
    said = {
        "id": delivery.key,
        "event": delivery.event,
        "at": delivery.created_at.isoformat(timespec="milliseconds"),
        "data": delivery.payload,
    }
    return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()


def _listening(session: Session) -> Sequence[Webhook]:
    with session.no_autoflush:  # this comes at the end of work that is written anyway
        return session.scalars(select(Webhook).where(Webhook.active.is_(True)).order_by(Webhook.id)).all()


def _write(session: Session, listening: Iterable[Webhook], event: Event, data: dict[str, Any]) -> None:
    wanted = [hook for hook in listening if event in hook.events]
    if wanted:
        session.add_all(_deliveries(wanted, event, data))
        session.info[TOLD] = True


def _deliveries(listening: Iterable[Webhook], event: Event, data: dict[str, Any]) -> list[Delivery]:
    return [
        Delivery(webhook_id=hook.id, event=event.value, key=str(uuid.uuid4()), payload=dict(data)) for hook in listening
    ]


def _about(turn: Turn) -> dict[str, Any]:
    return {"campaign_id": turn.campaign_id, "turn_id": turn.id}


def _finished(session: Session, listening: Sequence[Webhook], campaign_id: int, settled_id: int | None = None) -> None:
    """Tells that a campaign is finished, if anybody wants to know and no turn but the one just settled is left.

    The campaign is locked first: of two transactions that settle the last two turns, the second sees the first.
    """
    if not any(Event.CAMPAIGN_FINISHED in hook.events for hook in listening):
        return
    session.execute(select(Campaign.id).where(Campaign.id == campaign_id).with_for_update(key_share=True))
    left = exists().where(Turn.campaign_id == campaign_id, Turn.state.in_(LEFT), Turn.id.is_distinct_from(settled_id))
    if not session.scalar(select(left)):
        _write(session, listening, Event.CAMPAIGN_FINISHED, {"campaign_id": campaign_id})


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        sound = (
            url.isascii()
            and parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        sound = False
    whole = url.strip()
    if not sound or "@" in parts.netloc or any(sign.isspace() for sign in whole) or len(whole) > LONGEST_URL:
        raise Invalid("The address of a webhook begins with https:// or http:// and names a host, without a password.")
    return whole


def _require_active(hook: Webhook) -> None:
    if not hook.active:
        raise Conflict("This webhook is deactivated: make a new one.")


def _due(now: datetime) -> ColumnElement[bool]:
    return (Delivery.state == DeliveryState.WAITING) & (Delivery.next_attempt_at <= now)


def _message(delivery: Delivery) -> Message:
    hook = delivery.webhook
    return Message(
        delivery.id, delivery.key, delivery.event, hook.url, hook.secret, body_of(delivery), delivery.attempts
    )
