"""What every launcher can do, whatever carries the processes."""

from __future__ import annotations

import enum
import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

CANCELLED = 143  # as of a process that was told to end


class EngineAwayError(Exception):
    """The engine cannot be asked at this moment; nothing is known, and the same is tried again."""


class RefusedError(Exception):
    """The engine takes no such job; the message is the engine's own."""


class Phase(enum.StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"
    LOST = "lost"


@dataclass(frozen=True)
class State:
    """Where a job stands; ``status`` is the training's exit status where it ended, ``said`` what the engine says of it.

    LOST is a job that the engine ended and not its training (a node failed, the time was over), or does not know.
    """

    phase: Phase
    status: int = 0
    said: str = ""


@dataclass(frozen=True)
class Job:
    """One submission of a run. Its name is the same however often it is asked for, so that none is submitted twice."""

    run_id: int
    submission: int
    folder: Path

    @property
    def name(self) -> str:
        """What an engine calls it: apart from those of other installations by the folder that the runs lie in."""
        installation = hashlib.sha256(str(self.folder.parent).encode()).hexdigest()[:6]
        return f"zhongjing-{installation}-{self.run_id}-{self.submission}"

    @property
    def log(self) -> Path:
        """Where the processes print."""
        return self.folder / "log.txt"


class Launcher(ABC):
    """Hands a job to what carries it, and asks about it. All but ``submission`` raise EngineAwayError."""

    @abstractmethod
    def submission(self, job: Job) -> str:
        """What is handed over, as text; nothing is."""

    @abstractmethod
    def find(self, job: Job) -> str | None:
        """The external id of a job that was submitted already; None where there is none."""

    @abstractmethod
    def submit(self, job: Job) -> str:
        """Hands the job over and returns its external id; raises RefusedError where the engine takes none such."""

    @abstractmethod
    def state(self, external_id: str) -> State:
        """Where the job stands."""

    @abstractmethod
    def cancel(self, external_id: str) -> None:
        """Has the job ended, all its processes; nothing where it is over."""
