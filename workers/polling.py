"""Runs on engines: submitted once, then asked about every few seconds, without anybody waiting for them.

Each poll takes a run up with a token of its own and lets it go. The job's name follows from the run and the number of
its submission, and the job is looked for by that name before it is submitted: whoever dies between submitting and
writing down what the engine calls it, the next poll finds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy.exc import OperationalError

from annotation.db import Database
from annotation.run_tables import Run, RunState
from annotation.store import engine_runs, runs
from annotation.store.runs import LostRunError
from rlhf.checkpoints import MODEL, is_complete
from rlhf.records import N_
from workers import outcomes, supervise
from workers.carrying import Reader
from workers.launchers import config
from workers.launchers.config import LaunchersError
from workers.launchers.dry_run import SUBMISSION
from workers.launchers.launcher import EngineAwayError, Job, Launcher, Phase, RefusedError, State
from workers.settings import Settings
from workers.spec import write_spec

WAITS = N_("waits in the queue of the engine")
MOST_PIECES = 200

log = logging.getLogger(__name__)


def poll(database: Database, settings: Settings, poller: str) -> None:
    """Looks at every run that engines carry or are to carry; an engine that is away is asked once."""
    with database.reading() as session:
        live = engine_runs.live(session)
    away: set[str] = set()
    for run_id, launcher in live:
        if launcher not in away and not look(database, settings, run_id, poller):
            away.add(launcher)


def look(database: Database, settings: Settings, run_id: int, poller: str) -> bool:
    """Brings one run to where its job is, and says whether the engine answered."""
    with database.writing() as session:
        token = engine_runs.take_up(session, run_id, poller)
    if token is None:
        return True
    with database.reading() as session:
        run = runs.get(session, run_id)
    job = Job(run.id, run.submission, settings.runs / str(run.id))
    one = _Look(database, settings.launchers, run, token, job, out=run.external_id is not None or _was_handed_over(job))
    try:
        one.look()
    except LostRunError:
        log.warning("run %s was taken up by another poll; this one lets it go", run_id)
    except EngineAwayError as error:
        log.warning("run %s is looked at again later: %s", run_id, error)
        return False
    except (RefusedError, LaunchersError) as error:
        log.warning("run %s could not be looked at: %s", run_id, error)
        one.end_unless_out(str(error))
    except OperationalError:
        raise
    except Exception as error:
        log.exception("run %s could not be looked at", run_id)
        one.end_unless_out(f"{type(error).__name__}: {error}")
    finally:
        with contextlib.suppress(LostRunError), database.writing() as session:
            engine_runs.let_go(session, run_id, token)
    return True


def _was_handed_over(job: Job) -> bool:
    """Whether an earlier look may have handed this submission over: before it does so, it writes down what."""
    try:
        written = (job.folder / SUBMISSION).read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return re.search(rf"{re.escape(job.name)}(?!\d)", written) is not None


@dataclass
class _Look:
    """One look at one run, under a token that is this look's; ``out`` says whether its job may be with the engine."""

    database: Database
    launchers: Path
    run: Run
    token: int
    job: Job
    out: bool

    @cached_property
    def launcher(self) -> Launcher:
        """Raises LaunchersError where the run's launcher is no longer configured."""
        return config.chosen(self.launchers, self.run.launcher, self.run.engine)

    def look(self) -> None:
        """Submits what is not submitted, then asks, carries, and concludes what is over."""
        external_id = self.run.external_id or self._submit()
        if external_id is None:
            return
        cancel = self._renew()
        if cancel:
            self.launcher.cancel(external_id)
        state = self.launcher.state(external_id)
        over = state.phase in (Phase.ENDED, Phase.LOST)
        with self._failing() if over else contextlib.nullcontext():
            self._carry(state)
            if over:
                self._conclude(state, cancelled=cancel)

    def end_unless_out(self, error: str) -> None:
        """Ends a run that cannot be handed over; no error ends one whose job may be at work: it is looked at again."""
        if not self.out:
            supervise.fail(self.database, self.run.id, self.token, error)

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """Ends the run as failed where its end cannot be concluded: its job is over, and would be so again."""
        try:
            yield
        except (LostRunError, OperationalError):
            raise
        except Exception as error:
            log.exception("run %s could not be concluded", self.run.id)
            supervise.fail(self.database, self.run.id, self.token, f"{type(error).__name__}: {error}")

    def _submit(self) -> str | None:
        """The external id of the job, which is written down; None where there is to be none, or another submits."""
        self.job.folder.mkdir(parents=True, exist_ok=True)
        with self._alone() as alone:
            if not alone:
                return None
            cancel = self._renew()
            self.out = _was_handed_over(self.job)
            external_id = None if cancel and not self.out else self.launcher.find(self.job)
            self.out = external_id is not None
            if external_id is None and cancel:
                self._finish(RunState.CANCELLED)
                return None
            if external_id is None:
                external_id = self._hand_over()
            self._renew(external_id=external_id)
        return external_id

    def _hand_over(self) -> str:
        if supervise.is_full(self.job.folder):
            raise RefusedError(supervise.DISK_FULL)
        with self.database.reading() as session:
            write_spec(session, runs.get(session, self.run.id), self.job.folder)
        (self.job.folder / SUBMISSION).write_text(self.launcher.submission(self.job), encoding="utf-8")
        self._renew()
        self.out = True
        try:
            return self.launcher.submit(self.job)
        except RefusedError:
            self.out = False
            raise

    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether nobody else submits this run: not even one that was stopped for so long that its token is void."""
        with (self.job.folder / "submitting").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def _carry(self, state: State) -> None:
        """Moves everything that is new in the folder to the database, a piece a transaction with how far that is."""
        if state.said:
            with self.job.log.open("a", encoding="utf-8") as printed:
                printed.write(f"{state.said}\n")
        with self.database.reading() as session:
            kept = runs.log_size(session, self.run.id)
        reader = Reader(self.job.folder, records=self.run.records_read, log=self.run.log_read, kept=kept)
        phase = WAITS if state.phase is Phase.QUEUED else ""
        told = {"phase": phase} if phase or self.run.phase == WAITS else {}
        for _ in range(MOST_PIECES):
            before, piece = reader.positions, reader.read()
            records_read, log_read = reader.positions
            with self.database.writing() as session:
                runs.renew(session, self.run.id, self.token, records_read=records_read, log_read=log_read,
                           **told | piece.progress)  # fmt: skip
                runs.append(session, self.run.id, piece.records, piece.printed)
            if reader.positions == before:
                return
            told = {}

    def _conclude(self, state: State, *, cancelled: bool) -> None:
        """Ends the run as its job ended; one whose job was lost is submitted again, unless it had done everything."""
        done = is_complete(self.job.folder / MODEL) and (self.job.folder / outcomes.RESULT).exists()
        if cancelled:
            self._finish(RunState.CANCELLED)
        elif state.phase is Phase.LOST and not done:
            with self.database.writing() as session:
                engine_runs.submit_again(session, self.run.id, self.token)
        else:
            status = state.status if state.phase is Phase.ENDED else 0
            outcomes.conclude(self.database, self.job.folder, self.run.id, self.token, status, cancelled=False)

    def _finish(self, state: RunState) -> None:
        with self.database.writing() as session:
            runs.finish(session, self.run.id, self.token, state)

    def _renew(self, **values: Any) -> bool:
        """Holds the run; returns whether a cancel was asked for."""
        with self.database.writing() as session:
            return runs.renew(session, self.run.id, self.token, **values)
