"""Counts that many pages ask for: counted anew each time while small, and every half minute once they are large."""

from __future__ import annotations

import time
from collections.abc import Hashable
from dataclasses import dataclass
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Select
from sqlalchemy.orm import Session

SMALL = 2000
KEPT_S = 30.0


@dataclass(frozen=True)
class _Count:
    number: int
    until: float


_kept: WeakKeyDictionary[Any, dict[Hashable, _Count]] = WeakKeyDictionary()
_changing = Lock()


def of(session: Session, what: Hashable, query: Select[int]) -> int:
    """The number that a query counts; one above 2,000 may be up to 30 seconds old in this process."""
    pool = session.get_bind().engine.pool  # the same for every session of a database
    with _changing:
        before = _kept.setdefault(pool, {}).get(what)
    if before is not None and before.number > SMALL and time.monotonic() < before.until:
        return before.number
    number = session.scalar(query) or 0
    with _changing:
        _kept[pool][what] = _Count(number, time.monotonic() + KEPT_S)
    return number
