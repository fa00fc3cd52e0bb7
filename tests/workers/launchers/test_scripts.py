"""What is handed over is a script that bash can read, runs what it should, and gives nothing away."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import wait_for
from workers.launchers import commands
from workers.launchers.hosts import Hosts
from workers.launchers.kubernetes import Kubernetes
from workers.launchers.launcher import EngineAwayError, Job, Phase, RefusedError
from workers.launchers.local import Local
from workers.launchers.ray_jobs import RayJobs
from workers.launchers.slurm import Slurm

BASH = "/bin/bash"
SLURM = Slurm(1, 1, ("--partition=gpu",), "python", "")
AWKWARD = Job(7, 1, Path('/home/it\'s $(touch x) "q"; #/runs/7'))


def command(folder: Path, name: str, body: str) -> None:
    """A command of that name on the PATH."""
    file = folder / name
    file.write_text(f"#!/bin/bash\n{body}\n")
    file.chmod(0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder at the front of the PATH, with the parts of Slurm that a batch script calls on its node."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    command(folder, "srun", 'shift; for SLURM_NODEID in ${RANKS:-0}; do export SLURM_NODEID; "$@" || exit; done')
    command(folder, "scontrol", 'echo "$@" >> "$(dirname "$0")/scontrol.calls"; printf "n1\\nn2\\n"')
    return folder


def scripts() -> list[str]:
    """A script of each kind, for one machine and for several."""
    pods = Kubernetes(1, 1, "i", "ns", "claim", "/home", "python", "module load cuda")
    found = [json.loads(each.submission(AWKWARD))["items"][-1] for each in (pods, replace(pods, nodes=2, processes=4))]
    ray = json.loads(RayJobs("http://h", 2, 1, 0, "python", "").submission(AWKWARD))["entrypoint"]
    hosts = Hosts(("a", "b"), 2, 29400, "python", "module load cuda")
    return [
        *(job["spec"]["template"]["spec"]["containers"][0]["command"][-1] for job in found),
        ray,
        SLURM.submission(AWKWARD),
        replace(SLURM, nodes=2, processes=4, setup="module load cuda").submission(AWKWARD),
        *hosts.command(AWKWARD)[4::2],
        Local(2).submission(AWKWARD),
    ]


@pytest.mark.parametrize("script", scripts())
def test_every_script_can_be_read_by_bash(script: str) -> None:
    subprocess.run([BASH, "-n"], input=script, text=True, check=True, stderr=subprocess.STDOUT)


def test_a_folder_with_an_awkward_name_reaches_the_training_as_it_is(path: Path, tmp_path: Path) -> None:
    command(path, "python", 'printf "%s\\n" "$@" > "$(dirname "$0")/arguments"')
    for script in (SLURM.submission(AWKWARD), Local(1).submission(AWKWARD).replace(sys.executable, "python")):
        subprocess.run([BASH], input=script, text=True, check=True, cwd=tmp_path)
        assert (path / "arguments").read_text().splitlines() == ["-m", "rlhf", "spec", str(AWKWARD.folder)]
        (path / "arguments").unlink()
    assert not (tmp_path / "x").exists()


def test_every_node_under_slurm_knows_its_number_and_the_first_ones_name(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command(path, "python", 'echo "$@" >> "$(dirname "$0")/arguments"')
    monkeypatch.setenv("RANKS", "0 1")
    script = replace(SLURM, nodes=2, processes=4).submission(Job(7, 1, tmp_path))
    subprocess.run([BASH], input=script, text=True, check=True, env={**os.environ, "SLURM_JOB_ID": "20005"})
    torchrun = "-m torch.distributed.run --nnodes 2 --nproc-per-node 4"
    meeting = "--master-addr n1 --master-port 20005"
    assert (path / "arguments").read_text().splitlines() == [
        f"{torchrun} --node-rank {rank} {meeting} -m rlhf spec {tmp_path}" for rank in (0, 1)
    ]


@pytest.mark.parametrize(
    ("kept", "asked"), [("checkpoints/step-0000050/COMPLETE", "requeue"), ("journal.jsonl", "requeue"), ("x", "")]
)
def test_a_job_whose_time_is_nearly_over_is_requeued_where_it_kept_something_and_goes_on_meanwhile(
    path: Path, tmp_path: Path, kept: str, asked: str
) -> None:
    run = tmp_path / "run"
    (run / kept).parent.mkdir(parents=True)
    command(
        path,
        "python",
        f"touch {run / kept} {tmp_path}/begun; until [ -e {tmp_path}/enough ]; do sleep 0.02; done; exit 3",
    )
    job = subprocess.Popen([BASH, "-c", SLURM.submission(Job(7, 1, run))], stdout=subprocess.PIPE, text=True)
    assert job.stdout is not None
    wait_for((tmp_path / "begun").exists)
    job.send_signal(signal.SIGUSR1)
    said = job.stdout.readline()
    (tmp_path / "enough").touch()
    assert job.wait(20) == 3
    job.stdout.close()
    calls = path / "scontrol.calls"
    assert (calls.read_text().split()[0] if calls.exists() else "") == asked
    assert said.startswith("The time is nearly over" if asked else "Nothing was kept")


def test_an_engine_sees_none_of_the_workers_secrets(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:secret@db/x")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    command(path, "sbatch", "env")
    told = commands.ask(["sbatch"], given="")
    assert "SLURM_CONF=/etc/slurm.conf" in told
    assert "secret" not in told


@pytest.mark.parametrize(
    "said",
    [
        "slurm_load_jobs error: Zero Bytes were transmitted or received",
        "Unable to connect to the server: dial tcp: lookup k8s on 10.0.0.2:53: server misbehaving",
        "Unable to connect to the server: net/http: TLS handshake timeout",
        'Get "https://10.0.0.1:6443/apis/batch/v1": EOF',
        "error: unexpected EOF",
        "Error from server (ServiceUnavailable): the server is currently unable to handle the request",
    ],
)
def test_an_engine_that_cannot_be_reached_for_a_moment_has_refused_nothing(path: Path, said: str) -> None:
    command(path, "kubectl", f"echo {shlex.quote(said)} >&2; exit 1")
    with pytest.raises(EngineAwayError):
        commands.ask(["kubectl", "get"])


def test_a_refusal_is_no_end_of_a_connection(path: Path) -> None:
    command(path, "kubectl", "echo 'the claim or a part thereof is forbidden' >&2; exit 1")
    with pytest.raises(RefusedError, match="thereof is forbidden"):
        commands.ask(["kubectl", "get"])


def test_a_command_that_is_missing_or_no_command_is_named_with_the_mend(path: Path) -> None:
    (path / "not-a-command").write_text("")
    for name in ("no-such-command", str(path / "not-a-command")):
        with pytest.raises(RefusedError, match=rf"^{name} is missing or cannot be run: install it where the control"):
            commands.ask([name])


@pytest.mark.parametrize(
    ("launcher", "seen"), [(Local(), False), (Hosts(("here", "there"), 1, 29400, "python", ""), True)]
)
def test_ssh_finds_its_agent_and_its_user_and_a_training_here_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launcher: Local, *, seen: bool
) -> None:
    spy = tmp_path / "python"
    command(tmp_path, "python", f"env > {tmp_path}/environment")
    monkeypatch.setattr(sys, "executable", str(spy))
    told = {"SSH_AUTH_SOCK": "/run/agent", "USER": "somebody", "LOGNAME": "somebody"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("REDIS_URL", "redis://:secret@redis/0")
    launcher.cancel(launcher.submit(Job(7, 1, tmp_path)))
    environment = (tmp_path / "environment").read_text().splitlines()
    assert {f"{name}={value}" in environment for name, value in told.items()} == {seen}
    assert "secret" not in "".join(environment)


SSH = """
while [ "$1" != there ] && [ "$1" != here ]; do shift; done
exec bash -c "$2"
"""
TRAINING = """
case "$*" in
  *workers.watchdog*) exec {python} "$@";;
  *) echo "$@" >> "{out}/rank-$NODE_RANK"; [ "$NODE_RANK" = 1 ] && exit 7; echo $$ > "{out}/pid"; exec sleep 300;;
