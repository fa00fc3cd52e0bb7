"""On this machine: a process tree that ends with the worker that started it."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from workers.launchers import commands
from workers.launchers.launcher import Job, Launcher, Phase, State

ENDS_S = 10.0
PID = "watchdog.pid"


class Local(Launcher):
    """The training under a watchdog, whose lifeline this process holds."""

    KEPT: ClassVar[Sequence[str]] = commands.KEPT_ENVIRONMENT

    def __init__(self, processes: int = 1) -> None:
        """``processes`` train together, by torchrun where there are several."""
        self._count = processes
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def command(self, job: Job) -> Sequence[str]:
        """What the watchdog runs."""
        return commands.training(job.folder, sys.executable, self._count)

    def submission(self, job: Job) -> str:
        """The command as one would type it."""
        return shlex.join(self.command(job)) + "\n"

    def find(self, job: Job) -> str | None:
        """None: what an earlier worker left behind is ended, not taken up."""
        end_leftover(job.folder)
        return None

    def submit(self, job: Job) -> str:
        """Starts the tree, with nothing of this process's secrets in its environment."""
        environment = commands.kept(self.KEPT) | commands.SAID_TO_TRAININGS
        command = [sys.executable, "-m", "workers.watchdog", "--", *self.command(job)]
        with job.log.open("ab") as printed:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=printed, stderr=printed, env=environment)
        self._started[str(process.pid)] = process
        (job.folder / PID).write_text(str(process.pid))
        return str(process.pid)

    def state(self, external_id: str) -> State:
        """Whether the tree still works."""
        status = self._started[external_id].poll()
        return State(Phase.RUNNING) if status is None else State(Phase.ENDED, status)

    def cancel(self, external_id: str) -> None:
        """Cuts the lifeline and waits until the tree is gone."""
        process = self._started[external_id]
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(timeout=ENDS_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def end_leftover(folder: Path) -> None:
    """Ends a watchdog of an earlier attempt on this machine, should one still stand."""
    file = folder / PID
    if not file.exists():
        return
    with contextlib.suppress(ValueError, ProcessLookupError, FileNotFoundError):
        pid = int(file.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"workers.watchdog" in command and str(folder).encode() in command:
            os.kill(pid, signal.SIGTERM)
            _wait_until_gone(pid)


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + ENDS_S
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
