"""What a worker does again and again puts up with a database that is away, or busy for long."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from annotation.db import Database
from annotation.store import runs
from workers import tasks
from workers.queue import CONTROL
from workers.settings import Settings

AWAY = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"


@pytest.fixture
def backend() -> str:
    """Of the two, the one where a large import keeps all others from writing."""
    return "sqlite"


def listening(database: Database) -> int:
    with database.reading() as session:
        return len(runs.listening(session, CONTROL))


def warned(caplog: pytest.LogCaptureFixture) -> list[Any]:
    """Whether each thing that was logged came with a traceback."""
    return [each.exc_info for each in caplog.records if each.name == tasks.__name__]


def test_a_worker_that_cannot_say_that_it_listens_says_so_the_next_time(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("annotation.db.BUSY_TIMEOUT_MS", 50)
    hasty = Database(database.url.render_as_string())
    with database.writing() as session:
        assert listening(database) == 0  # this one writes, as an import does
        session.connection()
        assert not tasks.say_so(hasty, CONTROL, first=True)
    assert warned(caplog) == [None]
    assert tasks.say_so(hasty, CONTROL, first=True)
    assert listening(database) == 1
    hasty.dispose()


@pytest.mark.parametrize("work", [tasks.sweep, tasks.tell, tasks.poll])
def test_what_beat_asks_for_again_waits_for_a_database_that_is_away(
    work: Callable[[], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(tasks, "settings", Settings(DATABASE_URL=AWAY))
    work()
    assert warned(caplog) == [None]
