"""The command of a training, in one process or many, and how engines' own commands are run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from rlhf.records import N_
from workers.launchers.launcher import EngineAwayError, RefusedError

SAID_TO_TRAININGS = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "PYTHONUNBUFFERED": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "NO_COLOR": "1",
}
KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "PYTHONPATH",
                    "OMP_NUM_THREADS", "VIRTUAL_ENV", "NVIDIA_VISIBLE_DEVICES")  # fmt: skip
KEPT_FOR_ENGINES = (*KEPT_ENVIRONMENT, "USER", "LOGNAME", "SSH_AUTH_SOCK", "SLURM_CONF", "KUBECONFIG",
                    "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")  # fmt: skip
LONGEST_S = 20.0
TORCHRUN = ("-m", "torch.distributed.run")
AWAY = re.compile(
    r"timed out|unable to contact|connection refused|unreachable|i/o timeout|temporarily|no route"
    r"|zero bytes were transmitted or received"  # of Slurm
    r"|unable to connect to the server|tls handshake timeout|\beof\b|currently unable to handle the request",
    re.IGNORECASE,
)
MISSING = N_("{command} is missing or cannot be run: install it where the control worker runs.")


def kept(names: Sequence[str]) -> dict[str, str]:
    """Those of this process's environment that may be seen by others: none of its secrets."""
    return {name: os.environ[name] for name in names if name in os.environ}


def training(folder: Path, python: str, processes: int) -> list[str]:
    """The command of a training on one machine; torchrun starts it where there are several processes."""
    several = [*TORCHRUN, "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []
    return [python, *several, "-m", "rlhf", "spec", str(folder)]


def on_node(folder: Path, python: str, processes: int, nodes: int) -> str:
    """The line of a shell that starts the training on one of several machines.

    There NODE_RANK says which one it is, MASTER_ADDR and MASTER_PORT where the first one waits for the others.
    """
    if nodes == 1:
        return shlex.join(training(folder, python, processes))
    torchrun = [python, *TORCHRUN, "--nnodes", str(nodes), "--nproc-per-node", str(processes)]
    meeting = '--node-rank "$NODE_RANK" --master-addr "$MASTER_ADDR" --master-port "$MASTER_PORT"'
    return f"{shlex.join(torchrun)} {meeting} {shlex.join(['-m', 'rlhf', 'spec', str(folder)])}"


def exports() -> list[str]:
    """The lines of a shell that say to a training what it is always told."""
    return [f"export {name}={shlex.quote(value)}" for name, value in SAID_TO_TRAININGS.items()]


def status_of(code: int) -> int:
    """An exit status as shells count: 128 and more for a signal, which Python says as a negative number."""
    return code if code >= 0 else 128 - code


def ask(command: Sequence[str], *, given: str | None = None) -> str:
    """Runs an engine's command and returns what it prints; raises EngineAwayError or RefusedError."""
    try:
        done = subprocess.run(
            command,
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=LONGEST_S,
            env=kept(KEPT_FOR_ENGINES),
            check=False,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise RefusedError(MISSING.format(command=command[0])) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineAwayError(f"{command[0]}: {error}") from error
    if done.returncode == 0:
        return done.stdout
    said = (done.stderr or done.stdout).strip() or f"status {done.returncode}"
    if AWAY.search(said):
        raise EngineAwayError(f"{command[0]}: {said}")
    raise RefusedError(said if said.startswith(command[0]) else f"{command[0]}: {said}")
