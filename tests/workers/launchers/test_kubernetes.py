"""A run on Kubernetes is a Job of one pod a machine, applied once. By a stand-in of kubectl."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annotation.run_tables import Engine, RunState
from annotation.store import runs
from tests.conftest import Cast
from tests.workers.launchers.conftest import Carried, StandIn, start
from workers.launchers.kubernetes import SERVICE, Kubernetes
from workers.launchers.launcher import Job, Phase

JOB = Job(7, 1, Path("/home/with space/runs/7"))


def pods(*codes: int, **more: Any) -> list[dict[str, Any]]:
    """Pods that ended with these statuses."""
    ended = [{"state": {"terminated": {"exitCode": code}}} for code in codes]
    return [{"status": {"containerStatuses": [each], **more}} for each in ended]


def failed(engine: StandIn, name: str, ended: list[dict[str, Any]]) -> None:
    engine.becomes(name, status={"conditions": [{"type": "Failed", "status": "True"}]}, pods=ended)


@pytest.fixture
def carried(database: Any, settings: Any, engine: StandIn) -> Carried:
    return start(database, settings, "pods", Engine.KUBERNETES)


def test_a_run_is_applied_once_followed_and_concluded(carried: Carried, engine: StandIn) -> None:
    run = carried.poll()
    [name] = engine.jobs
    assert (run.state, run.external_id, run.phase) == (RunState.RUNNING, name, "waits in the queue of the engine")
    engine.becomes(name, status={"ready": 1})
    assert carried.poll().phase == ""
    carried.leave()
    engine.becomes(name, status={"conditions": [{"type": "Complete", "status": "True"}]})
    assert carried.poll().state is RunState.SUCCEEDED
    assert sum("apply" in call for call in engine.calls("kubectl")) == 1


def test_a_training_that_is_killed_for_memory_says_so(carried: Carried, engine: StandIn) -> None:
    name = str(carried.poll().external_id)
    failed(engine, name, pods(137))
    run = carried.poll()
    assert run.state is RunState.FAILED
    assert "ran out of memory" in (run.error or "")


@pytest.mark.parametrize(
    "taken",
    [
        pods(143, conditions=[{"type": "DisruptionTarget", "status": "True"}]) + pods(1),
        [{"status": {"reason": "Evicted", "message": "low on disk"}}],
        [],
    ],
)
def test_a_pod_that_was_taken_away_has_the_run_submitted_again(
    carried: Carried, engine: StandIn, taken: list[dict[str, Any]]
) -> None:
    name = str(carried.poll().external_id)
    failed(engine, name, taken)
    assert carried.poll().state is RunState.QUEUED
    assert carried.poll().external_id == name.removesuffix("1") + "2"


def test_a_cancel_deletes_the_job(carried: Carried, engine: StandIn, cast: Cast) -> None:
    carried.poll()
    with carried.database.writing() as session:
        runs.cancel(session, carried.id, actor_id=cast.sun.id)
    assert carried.poll().state is RunState.CANCELLED
    assert engine.jobs == {}


def test_several_machines_meet_at_the_first_pod(engine: StandIn) -> None:
    several = Kubernetes(3, 4, "i", "ns", "claim", "/home", "python", "", resources={"nvidia.com/gpu": "4"})
    service, job = json.loads(several.submission(JOB))["items"]
    assert (service["kind"], service["spec"]["clusterIP"]) == ("Service", "None")
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 3
    pod = job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["subdomain"] == service["metadata"]["name"] == SERVICE
    assert service["spec"]["selector"].items() <= job["spec"]["template"]["metadata"]["labels"].items()
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "4"}
    script = container["command"][-1]
    assert f"MASTER_ADDR={JOB.name}-0.{SERVICE} " in script
    assert "--nnodes 3 --nproc-per-node 4" in script
    assert "-m rlhf spec '/home/with space/runs/7'" in script


def test_a_pod_may_ask_the_cluster_nothing(engine: StandIn) -> None:
    [job] = json.loads(Kubernetes(1, 1, "i", "ns", "claim", "/home", "python", "").submission(JOB))["items"]
    assert job["spec"]["template"]["spec"]["automountServiceAccountToken"] is False
    assert "torch.distributed.run" not in job["spec"]["template"]["spec"]["containers"][0]["command"][-1]


def test_a_job_that_nobody_knows_is_lost(engine: StandIn) -> None:
    one = Kubernetes(1, 1, "i", "ns", "claim", "/home", "python", "")
    assert one.state("gone").phase is Phase.LOST
    assert one.find(JOB) is None
