"""Working on one claimed run: the training as a process tree of its own, watched from beside it.

What it writes is carried to the database every few seconds under the claim's token; the lease is renewed by this
watcher, not by the training, whose evaluation or saving may take long. When the token is lost or a cancel is asked for,
the tree is ended.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from pathlib import Path

from sqlalchemy.exc import OperationalError

from annotation.db import Database
from annotation.run_tables import RunState
from annotation.store import runs
from annotation.store.runs import LostRunError
from rlhf.records import N_
from workers import carrying, outcomes
from workers.carrying import LOG, RECORDS, Reader
from workers.holding import holding
from workers.launchers import config
from workers.launchers.config import LaunchersError
from workers.launchers.launcher import Job, Launcher, Phase
from workers.settings import Settings
from workers.spec import write_spec

POLL_S = 1.0
LEAST_FREE_BYTES = 500_000_000
DISK_FULL = N_("The disk is nearly full: make room, then start the run again.")

log = logging.getLogger(__name__)


def work(database: Database, settings: Settings, run_id: int, worker: str) -> bool:
    """Claims the run and works on it until it ends; says whether it was this worker's to work on."""
    with database.writing() as session:
        token = runs.claim(session, run_id, worker)
    if token is None:
        return False
    try:
        _work(database, settings, run_id, token)
    except LostRunError:
        log.warning("run %s was taken over; this worker lets it go", run_id)
    except OperationalError:
        log.exception("the database is away: run %s is left to the sweeper, which has it resumed", run_id)
    except LaunchersError as error:
        log.warning("run %s is not launched: %s", run_id, error)
        fail(database, run_id, token, str(error))
    except Exception as error:
        log.exception("run %s failed in its worker", run_id)
        fail(database, run_id, token, f"{type(error).__name__}: {error}")
    return True


def fail(database: Database, run_id: int, token: int, error: str) -> None:
    """Ends the run as failed, where it is still this token's."""
    with contextlib.suppress(LostRunError), database.writing() as session:
        runs.finish(session, run_id, token, RunState.FAILED, error=error)


def _work(database: Database, settings: Settings, run_id: int, token: int) -> None:
    with database.reading() as session:
        run = runs.get(session, run_id)
    launcher = config.chosen(settings.launchers, run.launcher, run.engine)
    job = Job(run_id, run.submission, settings.runs / str(run_id))
    job.folder.mkdir(parents=True, exist_ok=True)
    if is_full(job.folder):
        return fail(database, run_id, token, DISK_FULL)
    with holding(database, run_id, token, runs.HEARTBEAT_S):
        launcher.find(job)
        with database.reading() as session:
            write_spec(session, runs.get(session, run_id), job.folder)
    watcher = _Watcher(database, job.folder, run_id, token)
    process = launcher.submit(job)
    try:
        cancelled = watcher.watch(launcher, process)
    finally:
        launcher.cancel(process)
    watcher.carry()
    status = launcher.state(process).status
    return outcomes.conclude(database, job.folder, run_id, token, status, cancelled=cancelled)


def is_full(folder: Path) -> bool:
    """Whether the disk of a folder has no room for a run."""
    return shutil.disk_usage(folder).free < LEAST_FREE_BYTES


class _Watcher:
    """Carries what the training writes to the database, and renews the lease."""

    def __init__(self, database: Database, folder: Path, run_id: int, token: int) -> None:
        """From what is in the folder now on."""
        self._database, self._run_id, self._token = database, run_id, token
        with database.reading() as session:
            kept = runs.log_size(session, run_id)
        records, printed = (carrying.size(folder / name) for name in (RECORDS, LOG))
        self._reader = Reader(folder, records=records, log=printed, kept=kept)
        self._renewed_at = time.monotonic()

    def watch(self, launcher: Launcher, process: str) -> bool:
        """Until the training ends (False) or a cancel is asked for (True); raises LostRunError."""
        carried_at = 0.0
        while launcher.state(process).phase is Phase.RUNNING:
            if time.monotonic() - carried_at >= POLL_S:
                carried_at = time.monotonic()
                if self._carry_or_wait():
                    return True
            time.sleep(0.1)
        return False

    def _carry_or_wait(self) -> bool:
        """Like ``carry``; a database that is away for a moment is tried again, for as long as the lease may be ours."""
        before = self._reader.place
        try:
            cancel = self.carry()
        except OperationalError:
            self._reader.go_back(before)
            if time.monotonic() - self._renewed_at > runs.LEASE.total_seconds():
                raise
            log.warning("the database is away; run %s goes on, and is carried later", self._run_id)
            return False
        self._renewed_at = time.monotonic()
        return cancel

    def carry(self) -> bool:
        """Moves what is new to the database; returns whether a cancel was asked for."""
        piece = self._reader.read()
        with self._database.writing() as session:
            cancel = runs.renew(session, self._run_id, self._token, **piece.progress)
            runs.append(session, self._run_id, piece.records, piece.printed)
        return cancel
