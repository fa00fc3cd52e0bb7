"""A run on Slurm is submitted once, followed to its end, and found again whoever dies. By stand-ins of its commands."""

from __future__ import annotations

from typing import Any

import pytest

from annotation.run_tables import RunState
from annotation.store import engine_runs, runs
from tests.conftest import Cast
from tests.workers.launchers.conftest import Carried, StandIn
from workers import polling
from workers.launchers.launcher import Phase, State
from workers.launchers.slurm import Slurm

SLURM = Slurm(1, 1, (), "python", "")


def test_a_run_is_submitted_once_followed_and_concluded(carried: Carried, engine: StandIn) -> None:
    run = carried.poll()
    assert (run.state, run.external_id, run.phase) == (RunState.RUNNING, "100", polling.WAITS)
    assert (carried.folder / "submission.txt").read_text() == engine.jobs["100"]["script"]
    assert carried.poll().external_id == "100"
    engine.becomes("100", state="RUNNING")
    assert carried.poll().phase == ""
    carried.write({"progress": {"step": 2, "steps": 4, "phase": "report"}}, {"step": 2, "values": {"loss": 0.5}})
    run = carried.poll()
    assert (run.step, run.steps, run.phase) == (2, 4, "report")
    carried.write({"step": 4, "values": {"loss": 0.25}})
    carried.leave()
    engine.becomes("100", state="COMPLETED")
    run = carried.poll()
    assert (run.state, run.result, run.attempts) == (RunState.SUCCEEDED, {"steps": 4}, 1)
    with carried.database.reading() as session:
        assert runs.curve(session, carried.id, "loss") == [(2, 0.5), (4, 0.25)]
    carried.poll()
    assert len(engine.calls("sbatch")) == 1


def test_a_training_that_fails_ends_the_run_with_what_it_said_last(carried: Carried, engine: StandIn) -> None:
    carried.poll()
    (carried.folder / "log.txt").write_text("ValueError: odd\n")
    engine.becomes("100", state="FAILED", code=1 << 8)
    run = carried.poll()
    assert (run.state, run.error) == (RunState.FAILED, "The training ended with status 1: ValueError: odd")
    assert carried.log() == "ValueError: odd\n"


