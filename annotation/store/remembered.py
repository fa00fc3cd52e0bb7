"""What a process remembers of what it has computed: each thing is computed by one thread at a time."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Generic, TypeVar

from annotation.db import utcnow

Value = TypeVar("Value")


@dataclass(frozen=True)
class Kept(Generic[Value]):
    """A value, what it was computed from, and when."""

    stamp: Hashable
    value: Value
    at: datetime


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

    def get(self, name: Hashable, stamp: Hashable, compute: Callable[[], Value], *, wait: bool = False) -> Kept[Value]:
        """The value, computed anew only where it is not of this stamp.

        While somebody else computes it, the last one is given as it is, without waiting unless asked to ``wait``; where
        there is none, the one that they are computing. Whoever needs it to be of this very stamp has to wait.
        """
        before = self.last(name)
        if before is not None and before.stamp == stamp:
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
            return self._keep(name, Kept(stamp, compute(), utcnow()))
        finally:
            turn.release()

    def _keep(self, name: Hashable, found: Kept[Value]) -> Kept[Value]:
        with self._changing:
            self._kept.pop(name, None)
            self._kept[name] = found
            while len(self._kept) > self._most:
                self._kept.pop(next(iter(self._kept)))
        return found
