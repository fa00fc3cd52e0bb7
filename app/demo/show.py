"""``make demo``: the way through the method, told in the terminal while the browser shows it."""

from __future__ import annotations

import threading
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from annotation import migrate
from annotation.db import Database
from annotation.run_tables import Run
from app import launch
from app.demo import campaign as sample
from app.demo.path import DemoFailedError, Walk
from app.demo.people import VISITORS
from app.settings import Settings

WALKED_BEFORE_S = 15

console = Console(highlight=False)


class Telling:
    """A line for each step of the way: one that grows in a terminal, one that is printed once elsewhere."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._what = ""

    def watch(self, what: str, done: int, of: int, detail: str = "") -> None:
        """Says what is going on and how far it is."""
        if what != self._what:
            self._begin(what)
        assert self._task is not None
        self._progress.update(self._task, completed=done, total=of or None, detail=detail)

    def end(self) -> None:
        """The step that is going on is done."""
        if self._task is not None:
            self._progress.update(self._task, detail="")
            self._progress.stop_task(self._task)

    def _begin(self, what: str) -> None:
        self.end()
        self._what, self._task = what, self._progress.add_task(what, total=None, detail="")
        if not self._progress.console.is_terminal:
            self._progress.console.print(f"{time.strftime('%H:%M:%S')}  {what}")


def show(settings: Settings, *, serve_on: bool) -> int:
    """Starts everything, walks the way, and goes on serving; returns the exit status. Raises CannotServeError."""
    settings.home.mkdir(parents=True, exist_ok=True)
    migrate.upgrade(settings.database_url)
    database = Database(settings.database_url)
    sample.prepare(database)
    services = launch.Services(settings)
    services.start()
    _say_where(settings)
    status = [1]
    walker = threading.Thread(target=_walk, args=(settings, database, services, status, serve_on), daemon=True)
    walker.start()
    launch.run_until_interrupted(services)
    return status[0]


def _walk(settings: Settings, database: Database, services: launch.Services, status: list[int], serve_on: bool) -> None:
    began = time.monotonic()
    try:
        with _progress() as progress:
            telling = Telling(progress)
            walk = Walk(settings, database, telling.watch)
            run = walk.to_the_end(walk.to_the_snapshot())
            telling.end()
        _say_result(settings, run, time.monotonic() - began)
        status[0] = 0
    except DemoFailedError as error:
        console.print(f"[red]{error}[/]")
    finally:
        if status[0] or not serve_on:
            services.ask_to_stop()


def _progress() -> Progress:
    columns = (
        TextColumn("{task.description:<42}"),
        BarColumn(24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[detail]}[/]"),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _say_where(settings: Settings) -> None:
    console.print(
        f"\n[bold]http://{settings.host}:{settings.port}[/]  sample dialogues, simulated doctors, a tiny model"
    )
    for visitor in VISITORS:
        console.print(
            f"  {visitor.role.value:<12} login [bold]{visitor.login}[/], password [bold]{visitor.password}[/]"
        )
    console.print()


def _say_result(settings: Settings, run: Run, seconds: float) -> None:
    result = run.result or {}
    when = f"after {seconds / 60:.1f} minutes" if seconds >= WALKED_BEFORE_S else "was reached before"
    console.print(
        f"\nThe end of the path {when}: mean score of held-out answers "
        f"{result['score_before']:.2f} → {result['score_after']:.2f} at a divergence of {result['kl_after']:.1f} nats; "
        f"before and after: http://{settings.host}:{settings.port}/admin/runs/{run.id}/comparison",
        soft_wrap=True,
    )
    console.print("Turns and contested turns are left for you. Ctrl-C ends everything.")
