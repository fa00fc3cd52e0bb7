"""What a process remembers of what it has computed: each thing is computed by one thread at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Generic, TypeVar

from annotation.db import utcnow

Value = TypeVar("Value")


@dataclass(frozen=True)
class Kept(Generic[Value]):
    """A value, what it was computed from, when, and how many seconds that took."""

    stamp: Hashable
    value: Value
    at: datetime
    took: float

    def rests(self, times: float) -> bool:
        """Whether it was computed less than so many times as long ago as that took."""
        return utcnow() < self.at + times * timedelta(seconds=self.took)


class Memory(Generic[Value]):
    """Values by name; those asked for longest ago are forgotten first."""

    def __init__(self, most: int) -> None:
        """Remembers so many."""
        self._most = most
        self._kept: dict[Hashable, Kept[Value]] = {}
        self._computing: dict[Hashable, Lock] = {}
        self._changing = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def last(self, name: Hashable) -> Kept[Value] | None:
        """What is remembered, whatever it was computed from."""
        with self._changing:
            found = self._kept.pop(name, None)
            if found is not None:
                self._kept[name] = found  # the last one asked for
            return found

    def get(
        self,
        name: Hashable,
        stamp: Hashable,
        compute: Callable[[], Value],
        *,
        wait: bool = False,
        rests: float = 0,
    ) -> Kept[Value]:
        """The value, computed anew only where it is not of this stamp.

        While somebody else computes it, the last one is given as it is, without waiting unless asked to ``wait``; where
        there is none, the one that they are computing. Whoever needs it to be of this very stamp has to wait.
        A value ``rests`` so many times as long as it took before it is computed again: however often it changes and
        however many ask, that bounds what it costs.
        """
        before = self.last(name)
        if before is not None and (before.stamp == stamp or before.rests(rests)):
            return before
        with self._changing:
            turn = self._computing.setdefault(name, Lock())
        if not turn.acquire(blocking=before is None or wait):
            assert before is not None
            return before
        try:
            meanwhile = self.last(name)
            if meanwhile is not None and (meanwhile.stamp == stamp or (meanwhile is not before and not wait)):
                return meanwhile
            start = time.perf_counter()
            value = compute()
            return self._keep(name, Kept(stamp, value, utcnow(), time.perf_counter() - start))
        finally:
            turn.release()

    def _keep(self, name: Hashable, found: Kept[Value]) -> Kept[Value]:
        with self._changing:
            self._kept.pop(name, None)
            self._kept[name] = found
            while len(self._kept) > self._most:
                self._kept.pop(next(iter(self._kept)))
        return found
