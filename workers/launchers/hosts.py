"""On several hosts: torchrun on each of them by ssh, all of it held by the worker that started it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import ClassVar

from workers.launchers import commands
from workers.launchers.launcher import Job
from workers.launchers.local import Local


class Hosts(Local):
    """One torchrun a host; the first host is where they meet.

    On each host the training stands under a watchdog whose lifeline is the connection: where that ends, it ends.
    """

    KEPT: ClassVar[Sequence[str]] = commands.KEPT_FOR_ENGINES  # ssh needs to know its user and agent

    def __init__(self, hosts: Sequence[str], processes: int, port: int, python: str, setup: str) -> None:
        """``hosts`` as ssh knows them; ``processes`` on each; ``setup`` is a line of their shells."""
        super().__init__(processes)
        self._hosts, self._port, self._python, self._setup = hosts, port, python, setup

    def command(self, job: Job) -> Sequence[str]:
        """What starts the training on all hosts and ends with the first that fails: host and line in turn."""
        lines = [
            part
            for rank, host in enumerate(self._hosts)
            for part in (host, f"bash -c {shlex.quote(self.line(job, rank))}")
        ]
        return [sys.executable, "-m", "workers.launchers.fan_out", *lines]

    def submission(self, job: Job) -> str:
        """What each host is told."""
        return "\n".join(f"# {host}\n{self.line(job, rank)}\n" for rank, host in enumerate(self._hosts))

    def line(self, job: Job, rank: int) -> str:
        """What bash is told on one host."""
        meeting = {"NODE_RANK": str(rank), "MASTER_ADDR": self._hosts[0].rpartition("@")[2]}
        meeting["MASTER_PORT"] = str(self._port)
        told = [f"export {name}={shlex.quote(value)}" for name, value in meeting.items()]
        node = commands.on_node(job.folder, self._python, self._count, len(self._hosts))
        steps = [*commands.exports(), *told, *([self._setup] if self._setup else [])]
        return "\n".join([*steps, f"exec {shlex.quote(self._python)} -m workers.watchdog -- {node}"])
