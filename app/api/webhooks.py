"""Webhooks, for the admin's programs: made, tested, ended, and what became of each message."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from annotation.outside_tables import Delivery, DeliveryState, Event, Webhook
from annotation.store import hooks, listing
from app.addresses import require_reachable
from app.api.paging import Cursor, Limit, Page, number_in, page_of
from app.api.shapes import Given, Words
from app.deps import Admin, Reading, WebSettings, Writing
from app.routes.webhooks import HookChanged, HookSeen

router = APIRouter(tags=["webhooks"])

Told = Literal[
    Event.TURN_SETTLED,
    Event.TURN_REOPENED,
    Event.TURN_OVERTURNED,
    Event.TURN_CONTESTED,
    Event.CAMPAIGN_FINISHED,
    Event.SNAPSHOT_FROZEN,
    Event.RUN_FINISHED,
    Event.GUIDELINE_DOUBT,
]


class WebhookShape(BaseModel):
    """An address that is told of events."""

    id: int
    url: str
    events: list[Event]
    active: bool
    created_at: datetime


class NewWebhook(Given):
    """An address to tell of events."""

    url: Annotated[Words, Field(max_length=hooks.LONGEST_URL, examples=["https://example.org/zhongjing"])]
    events: list[Told] = Field(min_length=1)


class MadeWebhook(WebhookShape):
    """A webhook with the secret by which its messages are signed: it is told once."""

    secret: str


class AttemptShape(BaseModel):
    """How an attempt to send a message ended."""

    at: datetime
    seconds: float
    status: int | None = Field(description="The status of the answer; null where none came")
    error: str


class DeliveryShape(BaseModel):
    """A message to a webhook."""

    id: int
    key: str = Field(description="The id that the message carries, the same at every attempt")
    event: Event
    data: dict[str, Any]
    state: DeliveryState
    attempts: int
    next_attempt_at: datetime | None = Field(description="null once it has arrived or was given up")
    tries: list[AttemptShape]
    created_at: datetime


@router.get("/webhooks")
def list_webhooks(_user: Admin, session: Reading, cursor: Cursor = None, limit: Limit = 50) -> Page[WebhookShape]:
    """Every webhook, newest first."""
    rows = listing.webhooks(session, number_in(cursor), limit + 1)
    return page_of(rows, limit, _shown, lambda row: (row.id,))


@router.post("/webhooks", status_code=201)
def create_webhook(user: Admin, session: Writing, settings: WebSettings, given: NewWebhook) -> MadeWebhook:
    """Make a webhook; the answer holds its secret."""
    require_reachable(given.url, settings)
    made = hooks.create(session, given.url, given.events, actor_id=user.id)
    return MadeWebhook(**_shown(made).model_dump(), secret=made.secret)


@router.get("/webhooks/{webhook_id}")
def get_webhook(hook: HookSeen) -> WebhookShape:
    """One webhook."""
    return _shown(hook)


@router.delete("/webhooks/{webhook_id}")
def deactivate_webhook(user: Admin, hook: HookChanged, session: Writing) -> WebhookShape:
    """End a webhook; what waits for it is given up, what was sent stays in the list."""
    hooks.deactivate(session, hook, actor_id=user.id)
    return _shown(hook)


@router.post("/webhooks/{webhook_id}/test", status_code=201)
def test_webhook(hook: HookChanged, session: Writing) -> DeliveryShape:
    """Send a test message."""
    return _delivery(hooks.ping(session, hook))


@router.get("/webhooks/{webhook_id}/deliveries")
def list_deliveries(hook: HookSeen, session: Reading, cursor: Cursor = None, limit: Limit = 50) -> Page[DeliveryShape]:
    """The messages of a webhook, newest first."""
    rows = listing.deliveries(session, hook.id, number_in(cursor), limit + 1)
    return page_of(rows, limit, _delivery, lambda row: (row.id,))


@router.post("/webhooks/{webhook_id}/deliveries/{delivery_id}/retry")
def retry_delivery(delivery_id: int, hook: HookChanged, session: Writing) -> DeliveryShape:
    """Send a message again, now."""
    return _delivery(hooks.retry(session, hook, delivery_id))


def _shown(hook: Webhook) -> WebhookShape:
    return WebhookShape(**{name: getattr(hook, name) for name in WebhookShape.model_fields})


def _delivery(delivery: Delivery) -> DeliveryShape:
    waiting = delivery.state is DeliveryState.WAITING
    return DeliveryShape(
        id=delivery.id,
        key=delivery.key,
        event=Event(delivery.event),
        data=delivery.payload,
        state=delivery.state,
        attempts=delivery.attempts,
        next_attempt_at=delivery.next_attempt_at if waiting else None,
        tries=[AttemptShape(**each) for each in delivery.tries],
        created_at=delivery.created_at,
    )
