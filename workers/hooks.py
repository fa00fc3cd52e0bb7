"""Sends what hooks wait for: signed, a few at a time, so that one that hangs keeps nobody else waiting for long."""

from __future__ import annotations

import hashlib
import hmac
import logging
import random
import time
from concurrent.futures import ThreadPoolExecutor

import httpcore2

from annotation.db import Database
from annotation.store import hooks
from annotation.store.hooks import Attempt, Message
from workers import outward
from workers.settings import Settings

log = logging.getLogger(__name__)

AT_MOST_S = 40.0  # then the others that wait for this worker have their turn
LONGEST_ERROR = 200
REASONS: dict[type[Exception], str] = {
    outward.ForbiddenAddressError: "private address",
    httpcore2.TimeoutException: "no answer in time",
    httpcore2.ProtocolError: "no answer in HTTP",
    httpcore2.NetworkError: "not reached",
}
"""What kept an answer from coming, in words that the web knows in its languages."""


def send_all_due(settings: Settings) -> None:
    """Sends until nothing is due, or for a while."""
    database = Database(settings.database_url)
    try:
        until = time.monotonic() + AT_MOST_S
        while time.monotonic() < until and send_some(database, to_private=settings.webhooks_to_private):
            pass
    finally:
        database.dispose()


def send_some(database: Database, *, to_private: bool) -> int:
    """Sends some of what is due, side by side, and says how many; 0 where nothing is."""
    with database.reading() as session:
        if not hooks.is_due(session):
            return 0
    with database.writing() as session:
        messages = hooks.claim(session)
    with ThreadPoolExecutor(hooks.AT_ONCE) as pool:
        attempts = list(pool.map(lambda message: send(message, to_private=to_private), messages))
    with database.writing() as session:
        for message, attempt in zip(messages, attempts, strict=True):
            hooks.conclude(session, message, attempt, chance=random.random())  # noqa: S311  (only spreads attempts)
    return len(messages)


def send(message: Message, *, to_private: bool) -> Attempt:
    """One attempt."""
    began = time.monotonic()
    status, error = None, ""
    try:
        status = outward.post(message.url, headers_of(message, int(time.time())), message.body, to_private=to_private)
    except tuple(REASONS) as found:
        reason = next(reason for kind, reason in REASONS.items() if isinstance(found, kind))
        error = f"{reason}: {found}"[:LONGEST_ERROR]
    except Exception:
        log.exception("delivery %s could not be sent", message.id)
        error = "not sent"
    return Attempt(status, error, time.monotonic() - began)


def headers_of(message: Message, timestamp: int) -> dict[str, str]:
    """The headers of an attempt; the id is that of the message, so that one that comes twice is recognised."""
    return {
        "content-type": "application/json",
        "user-agent": "zhongjing-webhooks",
        "x-zhongjing-event": message.event,
        "x-zhongjing-delivery": message.key,
        "x-zhongjing-signature": f"t={timestamp},v1={sign(message.secret, timestamp, message.body)}",
    }


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """HMAC-SHA256 over the time, a dot and the body, in hexadecimal."""
    return hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
