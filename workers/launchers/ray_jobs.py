"""By Ray: a job of a cluster, submitted and asked about at its own address over HTTP."""

from __future__ import annotations

import json
import shlex
import urllib.error
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from workers.launchers import commands
from workers.launchers.commands import LONGEST_S
from workers.launchers.launcher import CANCELLED, EngineAwayError, Job, Launcher, Phase, RefusedError, State

PHASES = {"PENDING": Phase.QUEUED, "RUNNING": Phase.RUNNING, "SUCCEEDED": Phase.ENDED}


@dataclass(frozen=True)
class RayJobs(Launcher):
    """Ray's job is a command on one machine with the resources that it asks for."""

    address: str
    processes: int
    cpus: float
    gpus: float
    python: str
    setup: str

    def submission(self, job: Job) -> str:
        """The request as JSON."""
        steps = [f"exec >> {shlex.quote(str(job.log))} 2>&1", *commands.exports()]
        steps += [self.setup] if self.setup else []
        script = "\n".join([*steps, "exec " + commands.on_node(job.folder, self.python, self.processes, nodes=1)])
        request = {
            "submission_id": job.name,
            "entrypoint": f"bash -c {shlex.quote(script)}",
            "entrypoint_num_cpus": self.cpus,
            "entrypoint_num_gpus": self.gpus,
        }
        return json.dumps(request, ensure_ascii=False, indent=2) + "\n"

    def find(self, job: Job) -> str | None:
        """By its name, which is its id."""
        return job.name if self._ask("GET", job.name) is not None else None

    def submit(self, job: Job) -> str:
        """Ray itself refuses an id that it knows."""
        told = self._ask("POST", "", self.submission(job).encode())
        if told is None:
            raise RefusedError(f"{self.address} is no address of Ray's jobs")
        return str(told["submission_id"])

    def state(self, external_id: str) -> State:
        """As Ray says; a training that failed has an exit status, one that was lost has none."""
        told = self._ask("GET", external_id)
        if told is None:
            return State(Phase.LOST, said=f"Ray does not know job {external_id} any more")
        if told["status"] in PHASES:
            return State(PHASES[told["status"]])
        status, said = told.get("driver_exit_code"), f"Ray: {(told.get('message') or told['status']).splitlines()[0]}"
        if told["status"] == "STOPPED":
            return State(Phase.ENDED, CANCELLED, said)
        if status:
            return State(Phase.ENDED, commands.status_of(status))
        return State(Phase.LOST, said=said)

    def cancel(self, external_id: str) -> None:
        """Ray tells the job's processes to end, and kills them where they do not."""
        self._ask("POST", f"{external_id}/stop")

    def _ask(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any] | None:
        """What Ray answers; None where it knows nothing of that. Raises EngineAwayError and RefusedError."""
        request = urllib.request.Request(  # noqa: S310  (the operator's own address, which is http or https)
            f"{self.address}/api/jobs/{path}", data=body, method=method, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=LONGEST_S) as answer:  # noqa: S310
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return None
            why = _why(error.read().decode("utf-8", errors="replace")) or str(error)
            if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise EngineAwayError(f"Ray at {self.address}: {why}") from error
            raise RefusedError(f"Ray: {why}") from error
        except (OSError, ValueError) as error:
            raise EngineAwayError(f"Ray at {self.address}: {error}") from error


def _why(answer: str) -> str:
    """The line of an answer that names the error: Ray sends its whole traceback."""
    lines = [line.strip() for line in answer.splitlines() if "Error: " in line]
    return lines[-1] if lines else answer.strip()
