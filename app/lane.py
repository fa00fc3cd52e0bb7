"""The lane of doctors and adjudicators: their requests are worked on a few at a time, in the order in which they came.

Threads of one process take the interpreter from each other whenever the database answers one of them. Of forty at once
all are slow; of three at a time each is done soon, and the wait before it is shorter than what it saves, as
``bench.load`` shows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from anyio import CapacityLimiter, fail_after
from anyio.lowlevel import RunVar
from fastapi import Depends

AT_ONCE = 3
PATIENCE_S = 10.0

_LANE: RunVar[CapacityLimiter] = RunVar("lane")


class BusyError(Exception):
    """A request has waited for its turn for too long."""


async def in_lane() -> AsyncIterator[None]:
    """One of the few requests at a time; raises BusyError after ``PATIENCE_S`` seconds of waiting."""
    lane = _lane()
    try:
        with fail_after(PATIENCE_S):
            await lane.acquire()
    except TimeoutError:
        raise BusyError from None
    try:
        yield
    finally:
        lane.release()


IN_LANE = Depends(in_lane, scope="function")


def _lane() -> CapacityLimiter:
    """That of this event loop, which is that of the process."""
    lane = _LANE.get(None)
    if lane is None:
        lane = CapacityLimiter(AT_ONCE)
        _LANE.set(lane)
    return lane
