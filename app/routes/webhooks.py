"""Webhooks: who is told of what, and whether it arrived."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from annotation.outside_tables import Event, Webhook
from annotation.store import hooks, listing
from app.addresses import require_reachable
from app.deps import Admin, Reading, WebSettings, Writing
from app.render import page

router = APIRouter(prefix="/admin/webhooks")

SHOWN = 100


def hook_seen(webhook_id: int, _user: Admin, session: Reading) -> Webhook:
    """A webhook, for the admin to look at."""
    return hooks.get(session, webhook_id)


def hook_changed(webhook_id: int, _user: Admin, session: Writing) -> Webhook:
    """A webhook, for the admin to work on."""
    return hooks.get(session, webhook_id)


HookSeen = Annotated[Webhook, Depends(hook_seen)]
HookChanged = Annotated[Webhook, Depends(hook_changed)]


@router.get("")
def list_webhooks(request: Request, _user: Admin, session: Reading) -> HTMLResponse:
    """Every webhook, newest first, and the form for another."""
    return _page(request, session)


@router.post("")
def create(
    request: Request,
    user: Admin,
    session: Writing,
    settings: WebSettings,
    url: Annotated[str, Form(max_length=hooks.LONGEST_URL)],
    event: Annotated[list[Event] | None, Form()] = None,
) -> HTMLResponse:
    """Makes a webhook and shows its secret, this once."""
    require_reachable(url, settings)
    return _page(request, session, made=hooks.create(session, url, event or [], actor_id=user.id))


@router.get("/{webhook_id}")
def show(request: Request, hook: HookSeen, session: Reading) -> HTMLResponse:
    """One webhook with its newest messages."""
    deliveries = listing.deliveries(session, hook.id, None, SHOWN)
    return page(request, "admin/webhook.html", hook=hook, deliveries=deliveries, shown=SHOWN)


@router.post("/{webhook_id}/test")
def send_test(hook: HookChanged, session: Writing) -> Response:
    """Sends a test message."""
    hooks.ping(session, hook)
    return _back(hook)


@router.post("/{webhook_id}/deactivate")
def deactivate(user: Admin, hook: HookChanged, session: Writing) -> Response:
    """Ends a webhook."""
    hooks.deactivate(session, hook, actor_id=user.id)
    return _back(hook)


@router.post("/{webhook_id}/deliveries/{delivery_id}/retry")
def retry(delivery_id: int, hook: HookChanged, session: Writing) -> Response:
    """Sends a message again, now."""
    hooks.retry(session, hook, delivery_id)
    return _back(hook)


def _page(request: Request, session: Reading, made: Webhook | None = None) -> HTMLResponse:
    every = listing.webhooks(session, None, SHOWN)
    events = [event for event in Event if event is not Event.PING]
    return page(request, "admin/webhooks.html", hooks=every, events=events, made=made)


def _back(hook: Webhook) -> RedirectResponse:
    return RedirectResponse(f"/admin/webhooks/{hook.id}", status_code=303)
