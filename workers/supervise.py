"""Working on one claimed run: the training as a process tree of its own, watched from beside it.

What it writes is carried to the database every few seconds under the claim's token; the lease is renewed by this
watcher, not by the training, whose evaluation or saving may take long. When the token is lost or a cancel is asked for,
the tree is ended.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sqlalchemy.exc import OperationalError

from annotation.db import Database
from annotation.run_tables import RunState
from annotation.store import runs
from annotation.store.runs import LostRunError
from rlhf.records import N_
from workers import outcomes
from workers.holding import holding
from workers.settings import Settings
from workers.spec import write_spec

POLL_S = 1.0
LEFTOVER_ENDS_S = 10.0
LOG_PIECE = 64 * 1024
LOG_MOST = 2_000_000
LEAST_FREE_BYTES = 500_000_000
DISK_FULL = N_("The disk is nearly full: make room, then start the run again.")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "PYTHONPATH",
                    "OMP_NUM_THREADS", "VIRTUAL_ENV", "NVIDIA_VISIBLE_DEVICES")  # fmt: skip

log = logging.getLogger(__name__)


@dataclass
class Tail:
    """Reads what was added to a file since the last look, in whole lines."""

    file: Path
    position: int = 0

    def read(self, most: int) -> str:
        """New whole lines, at most about ``most`` characters."""
        if not self.file.exists():
            return ""
        with self.file.open("rb") as stream:
            stream.seek(self.position)
            data = stream.read(most)
        end = data.rfind(b"\n") + 1 if len(data) < most or b"\n" in data else len(data)
        self.position += end
        return data[:end].decode("utf-8", errors="replace")


def work(database: Database, settings: Settings, run_id: int, worker: str) -> bool:
    """Claims the run and works on it until it ends; says whether it was this worker's to work on."""
    with database.writing() as session:
        token = runs.claim(session, run_id, worker)
    if token is None:
        return False
    folder = settings.runs / str(run_id)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _work(database, folder, run_id, token)
    except LostRunError:
        log.warning("run %s was taken over; this worker lets it go", run_id)
    except OperationalError:
        log.exception("the database is away: run %s is left to the sweeper, which has it resumed", run_id)
    except Exception as error:
        log.exception("run %s failed in its worker", run_id)
        with contextlib.suppress(LostRunError), database.writing() as session:
            runs.finish(session, run_id, token, RunState.FAILED, error=f"{type(error).__name__}: {error}")
    return True


def _work(database: Database, folder: Path, run_id: int, token: int) -> None:
    if shutil.disk_usage(folder).free < LEAST_FREE_BYTES:
        with database.writing() as session:
            runs.finish(
                session,
                run_id,
                token,
                RunState.FAILED,
                error=DISK_FULL,
            )
        return
    with holding(database, run_id, token, runs.HEARTBEAT_S):
        _end_leftover(folder)
        with database.reading() as session:
            write_spec(session, runs.get(session, run_id), folder)
    position = {name: _size(folder / name) for name in ("records.jsonl", "log.txt")}
    with (folder / "log.txt").open("ab") as printed:
        process = _start(folder, printed)
        (folder / "watchdog.pid").write_text(str(process.pid))
        try:
            watcher = _Watcher(database, folder, run_id, token, position)
            cancelled = watcher.watch(process)
        finally:
            _end(process)
    watcher.carry()
    outcomes.conclude(database, folder, run_id, token, process.returncode, cancelled=cancelled)


def _start(folder: Path, printed: IO[bytes]) -> subprocess.Popen[bytes]:
    """The training under its watchdog, with nothing of this process's secrets in its environment."""
    environment = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONUNBUFFERED": "1",
                    "TOKENIZERS_PARALLELISM": "false", "NO_COLOR": "1"}  # fmt: skip
    command = [sys.executable, "-m", "workers.watchdog", "--", sys.executable, "-m", "rlhf", "spec", str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=printed, stderr=printed, env=environment)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Cuts the lifeline and waits until the tree is gone."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_leftover(folder: Path) -> None:
    """Ends a watchdog of an earlier attempt on this machine, should one still stand."""
    file = folder / "watchdog.pid"
    if not file.exists():
        return
    with contextlib.suppress(ValueError, ProcessLookupError, FileNotFoundError):
        pid = int(file.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"workers.watchdog" in command and str(folder).encode() in command:
            os.kill(pid, signal.SIGTERM)
            _wait_until_gone(pid)


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + LEFTOVER_ENDS_S
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)


class _Watcher:
    """Carries what the training writes to the database, and renews the lease."""

    def __init__(self, database: Database, folder: Path, run_id: int, token: int, position: dict[str, int]) -> None:
        self._database, self._run_id, self._token = database, run_id, token
        self._records = Tail(folder / "records.jsonl", position["records.jsonl"])
        self._log = Tail(folder / "log.txt", position["log.txt"])
        with database.reading() as session:
            self._kept = runs.log_size(session, run_id)
        self._renewed_at = time.monotonic()

    def watch(self, process: subprocess.Popen[bytes]) -> bool:
        """Until the training ends (False) or a cancel is asked for (True); raises LostRunError."""
        carried_at = 0.0
        while process.poll() is None:
            if time.monotonic() - carried_at >= POLL_S:
                carried_at = time.monotonic()
                if self._carry_or_wait():
                    return True
            time.sleep(0.1)
        return False

    def _carry_or_wait(self) -> bool:
        """Like ``carry``; a database that is away for a moment is tried again, for as long as the lease may be ours."""
        before = self._records.position, self._log.position, self._kept
        try:
            cancel = self.carry()
        except OperationalError:
            self._records.position, self._log.position, self._kept = before
            if time.monotonic() - self._renewed_at > runs.LEASE.total_seconds():
                raise
            log.warning("the database is away; run %s goes on, and is carried later", self._run_id)
            return False
        self._renewed_at = time.monotonic()
        return cancel

    def carry(self) -> bool:
        """Moves what is new to the database; returns whether a cancel was asked for."""
        records, progress = self._new_records()
        printed = self._new_log()
        with self._database.writing() as session:
            cancel = runs.renew(session, self._run_id, self._token, **progress)
            runs.append(session, self._run_id, records, printed)
        return cancel

    def _new_records(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        records: list[dict[str, Any]] = []
        progress: dict[str, Any] = {}
        for line in self._records.read(LOG_PIECE).split("\n")[:-1]:
            row = json.loads(line)
            if "progress" in row:
                progress = row["progress"]
            else:
                records.append(row)
        return records, progress

    def _new_log(self) -> str:
        if self._kept > LOG_MOST:
            return ""
        printed = clean(self._log.read(LOG_PIECE))
        self._kept += len(printed)
        if self._kept > LOG_MOST:
            printed += "\n… the rest of the log is in the run's folder: log.txt\n"
        return printed


def clean(printed: str) -> str:
    """Text without terminal colours and control characters; of a line that was overwritten only its last state."""
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in printed.split("\n"))
    return CONTROL.sub("", "\n".join(lines))


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
