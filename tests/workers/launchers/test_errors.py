"""What goes wrong between a run and its engine: no run is failed whose job may be at work, and none stands for ever."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from annotation.run_tables import RunState
from tests.conftest import Cast
from tests.workers.launchers.conftest import Carried, StandIn
from workers import polling
from workers.launchers.config import LaunchersError
from workers.launchers.launcher import EngineAwayError, Job, RefusedError
from workers.launchers.slurm import Slurm


def raising(error: Exception) -> Any:
    """What raises that, whatever it is called with."""

    def raises(*_arguments: Any, **_named: Any) -> Any:
        raise error

    return raises


@pytest.fixture
def lost_answer(carried: Carried, engine: StandIn, monkeypatch: pytest.MonkeyPatch) -> Carried:
    """A run whose job was taken though nobody heard of it."""
    submit = Slurm.submit

    def submit_unheard(self: Slurm, job: Job) -> str:
        submit(self, job)
        raise EngineAwayError("sbatch: timed out")

    with monkeypatch.context() as away:
        away.setattr(Slurm, "submit", submit_unheard)
        assert carried.poll().external_id is None
    return carried


@pytest.mark.parametrize("asked", ["state", "cancel"])
def test_what_is_refused_after_the_submission_ends_no_run(
    carried: Carried, engine: StandIn, cast: Cast, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    submit = Slurm.submit

    def submit_and_have_it_cancelled(self: Slurm, job: Job) -> str:
        carried.cancel(cast.sun.id)
        return submit(self, job)

    with monkeypatch.context() as refusing:
        refusing.setattr(Slurm, "submit", submit_and_have_it_cancelled)
        refusing.setattr(Slurm, asked, raising(RefusedError("slurm_load_jobs error: odd")))
        run = carried.poll()
    assert (run.state, run.external_id, run.error) == (RunState.RUNNING, "100", None)
    assert carried.poll().state is RunState.CANCELLED


@pytest.mark.parametrize("error", [RefusedError("odd"), LaunchersError("is no TOML"), KeyError("odd")])
def test_a_job_that_may_have_been_taken_is_looked_for_until_the_engine_says_so(
    lost_answer: Carried, engine: StandIn, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with monkeypatch.context() as refusing:
        refusing.setattr(Slurm, "find", raising(error))
        assert lost_answer.poll().state is RunState.RUNNING
    run = lost_answer.poll()
    assert (run.state, run.external_id, len(engine.jobs)) == (RunState.RUNNING, "100", 1)


def test_a_file_of_launchers_that_is_broken_for_a_moment_loses_no_job_that_nobody_heard_of(
    lost_answer: Carried, engine: StandIn
) -> None:
    configured = lost_answer.settings.launchers.read_text()
    lost_answer.settings.launchers.write_text("[cluster")
    assert lost_answer.poll().state is RunState.RUNNING
    lost_answer.settings.launchers.write_text(configured)
    assert lost_answer.poll().external_id == "100"


def test_what_was_handed_over_is_told_apart_by_the_number_of_the_submission(tmp_path: Path) -> None:
    (tmp_path / "submission.txt").write_text(f"#SBATCH --job-name={Job(7, 12, tmp_path).name}\n")
    told = [polling._was_handed_over(Job(7, number, tmp_path)) for number in (1, 2, 12, 13)]
    assert told == [False, False, True, False]


def test_a_command_that_is_missing_ends_a_run_that_was_never_handed_over(
    carried: Carried, engine: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    run = carried.poll()
    assert run.state is RunState.FAILED
    assert run.error == "squeue is missing or cannot be run: install it where the control worker runs."


def test_a_command_that_is_missing_for_a_while_leaves_a_job_at_work(carried: Carried, engine: StandIn) -> None:
    carried.poll()
    hidden = engine.folder.rename(engine.folder.with_name("hidden"))
    assert carried.poll().state is RunState.RUNNING
    hidden.rename(engine.folder)
    carried.leave()
    engine.becomes("100", state="COMPLETED")
    assert carried.poll().state is RunState.SUCCEEDED


def test_a_cancel_before_anything_was_handed_over_asks_nobody(carried: Carried, engine: StandIn, cast: Cast) -> None:
    engine.say(away="slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    assert carried.poll().state is RunState.RUNNING
    asked = len(engine.calls("squeue"))
    carried.cancel(cast.sun.id)
    assert carried.poll().state is RunState.CANCELLED
    assert len(engine.calls("squeue")) == asked


def test_a_cancel_of_what_may_have_been_taken_ends_the_job_too(
    lost_answer: Carried, engine: StandIn, cast: Cast
) -> None:
    lost_answer.cancel(cast.sun.id)
    assert lost_answer.poll().state is RunState.CANCELLED
    assert engine.jobs["100"]["state"] == "CANCELLED"


def in_the_way(carried: Carried, _monkeypatch: pytest.MonkeyPatch) -> None:
    """A file where the runs' folder should be."""
    carried.settings.runs.write_text("")


def no_spec(_carried: Carried, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "write_spec", raising(OSError(errno.ENOSPC, "No space left on device")))


def half_a_submission(_carried: Carried, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full after some of what is handed over was written down."""
    write = Path.write_text

    def write_some(self: Path, text: str, **named: Any) -> int:
        write(self, text, **named)
        if self.name == "submission.txt":
            raise OSError(errno.ENOSPC, "No space left on device")
        return len(text)

    monkeypatch.setattr(Path, "write_text", write_some)


@pytest.mark.parametrize(
    ("breaks", "said"),
    [(in_the_way, "NotADirectoryError: "), (no_spec, "OSError: "), (half_a_submission, "OSError: ")],
)
def test_what_goes_wrong_before_the_submission_ends_the_run_with_its_words(
    carried: Carried, engine: StandIn, monkeypatch: pytest.MonkeyPatch, breaks: Any, said: str
) -> None:
    breaks(carried, monkeypatch)
    run = carried.poll()
    assert run.state is RunState.FAILED
    assert (run.error or "").startswith(said)
    assert engine.jobs == {}


@pytest.mark.parametrize("state", ["COMPLETED", "NODE_FAIL"])
def test_a_job_that_is_over_is_concluded_though_it_cannot_be_carried(
    carried: Carried, engine: StandIn, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    carried.poll()
    engine.becomes("100", state=state)
    monkeypatch.setattr(polling, "Reader", raising(OSError(errno.EIO, "Input/output error")))
    run = carried.poll()
    assert (run.state, run.error) == (RunState.FAILED, "OSError: [Errno 5] Input/output error")


def test_a_job_that_works_goes_on_though_it_cannot_be_carried(
    carried: Carried, engine: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried.poll()
    with monkeypatch.context() as failing:
        failing.setattr(polling, "Reader", raising(OSError(errno.EIO, "Input/output error")))
        assert carried.poll().state is RunState.RUNNING
    engine.becomes("100", state="RUNNING")
    assert carried.poll().phase == ""
