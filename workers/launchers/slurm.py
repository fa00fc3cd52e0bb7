"""By Slurm: one batch job, which has itself requeued before its time is over."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from rlhf.checkpoints import MARKER
from workers.launchers import commands
from workers.launchers.launcher import CANCELLED, Job, Launcher, Phase, RefusedError, State

SIGNAL_S = 120
JOURNAL = "journal.jsonl"  # of stages that keep their work piece by piece
SINCE = "now-30days"
UNKNOWN = "invalid job id"
OUT_OF_MEMORY = 137
WAITS = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
WORKS = {"RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING", "RESIZING", "STOPPED", "SUSPENDED"}
STATUSES = {"CANCELLED": CANCELLED, "OUT_OF_MEMORY": OUT_OF_MEMORY}

BEGAN = 'began="$(mktemp)"; signalled='
REQUEUES = """\
again() {{
  signalled=yes
  if [ -n "$(find {folder} -newer "$began" \\( -name {marker} -o -name {journal} \\) -print -quit)" ]; then
    echo "The time is nearly over: requeued."; scontrol requeue "$SLURM_JOB_ID"
  else
    echo "Nothing was kept within the time limit, so that the same again would be in vain: lower save_every."
  fi
}}
trap again USR1
"""
WAITS_FOR_IT = """\
training=$!
wait "$training"; status=$?
while [ -n "$signalled" ]; do signalled=; wait "$training"; status=$?; done  # a signal ends a wait, not the training
exit "$status"
"""


@dataclass(frozen=True)
class Slurm(Launcher):
    """``options`` are the lines after #SBATCH that the operator has configured."""

    nodes: int
    processes: int
    options: Sequence[str]
    python: str
    setup: str

    def submission(self, job: Job) -> str:
        """The batch script."""
        meeting = [
            'export MASTER_ADDR="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)"',
            'export MASTER_PORT="$((20000 + SLURM_JOB_ID % 20000))"',
        ]
        node = commands.on_node(job.folder, self.python, self.processes, self.nodes)
        inner = f'NODE_RANK="$SLURM_NODEID"; {node}' if self.nodes > 1 else node
        requeues = REQUEUES.format(folder=shlex.quote(str(job.folder)), marker=MARKER, journal=JOURNAL)
        return "\n".join(
            [
                "#!/bin/bash",
                *(f"#SBATCH {option}" for option in self._asked_for(job)),
                *commands.exports(),
                *(meeting if self.nodes > 1 else []),
                *([self.setup] if self.setup else []),
                BEGAN,
                f"{requeues}srun --kill-on-bad-exit=1 bash -c {shlex.quote(inner)} &",
                WAITS_FOR_IT,
            ]
        )

    def _asked_for(self, job: Job) -> list[str]:
        return [
            f"--job-name={job.name}",
            f"--nodes={self.nodes}",
            "--ntasks-per-node=1",
            *self.options,
            f"--output={shlex.quote(str(job.log))}",
            "--open-mode=append",
            "--requeue",
            f"--signal=B:USR1@{SIGNAL_S}",
        ]

    def find(self, job: Job) -> str | None:
        """By its name, among those that wait or work, and those that are over."""
        listed = commands.ask(["squeue", "--noheader", "--states=all", "--name", job.name, "--format=%A"])
        return _first(listed) or _first(_accounted(["--name", job.name, f"--starttime={SINCE}", "--format=JobIDRaw"]))

    def submit(self, job: Job) -> str:
        """Hands the script to sbatch."""
        return commands.ask(["sbatch", "--parsable"], given=self.submission(job)).strip().partition(";")[0]

    def state(self, external_id: str) -> State:
        """As squeue says while it remembers the job, then as the accounting says."""
        try:
            asked = ["squeue", "--noheader", "--states=all", "--jobs", external_id, "--Format=State:32,exit_code:12"]
            listed = commands.ask(asked).split()
        except RefusedError as error:
            if UNKNOWN not in str(error).lower():
                raise
            listed = []
        if listed:
            return _state(listed[0], os.waitstatus_to_exitcode(int(listed[1])))
        accounted = _accounted(["--jobs", external_id, "--format=State,ExitCode"]).splitlines()
        if not accounted:
            return State(Phase.LOST, said=f"Slurm does not know job {external_id} any more")
        state, _, code = accounted[-1].partition("|")
        status, _, signalled = code.partition(":")
        return _state(state, int(status) or -int(signalled or 0))

    def cancel(self, external_id: str) -> None:
        """By scancel."""
        try:
            commands.ask(["scancel", external_id])
        except RefusedError as error:
            if UNKNOWN not in str(error).lower():
                raise


def _accounted(options: Sequence[str]) -> str:
    """What the accounting says of whole jobs; nothing on a cluster without accounting."""
    try:
        return commands.ask(["sacct", "--noheader", "--allocations", "--parsable2", *options])
    except RefusedError:
        return ""


def _first(listed: str) -> str | None:
    lines = listed.split()
    return lines[0] if lines else None


def _state(said: str, status: int) -> State:
    """Slurm's word, such as ``CANCELLED by 1000``, and an exit status, negative for a signal."""
    word = said.split(maxsplit=1)[0].rstrip("+")
    status = commands.status_of(status)
    if word in WAITS:
        return State(Phase.QUEUED)
    if word in WORKS:
        return State(Phase.RUNNING)
    if word in {"COMPLETED", "FAILED"}:
        return State(Phase.ENDED, status or int(word == "FAILED"))
    if word in STATUSES:
        return State(Phase.ENDED, STATUSES[word], f"Slurm: {said}")
    return State(Phase.LOST, said=f"Slurm: {said}")
