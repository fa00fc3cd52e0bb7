"""``make demo``: the way through the method, told in the terminal while the browser shows it."""

from __future__ import annotations

import threading
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from annotation import migrate
from annotation.db import Database
from annotation.run_tables import Run
from app import launch
from app.demo import campaign as sample
from app.demo.path import DemoFailedError, Walk
from app.demo.people import VISITORS
from app.settings import Settings

console = Console()


def show(settings: Settings, *, serve_on: bool) -> int:
    """Starts everything, walks the way, and goes on serving; returns the exit status."""
    settings.home.mkdir(parents=True, exist_ok=True)
    migrate.upgrade(settings.database_url)
    database = Database(settings.database_url)
    sample.prepare(database)
    services = launch.Services(settings)
    services.start()
    _say_where(settings)
    status = [0]
    walker = threading.Thread(target=_walk, args=(settings, database, services, status, serve_on), daemon=True)
    walker.start()
    launch.run_until_interrupted(services)
    return status[0]


def _walk(settings: Settings, database: Database, services: launch.Services, status: list[int], serve_on: bool) -> None:
    began = time.monotonic()
    try:
        with _progress() as progress:
            task = progress.add_task("", total=None)

            def watch(what: str, done: int, of: int) -> None:
                progress.update(task, description=what, completed=done, total=of or None)

            walk = Walk(settings, database, watch)
            run = walk.to_the_end(walk.to_the_snapshot())
        _say_result(settings, run, time.monotonic() - began)
    except DemoFailedError as error:
        console.print(f"[red]{error}[/]")
        status[0] = 1
        serve_on = False
    if not serve_on:
        services.ask_to_stop()


def _progress() -> Progress:
    columns = (TextColumn("{task.description:<48}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total}"))
    return Progress(*columns, TimeElapsedColumn(), console=console)


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
    console.print(
        f"The end of the path after {seconds / 60:.1f} minutes: mean score of held-out answers "
        f"{result['score_before']:.2f} → {result['score_after']:.2f} at a divergence of {result['kl_after']:.1f} nats; "
        f"before and after: http://{settings.host}:{settings.port}/admin/runs/{run.id}/comparison"
    )
    console.print("Turns and contested turns are left for you. Ctrl-C ends everything.")
