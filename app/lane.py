"""The lanes of doctors and adjudicators: their requests are worked on a few at a time, in the order in which they came.

Threads of one process take the interpreter from each other whenever the database answers one of them. Of forty at once
all are slow; of a few at a time each is done soon, and the wait before it is shorter than what it saves
(docs/benchmarks.md). Who only looks has a lane of its own, so that nobody waits there for those who wait to write.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Annotated

from anyio import CapacityLimiter, fail_after
from anyio.lowlevel import RunVar
from fastapi import Depends, Request

log = logging.getLogger(__name__)

AT_ONCE = 2
PATIENCE_S = 20.0
"""Longer than anybody waits for the database (``annotation.db``), so that its own refusal comes first."""

LOOKS = ("GET", "HEAD")

_LOOKING: RunVar[CapacityLimiter] = RunVar("looking")
_WRITING: RunVar[CapacityLimiter] = RunVar("writing")


class BusyError(Exception):
    """A request has waited for its turn for too long."""


async def in_lane(request: Request) -> AsyncIterator[None]:
    """One of the few requests at a time; raises BusyError after ``PATIENCE_S`` seconds of waiting."""
    lane = _lane(_LOOKING if request.method in LOOKS else _WRITING)
    try:
        with fail_after(PATIENCE_S):
            await lane.acquire()
    except TimeoutError:
        log.error("too much at once: %s %s waited in vain", request.method, request.scope["path"])
        raise BusyError from None
    try:
        yield
    finally:
        lane.release()


InLane = Annotated[None, Depends(in_lane, scope="function")]


def _lane(kind: RunVar[CapacityLimiter]) -> CapacityLimiter:
    """That of this event loop, which is that of the process."""
    lane = kind.get(None)
    if lane is None:
        lane = CapacityLimiter(AT_ONCE)
        kind.set(lane)
    return lane
