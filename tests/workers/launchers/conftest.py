"""Stand-ins for engines that a bare machine does not have, and a run to hand to them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from annotation.db import Database, utcnow
from annotation.run_tables import Engine, Run, RunKind
from annotation.store import runs
from annotation.store.runs import NewRun
from workers import polling
from workers.settings import Settings

STAND_IN = Path(__file__).parent / "stand_in.py"
COMMANDS = ("sbatch", "squeue", "sacct", "scancel", "kubectl")


@dataclass(frozen=True)
class StandIn:
    """The jobs that the stand-in of an engine has, and what it was asked."""

    folder: Path

    def known(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "jobs.json").read_text()))

    def say(self, **told: Any) -> None:
        """From now on the engine says so."""
        (self.folder / "jobs.json").write_text(json.dumps(self.known() | told))

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        return dict(self.known()["jobs"])

    def becomes(self, number: str, **told: Any) -> None:
        """What becomes of a job."""
        jobs = self.jobs
        jobs[number] |= told
        self.say(jobs=jobs)

    def calls(self, command: str) -> list[list[str]]:
        """How a command was called so far."""
        file = self.folder / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        return [call[1:] for call in map(json.loads, lines) if call[0] == command]


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """The commands of Slurm and Kubernetes, as stand-ins on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for command in COMMANDS:
        script = folder / command
        script.write_text(f"#!{sys.executable} -IS\n{STAND_IN.read_text(encoding='utf-8')}")
        script.chmod(0o755)
    (folder / "jobs.json").write_text('{"jobs": {}}')
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return StandIn(folder)


CONFIGURED = """
[cluster]
engine = "slurm"
partition = "gpu"
[pods]
engine = "kubernetes"
image = "zhongjing-trainer"
claim = "zhongjing"
mount = "/var/lib/zhongjing"
"""


@pytest.fixture
def settings(database: Database, tmp_path: Path) -> Settings:
    """An installation with two engines."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "launchers.toml").write_text(CONFIGURED)
    return Settings(home=home, DATABASE_URL=database.url.render_as_string(hide_password=False))


@dataclass(frozen=True)
class Carried:
    """A run on an engine, as an admin and the beat see it."""

    database: Database
    settings: Settings
    id: int

    @property
    def folder(self) -> Path:
        return self.settings.runs / str(self.id)

    @property
    def run(self) -> Run:
        with self.database.reading() as session:
            return runs.get(session, self.id)

    def poll(self) -> Run:
        """Lets beat ask once; returns the run after that."""
        polling.poll(self.database, self.settings, "poller")
        return self.run

    def cancel(self, actor_id: int) -> None:
        """What an admin asks for."""
        with self.database.writing() as session:
            runs.cancel(session, self.id, actor_id=actor_id)

    def log(self) -> str:
        with self.database.reading() as session:
            return runs.log_tail(session, self.id)

    def leave(self) -> None:
        """What a training that has ended leaves in its folder."""
        (self.folder / "model").mkdir()
        (self.folder / "model" / "COMPLETE").touch()
        (self.folder / "result.json").write_text(json.dumps({"steps": 4}))

    def write(self, *rows: dict[str, Any]) -> None:
        """What a training writes while it works."""
        with (self.folder / "records.jsonl").open("a") as file:
            file.writelines(json.dumps({"at": 1.0, **row}) + "\n" for row in rows)

    def forget_the_poller(self) -> None:
        """Lets the time pass until another poll may take the run from one that died."""
        with self.database.writing() as session:
            runs.get(session, self.id).leased_until = utcnow() - timedelta(seconds=1)


def start(database: Database, settings: Settings, launcher: str, kind: Engine) -> Carried:
    """An evaluation, which leaves no model to keep, on a launcher."""
    with database.writing() as session:
        wanted = NewRun(RunKind.EVALUATE, "r", {}, launcher=launcher, engine=kind)
        run = runs.start(session, wanted, actor_id=None)
        session.flush()
        return Carried(database, settings, run.id)


@pytest.fixture
def backend() -> str:
    """The rules of the rows are tested on both databases in tests/store; here one is enough."""
    return "sqlite"


@pytest.fixture
def carried(database: Database, settings: Settings, engine: StandIn) -> Iterator[Carried]:
    """A run for Slurm."""
    return start(database, settings, "cluster", Engine.SLURM)
