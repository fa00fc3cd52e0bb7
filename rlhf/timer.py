"""What a run takes: seconds by what it does, and the most memory that it had."""

from __future__ import annotations

import resource
import sys
from collections import defaultdict
from time import perf_counter

import torch

MEBIBYTE = 2**20


class Timer:
    """Counts seconds to whatever was begun last."""

    def __init__(self) -> None:
        """Nothing has begun."""
        self._seconds: dict[str, float] = defaultdict(float)
        self._doing: str | None = None
        self._since = 0.0

    def begin(self, what: str | None) -> None:
        """Ends what was being done; None begins nothing."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = perf_counter()
        if self._doing is not None:
            self._seconds[self._doing] += now - self._since
        self._doing, self._since = what, now

    def said(self) -> dict[str, float]:
        """The seconds so far, for the result of a run; what was being done ends."""
        self.begin(None)
        return {f"seconds_{what}": round(seconds, 3) for what, seconds in self._seconds.items()}


def peak_memory() -> dict[str, int]:
    """The most memory that the process had so far, and on a GPU the most that its tensors had there, in MiB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = {"peak_memory_mb": most // (MEBIBYTE if sys.platform == "darwin" else 1024)}
    if torch.cuda.is_available():
        told["peak_gpu_memory_mb"] = torch.cuda.max_memory_allocated() // MEBIBYTE
    return told