esac
"""


def test_where_one_host_fails_the_others_are_ended_too(path: Path, tmp_path: Path) -> None:
    command(path, "ssh", SSH)
    command(path, "python", TRAINING.format(python=sys.executable, out=tmp_path))
    (tmp_path / "run").mkdir()
    hosts = Hosts(
        ("here", "there"), 2, 29400, "python", f"until [ $NODE_RANK = 0 ] || [ -e {tmp_path}/pid ]; do :; done"
    )
    job = Job(7, 1, tmp_path / "run")
    process = hosts.submit(job)
    wait_for(lambda: hosts.state(process).phase is Phase.ENDED)
    assert hosts.state(process).status == 7
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not Path(f"/proc/{pid}").exists())
    hosts.cancel(process)
    ranks = [(tmp_path / f"rank-{rank}").read_text() for rank in (0, 1)]
    for rank, told in enumerate(ranks):
        assert f"--nnodes 2 --nproc-per-node 2 --node-rank {rank} --master-addr here --master-port 29400" in told


def test_a_cancel_ends_the_training_on_every_host(path: Path, tmp_path: Path) -> None:
    command(path, "ssh", SSH)
    waits = f"echo $$ > {tmp_path}/$NODE_RANK; exec sleep 300"
    command(path, "python", f'case "$*" in *workers.watchdog*) exec {sys.executable} "$@";; *) {waits};; esac')
    hosts = Hosts(("here", "there"), 1, 29400, "python", "")
    process = hosts.submit(Job(7, 1, tmp_path))
    files = [tmp_path / "0", tmp_path / "1"]
    wait_for(lambda: all(file.exists() and file.read_text().strip() for file in files))
    hosts.cancel(process)
    for file in files:
        wait_for(lambda file=file: not Path(f"/proc/{file.read_text().strip()}").exists())  # type: ignore[misc]
