"""The Celery tasks. Each may be delivered twice, or never: what is true stands in the database."""

from __future__ import annotations

import logging
import os
import socket
import threading
from typing import Any

from celery.signals import worker_process_init, worker_ready

from annotation.db import Database, utcnow
from annotation.store import campaigns, places, runs
from workers import hooks, supervise
from workers.queue import CONTROL, SWEEP, TELL, TRAIN, TRAINING, make_app, wake
from workers.settings import Settings
from workers.watchdog import die_with_parent

settings = Settings()
app = make_app(settings)
log = logging.getLogger(__name__)
NAME = f"{socket.gethostname()}:{os.getpid()}"


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
    database = Database(settings.database_url)
    try:
        with database.writing() as session:
            waiting = runs.sweep(session)
        with database.writing() as session:
            for campaign in campaigns.every(session):
                places.reclaim_expired(session, campaign.id, utcnow())
    finally:
        database.dispose()
    for run_id in waiting:
        wake(app, run_id)


@app.task(name=TELL)
def tell() -> None:
    """Sends what hooks wait for."""
    hooks.send_all_due(settings)


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
    first = True
    while True:
        try:
            with database.writing() as session:
                runs.heard_of(session, f"{queue}@{NAME}", queue)
                waiting = runs.sweep(session) if first else []
            for run_id in waiting:
                wake(app, run_id)
            first = False
        except Exception:
            log.exception("this worker could not say that it listens")
        threading.Event().wait(15)
