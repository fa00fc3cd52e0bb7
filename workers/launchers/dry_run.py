"""What a run was submitted as, or would be: for people to read before and after."""

from __future__ import annotations

from annotation.run_tables import Run, RunState
from workers.launchers import config
from workers.launchers.config import LaunchersError
from workers.launchers.launcher import Job
from workers.settings import Settings

SUBMISSION = "submission.txt"


def submission(settings: Settings, run: Run) -> str:
    """What was handed over last, else what would be; where that cannot be said, why."""
    handed_over = settings.runs / str(run.id) / SUBMISSION
    if handed_over.exists():
        return handed_over.read_text(encoding="utf-8")
    try:
        return would_be(settings, run, run.launcher)
    except LaunchersError as error:
        return f"{error}\n"


def would_be(settings: Settings, run: Run, name: str) -> str:
    """What the next submission of a run would be on a launcher; raises LaunchersError."""
    table = config.named(settings.launchers, name)
    number = run.submission + (run.state is RunState.QUEUED)
    return table.launcher().submission(Job(run.id, number, settings.runs / str(run.id)))
