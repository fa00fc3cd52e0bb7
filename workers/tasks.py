"""The Celery tasks. Each may be delivered twice, or never: what is true stands in the database."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from celery.signals import worker_process_init, worker_ready
from sqlalchemy.exc import OperationalError

from annotation.db import Database, utcnow
from annotation.store import campaigns, places, runs
from workers import hooks, polling, supervise
from workers.queue import CONTROL, POLL, SWEEP, TELL, TRAIN, TRAINING, make_app, wake
from workers.settings import Settings
from workers.watchdog import die_with_parent

settings = Settings()
app = make_app(settings)
log = logging.getLogger(__name__)
NAME = f"{socket.gethostname()}:{os.getpid()}"
SAY_SO_EVERY_S = 15


@app.task(name=TRAIN)
def train(run_id: int) -> None:
    """Works on a run, if it still waits for a worker."""
    database = Database(settings.database_url)
    try:
        supervise.work(database, settings, run_id, f"{socket.gethostname()}:{os.getpid()}")
    finally:
        database.dispose()


@app.task(name=SWEEP)
def sweep() -> None:
    """Takes runs back from the dead and wakes somebody for those that wait; frees places whose lease has run out."""
    with _unless_away("sweeping"):
        for run_id in _swept():
            wake(app, run_id)


def _swept() -> Sequence[int]:
    database = Database(settings.database_url)
    try:
        with database.writing() as session:
            waiting = runs.sweep(session)
        with database.writing() as session:
            for campaign in campaigns.every(session):
                places.reclaim_expired(session, campaign.id, utcnow())
    finally:
        database.dispose()
    return waiting


@app.task(name=TELL)
def tell() -> None:
    """Sends what hooks wait for."""
    with _unless_away("telling hooks"):
        hooks.send_all_due(settings)


@app.task(name=POLL)
def poll() -> None:
    """Submits what waits for an engine, and asks about what engines carry."""
    with _unless_away("polling"):
        database = Database(settings.database_url)
        try:
            polling.poll(database, settings, NAME)
        finally:
            database.dispose()


@contextmanager
def _unless_away(work: str) -> Iterator[None]:
    """Work that beat asks for again in a few seconds: where the database is away or busy, that is soon enough."""
    try:
        yield
    except OperationalError as error:
        log.warning("%s waits for the next time: %s", work, error.orig)


@worker_process_init.connect
def _end_with_the_worker(**_kwargs: Any) -> None:
    """A pool process in the middle of a run would not notice that its worker was killed."""
    die_with_parent()


@worker_ready.connect
def _say_so(sender: Any = None, **_kwargs: Any) -> None:
    """Keeps telling the database that this worker listens, and looks for runs that waited for one."""
    queues = {queue.name for queue in sender.task_consumer.queues}
    queue = TRAINING if TRAINING in queues else CONTROL
    threading.Thread(target=_keep_saying_so, args=(queue,), daemon=True).start()


def _keep_saying_so(queue: str) -> None:
    database = Database(settings.database_url)
    heard = False
    while True:
        heard = say_so(database, queue, first=not heard) or heard
        threading.Event().wait(SAY_SO_EVERY_S)


def say_so(database: Database, queue: str, *, first: bool) -> bool:
    """Tells the database that this worker listens, and the first time looks for runs that waited; whether it could.

    A database that is away, or busy with a large import for longer than one waits, is told the next time.
    """
    try:
        with database.writing() as session:
            runs.heard_of(session, f"{queue}@{NAME}", queue)
            waiting = runs.sweep(session) if first else []
        for run_id in waiting:
            wake(app, run_id)
    except OperationalError as error:
        log.warning("this worker says that it listens in %s s, for now: %s", SAY_SO_EVERY_S, error.orig)
        return False
    except Exception:
        log.exception("this worker could not say that it listens")
        return False
    return True
