"""Wakes whoever sends to hooks, without keeping anybody waiting for the broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

REST_S = 1.0


class Bell:
    """Calls ``wake`` soon after it was rung, on a thread of its own; several rings shortly after another are one.

    A ring that is lost does no harm: beat calls as well.
    """

    def __init__(self, wake: Callable[[], object]) -> None:
        """Nothing runs until it is rung for the first time."""
        self._wake = wake
        self._rung = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def ring(self) -> None:
        """Says that something waits."""
        self._rung.set()
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep_waking, daemon=True)
                self._thread.start()

    def _keep_waking(self) -> None:
        while True:
            self._rung.wait()
            self._rung.clear()
            self._wake()
            time.sleep(REST_S)