def test_who_dies_between_submitting_and_writing_it_down_is_found_out_by_the_next(
    carried: Carried, engine: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = Slurm.submit

    def submit_and_die(*arguments: Any) -> str:
        submit(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as dying, pytest.raises(KeyboardInterrupt):
        dying.setattr(Slurm, "submit", submit_and_die)
        dying.setattr(engine_runs, "let_go", lambda *_: None)
        carried.poll()
    assert carried.run.external_id is None
    assert carried.poll().external_id is None  # still leased by the one that died
    carried.forget_the_poller()
    assert carried.poll().external_id == "100"
    assert len(engine.calls("sbatch")) == 1


def test_a_job_that_ended_before_it_was_written_down_is_found_in_the_accounting(
    carried: Carried, engine: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried.poll()
    with carried.database.writing() as session:
        runs.get(session, carried.id).external_id = None
    carried.leave()
    engine.becomes("100", state="COMPLETED", forgotten=True)
    assert carried.poll().state is RunState.SUCCEEDED
    assert len(engine.calls("sbatch")) == 1


def test_one_that_was_stopped_while_it_submitted_keeps_the_others_from_submitting(
    carried: Carried, engine: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = Slurm.find

    def find_while_another_polls(self: Slurm, job: Any) -> str | None:
        monkeypatch.setattr(Slurm, "find", find)
        carried.forget_the_poller()
        assert carried.poll().external_id is None
        return find(self, job)

    monkeypatch.setattr(Slurm, "find", find_while_another_polls)
    carried.poll()
    assert engine.calls("sbatch") == []  # the first one's token was void by then
    assert carried.poll().external_id == "100"


@pytest.mark.parametrize("state", ["TIMEOUT", "NODE_FAIL", "PREEMPTED"])
def test_a_job_that_the_cluster_ended_is_submitted_again_into_the_same_folder(
    carried: Carried, engine: StandIn, state: str
) -> None:
    carried.poll()
    carried.write({"step": 50, "event": "checkpoint", "values": {}})
    engine.becomes("100", state=state)
    assert carried.poll().state is RunState.QUEUED
    run = carried.poll()
    assert (run.state, run.external_id, run.submission, run.attempts) == (RunState.RUNNING, "101", 2, 2)
    assert engine.jobs["101"]["name"] == engine.jobs["100"]["name"].removesuffix("1") + "2"
    assert f"Slurm: {state}" in carried.log()


def test_a_run_that_the_cluster_keeps_losing_is_given_up_after_three_attempts(
    carried: Carried, engine: StandIn
) -> None:
    for number in ("100", "101", "102"):
        carried.poll()
        engine.becomes(number, state="NODE_FAIL")
        carried.poll()
    assert carried.run.state is RunState.FAILED
    assert "3 times" in (carried.run.error or "")
    assert len(engine.jobs) == 3


def test_a_job_that_nobody_knows_is_lost_unless_it_had_done_everything(carried: Carried, engine: StandIn) -> None:
    carried.poll()
    engine.say(jobs={})
    assert carried.poll().state is RunState.QUEUED
    carried.poll()
    carried.leave()
    engine.say(jobs={})
    assert carried.poll().state is RunState.SUCCEEDED


def test_a_requeued_job_is_waited_for_again(carried: Carried, engine: StandIn) -> None:
    carried.poll()
    engine.becomes("100", state="RUNNING")
    carried.poll()
    engine.becomes("100", state="PENDING")
    run = carried.poll()
    assert (run.state, run.external_id, run.phase) == (RunState.RUNNING, "100", polling.WAITS)


def test_a_cancel_goes_to_the_cluster_and_is_true_when_the_job_is_over(
    carried: Carried, engine: StandIn, cast: Cast
) -> None:
    carried.poll()
    with carried.database.writing() as session:
        runs.cancel(session, carried.id, actor_id=cast.sun.id)
    assert carried.poll().state is RunState.CANCELLED
    assert engine.calls("scancel") == [["100"]]
    assert engine.jobs["100"]["state"] == "CANCELLED"


def test_who_cancels_at_the_cluster_ends_the_run(carried: Carried, engine: StandIn) -> None:
    carried.poll()
    engine.becomes("100", state="CANCELLED")
    run = carried.poll()
    assert run.state is RunState.FAILED
    assert run.error == "The training ended with status 143: Slurm: CANCELLED"


def test_a_cluster_that_is_away_changes_nothing(carried: Carried, engine: StandIn) -> None:
    carried.poll()
    engine.say(away="slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    run = carried.poll()
    assert (run.state, run.external_id, run.attempts) == (RunState.RUNNING, "100", 1)
    engine.say(away="")
    engine.becomes("100", state="RUNNING")
    assert carried.poll().phase == ""


def test_a_submission_that_the_cluster_refuses_ends_the_run_with_its_words(carried: Carried, engine: StandIn) -> None:
    engine.say(refuses="sbatch: error: invalid partition specified: gpu")
    run = carried.poll()
    assert (run.state, run.error) == (
        RunState.FAILED,
        "sbatch: error: invalid partition specified: gpu",
    )


@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [
        ("PENDING", 0, State(Phase.QUEUED)),
        ("COMPLETING", 0, State(Phase.RUNNING)),
        ("COMPLETED", 0, State(Phase.ENDED, 0)),
        ("FAILED", 2 << 8, State(Phase.ENDED, 2)),
        ("FAILED", 9, State(Phase.ENDED, 137)),
        ("OUT_OF_MEMORY", 0, State(Phase.ENDED, 137, "Slurm: OUT_OF_MEMORY")),
        ("NODE_FAIL", 0, State(Phase.LOST, said="Slurm: NODE_FAIL")),
    ],
)
@pytest.mark.parametrize("forgotten", [False, True])
def test_what_slurm_says_is_understood_from_the_queue_and_from_the_accounting(
    engine: StandIn, state: str, code: int, expected: State, *, forgotten: bool
) -> None:
    engine.say(jobs={"7": {"name": "n", "state": state, "code": code, "forgotten": forgotten}})
    assert SLURM.state("7") == expected


def test_a_cluster_without_accounting_forgets_and_says_so(engine: StandIn) -> None:
    engine.say(**{"no accounts": True})
    assert SLURM.state("7") == State(Phase.LOST, said="Slurm does not know job 7 any more")


def test_a_file_of_launchers_that_is_broken_meanwhile_ends_no_run_whose_job_is_at_work(
    carried: Carried, engine: StandIn
) -> None:
    carried.poll()
    configured = carried.settings.launchers.read_text()
    carried.settings.launchers.write_text("[cluster")
    assert carried.poll().state is RunState.RUNNING
    carried.settings.launchers.write_text(configured)
    carried.leave()
    engine.becomes("100", state="COMPLETED")
    assert carried.poll().state is RunState.SUCCEEDED


def test_a_run_whose_launcher_is_gone_before_it_was_submitted_says_so(carried: Carried, engine: StandIn) -> None:
    carried.settings.launchers.write_text("")
    run = carried.poll()
    assert run.state is RunState.FAILED
    assert "names no launcher cluster" in (run.error or "")


def test_a_poll_that_dies_while_it_carries_carries_nothing_twice(
    carried: Carried, engine: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried.poll()
    carried.write({"step": 1, "values": {"loss": 0.5}})
    append = runs.append

    def append_and_die(*arguments: Any) -> None:
        append(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as dying, pytest.raises(KeyboardInterrupt):
        dying.setattr(runs, "append", append_and_die)
        carried.poll()
    carried.write({"step": 2, "values": {"loss": 0.25}})
    carried.poll()
    with carried.database.reading() as session:
        assert runs.curve(session, carried.id, "loss") == [(1, 0.5), (2, 0.25)]
