"""A run on Ray is a job that is submitted over HTTP. By a stand-in of its address."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from workers.launchers.launcher import EngineAwayError, Job, Phase, RefusedError, State
from workers.launchers.ray_jobs import RayJobs

JOB = Job(7, 1, Path("/home/with space/runs/7"))


@dataclass
class Ray:
    """The jobs of the stand-in, and where it is."""

    address: str = ""
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    fails: int = 0

    @property
    def launcher(self) -> RayJobs:
        return RayJobs(self.address, 2, 4, 2, "python", "module load cuda # quoted 'as it is'")


@pytest.fixture
def ray() -> Iterator[Ray]:
    """A server on this machine."""
    stand_in = Ray()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or "{}")
            name = self.path.split("/")[3]
            if name:
                known = name in stand_in.jobs
                stand_in.jobs.get(name, {})["status"] = "STOPPED"
                self.answer(200 if known else 404, {"stopped": known})
            elif told["submission_id"] in stand_in.jobs:
                self.answer(
                    500, f"Traceback\nValueError: Job with submission_id {told['submission_id']} already exists.\n."
                )
            else:
                stand_in.jobs[told["submission_id"]] = {"status": "PENDING", **told}
                self.answer(200, {"submission_id": told["submission_id"], "job_id": told["submission_id"]})

        def do_GET(self) -> None:
            job = stand_in.jobs.get(self.path.rpartition("/")[2])
            self.answer(200 if job else 404, job or "does not exist")

        def answer(self, status: int, body: Any) -> None:
            if stand_in.fails:
                status, body = stand_in.fails, "Traceback\nValueError: odd\n"
            data = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    stand_in.address = f"http://127.0.0.1:{server.server_port}"
    yield stand_in
    server.shutdown()
    server.server_close()


def test_a_job_is_found_by_its_name_once_it_is_submitted(ray: Ray) -> None:
    assert ray.launcher.find(JOB) is None
    assert ray.launcher.submit(JOB) == JOB.name == ray.launcher.find(JOB)
    with pytest.raises(EngineAwayError, match=r"ValueError: Job with submission_id .* already exists"):
        ray.launcher.submit(JOB)


@pytest.mark.parametrize(("status", "error"), [(400, RefusedError), (403, RefusedError), (500, EngineAwayError)])
def test_an_error_of_rays_own_is_tried_again_and_a_refusal_is_one(
    ray: Ray, status: int, error: type[Exception]
) -> None:
    ray.fails = status
    for asked in (ray.launcher.submit, ray.launcher.find):
        with pytest.raises(error, match="ValueError: odd"):
            asked(JOB)


def test_the_request_asks_for_what_the_operator_said_and_quotes_the_folder(ray: Ray) -> None:
    told = json.loads(ray.launcher.submission(JOB))
    assert (told["entrypoint_num_cpus"], told["entrypoint_num_gpus"]) == (4, 2)
    assert "--standalone --nproc-per-node 2 -m rlhf spec" in told["entrypoint"]


@pytest.mark.parametrize(
    ("job", "state"),
    [
        ({"status": "PENDING"}, State(Phase.QUEUED)),
        ({"status": "RUNNING"}, State(Phase.RUNNING)),
        ({"status": "SUCCEEDED", "driver_exit_code": 0}, State(Phase.ENDED)),
        ({"status": "FAILED", "driver_exit_code": 2}, State(Phase.ENDED, 2)),
        ({"status": "FAILED", "driver_exit_code": -9}, State(Phase.ENDED, 137)),
        ({"status": "FAILED", "message": "node died\nlast logs: …"}, State(Phase.LOST, said="Ray: node died")),
        ({"status": "STOPPED"}, State(Phase.ENDED, 143, "Ray: STOPPED")),
    ],
)
def test_what_ray_says_is_understood(ray: Ray, job: dict[str, Any], state: State) -> None:
    ray.jobs["x"] = job
    assert ray.launcher.state("x") == state


def test_a_job_that_nobody_knows_is_lost_and_needs_no_cancel(ray: Ray) -> None:
    assert ray.launcher.state("gone").phase is Phase.LOST
    ray.launcher.cancel("gone")


def test_a_cancel_stops_the_job(ray: Ray) -> None:
    ray.launcher.cancel(ray.launcher.submit(JOB))
    assert ray.jobs[JOB.name]["status"] == "STOPPED"


def test_an_address_where_nobody_listens_is_away() -> None:
    with pytest.raises(EngineAwayError):
        RayJobs("http://127.0.0.1:1", 1, 1, 0, "python", "").state("x")
