"""By Kubernetes: an Indexed Job with a pod a machine and a headless service by which they meet; no operator."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workers.launchers import commands
from workers.launchers.launcher import Job, Launcher, Phase, State

SERVICE = "zhongjing-training"
LABEL = {"app.kubernetes.io/name": SERVICE}
PORT = 29400
KEPT_S = 7 * 86400
DISRUPTED = {"Evicted", "Preempting", "NodeLost", "NodeAffinity", "Shutdown", "Terminated", "UnexpectedAdmissionError"}


@dataclass(frozen=True)
class Kubernetes(Launcher):
    """``resources`` are the limits of a pod; ``claim`` is the volume with the runs, at the path where they lie here."""

    nodes: int
    processes: int
    image: str
    namespace: str
    claim: str
    mount: str
    python: str
    setup: str
    context: str = ""
    resources: Mapping[str, str] = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)

    def submission(self, job: Job) -> str:
        """The manifest as JSON, which kubectl takes as it takes YAML."""
        items = [*([self._service()] if self.nodes > 1 else []), self._job(job)]
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, ensure_ascii=False, indent=2) + "\n"

    def find(self, job: Job) -> str | None:
        """By its name, which is its id."""
        return job.name if self._read(job.name) else None

    def submit(self, job: Job) -> str:
        """Applied, so that the same a second time changes nothing."""
        self._kubectl("apply", "--filename=-", given=self.submission(job))
        return job.name

    def state(self, external_id: str) -> State:
        """As the job's conditions say, and where it failed, its pods."""
        job = self._read(external_id)
        if not job:
            return State(Phase.LOST, said=f"Kubernetes does not know job {external_id} any more")
        conditions = {each["type"] for each in job["status"].get("conditions", []) if each["status"] == "True"}
        if "Complete" in conditions:
            return State(Phase.ENDED)
        if "Failed" in conditions:
            pods = json.loads(self._kubectl("get", "pods", f"--selector=job-name={external_id}", "--output=json"))
            return _failed(pods["items"])
        return State(Phase.RUNNING if job["status"].get("ready") == self.nodes else Phase.QUEUED)

    def cancel(self, external_id: str) -> None:
        """Deletes the job, and its pods with it."""
        self._kubectl("delete", "job", external_id, "--ignore-not-found", "--wait=false", "--cascade=background")

    def _read(self, name: str) -> dict[str, Any]:
        told = self._kubectl("get", "job", name, "--ignore-not-found", "--output=json")
        return dict(json.loads(told)) if told.strip() else {}

    def _kubectl(self, *arguments: str, given: str | None = None) -> str:
        where = [f"--namespace={self.namespace}", *([f"--context={self.context}"] if self.context else [])]
        return commands.ask(["kubectl", *where, *arguments], given=given)

    def _service(self) -> dict[str, Any]:
        """One for all jobs: it only gives each pod a name."""
        spec = {"clusterIP": "None", "selector": LABEL, "publishNotReadyAddresses": True}
        spec["ports"] = [{"name": "torchrun", "port": PORT}]
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": SERVICE, "namespace": self.namespace},
            "spec": spec,
        }

    def _job(self, job: Job) -> dict[str, Any]:
        """Any pod that fails ends the job: the others could not go on without it, and the run is submitted anew."""
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": job.name, "namespace": self.namespace, "labels": LABEL},
            "spec": {
                "completionMode": "Indexed",
                "completions": self.nodes,
                "parallelism": self.nodes,
                "backoffLimit": 0,
                "ttlSecondsAfterFinished": KEPT_S,
                "template": {"metadata": {"labels": LABEL}, "spec": self._pod(job)},
            },
        }

    def _pod(self, job: Job) -> dict[str, Any]:
        container: dict[str, Any] = {
            "name": "training",
            "image": self.image,
            "command": ["bash", "-c", self._script(job)],
            "env": [{"name": name, "value": value} for name, value in commands.SAID_TO_TRAININGS.items()],
            "resources": {"limits": dict(self.resources)},
            "volumeMounts": [{"name": "home", "mountPath": self.mount}, {"name": "shared", "mountPath": "/dev/shm"}],  # noqa: S108
        }
        pod: dict[str, Any] = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "containers": [container],
            "volumes": [
                {"name": "home", "persistentVolumeClaim": {"claimName": self.claim}},
                {"name": "shared", "emptyDir": {"medium": "Memory"}},
            ],
        }
        if self.nodes > 1:
            pod["subdomain"] = SERVICE
        if self.node_selector:
            pod["nodeSelector"] = dict(self.node_selector)
        return pod

    def _script(self, job: Job) -> str:
        """The first pod prints into the run's log, the others beside it: two must not write one file over a network."""
        steps = [f"log={shlex.quote(str(job.log))}"]
        if self.nodes > 1:
            steps += [
                'export NODE_RANK="$JOB_COMPLETION_INDEX"',
                f"export MASTER_ADDR={shlex.quote(f'{job.name}-0.{SERVICE}')} MASTER_PORT={PORT}",
                'if [ "$NODE_RANK" != 0 ]; then log="$log.$NODE_RANK"; fi',
            ]
        steps += ['exec >> "$log" 2>&1', *([self.setup] if self.setup else [])]
        return "\n".join([*steps, "exec " + commands.on_node(job.folder, self.python, self.processes, self.nodes)])


def _failed(pods: Sequence[Mapping[str, Any]]) -> State:
    """Why a job failed: a pod that was taken away says nothing about the training."""
    for pod in pods:
        status = pod["status"]
        taken = any(each["type"] == "DisruptionTarget" and each["status"] == "True"
                    for each in status.get("conditions", []))  # fmt: skip
        if taken or status.get("reason") in DISRUPTED:
            return State(Phase.LOST, said=f"Kubernetes: {status.get('message') or status.get('reason') or 'disrupted'}")
    statuses = sorted(_exit_statuses(pods))
    return State(Phase.ENDED, statuses[-1]) if statuses else State(Phase.LOST, said="Kubernetes: the pods are gone")


def _exit_statuses(pods: Sequence[Mapping[str, Any]]) -> Iterator[int]:
    for pod in pods:
        for container in pod["status"].get("containerStatuses", []):
            ended = container["state"].get("terminated")
            if ended and ended["exitCode"]:
                yield int(ended["exitCode"])
