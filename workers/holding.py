"""Holding a run while its worker is busy with something that takes long and says nothing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import OperationalError

from annotation.db import Database
from annotation.store import runs
from annotation.store.runs import LostRunError

log = logging.getLogger(__name__)


@contextmanager
def holding(database: Database, run_id: int, token: int, every_s: float) -> Iterator[None]:
    """Renews the lease of a run from a thread for as long as the block takes.

    Raises LostRunError at the end of the block where the run was taken over. A database that is away for a moment is
    asked again: whoever writes the end of the run finds out whether it is still theirs.
    """
    over, lost = threading.Event(), threading.Event()

    def keep() -> None:
        while not over.wait(every_s):
            try:
                with database.writing() as session:
                    runs.renew(session, run_id, token)
            except LostRunError:
                lost.set()
                return
            except OperationalError:
                log.warning("the database is away; run %s is held again when it is back", run_id)

    thread = threading.Thread(target=keep, name=f"holding run {run_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if lost.is_set():
        raise LostRunError(f"run {run_id} was taken over while its worker was busy")
