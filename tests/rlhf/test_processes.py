"""Several processes train the model that one would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from annotation import snapshot
from rlhf import sharding
from rlhf.__main__ import SPEC
from rlhf.config import ConfigError
from rlhf.records import FILE, read_rows
from rlhf.stage import JOURNAL
from tests.conftest import wait_for
from tests.rlhf.material import turn_row
from workers.launchers import slurm
from workers.launchers.launcher import Job, Phase
from workers.launchers.local import Local

CHANGES = {
    "batch_size": 4,
    "epochs": 1,
    "lora_rank": 2,
    "lora_dropout": 0,
    "learning_rate": 0.01,
    "margin": 0.5,
    "disputed_weight": 0.25,
    "centring": 0.1,
    "save_every": 100,
    "threads": 1,
}


def train(stage: str, out: Path, processes: int, **paths: Path) -> subprocess.CompletedProcess[str]:
    """``python -m rlhf train``, by torchrun where there are several processes."""
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(several if processes > 1 else []), "-m", "rlhf", "train", stage, "--out", str(out)]
    command += [part for name, path in paths.items() for part in (f"--{name}", str(path))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def launch(out: Path, processes: int, parallel: str, **paths: Path) -> None:
    """A reward run, launched as the worker launches one on this machine."""
    out.mkdir()
    spec = {
        "stage": "reward",
        "paths": {name: str(path) for name, path in paths.items()},
        "config": {**CHANGES, "parallel": parallel},
    }
    (out / SPEC).write_text(json.dumps(spec), encoding="utf-8")
    launcher = Local(processes)
    process = launcher.submit(Job(1, 0, out))
    wait_for(lambda: launcher.state(process).phase is Phase.ENDED, 300)
    launcher.cancel(process)
    assert launcher.state(process).status == 0, (out / "log.txt").read_text(encoding="utf-8")[-3000:]


WITH_DEEPSPEED = pytest.mark.skipif(find_spec("deepspeed") is None, reason="DeepSpeed is not installed")


@pytest.mark.training
@pytest.mark.parametrize("parallel", ["ddp", pytest.param("zero2", marks=WITH_DEEPSPEED)])
def test_two_processes_train_the_reward_model_that_one_trains(base: Path, tmp_path: Path, parallel: str) -> None:
    """Step for step the same loss; the weights differ by what Adam makes of gradients that are nearly zero.

    Every third turn was disputed and counts less, so that the processes of a step have different shares of its divisor.
    """
    disputed = [{**turn_row(number), "settled_by": "agreed" if number % 3 else "adjudicated"} for number in range(12)]
    for row in disputed:
        row["pairs"] = [{**pair, "strength": "clear" if pair.get("ability") == 1 else None} for pair in row["pairs"]]
    snapshot.write(tmp_path / "s", {}, [(snapshot.TURNS, row) for row in disputed])
    weights, results, losses = [], [], []
    for processes in (1, 2):
        out = tmp_path / str(processes)
        launch(out, processes, parallel if processes > 1 else "ddp", base=base, snapshot=tmp_path / "s")
        weights.append(load_file(out / "model" / "adapter_model.safetensors"))
        losses.append([row["values"]["loss"] for row in read_rows(out / FILE) if "loss" in row.get("values", {})])
        results.append(json.loads((out / "result.json").read_text(encoding="utf-8")))
    assert len(losses[0]) == 2
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert weights[0].keys() == weights[1].keys()
    for name, alone in weights[0].items():
        torch.testing.assert_close(weights[1][name], alone, rtol=1e-3, atol=1e-4)
    assert results[0]["steps"] == results[1]["steps"] == 2
    assert results[0]["accuracy"] == results[1]["accuracy"]


@pytest.mark.training
@pytest.mark.parametrize(
    ("installed", "sentence"), [(True, "start it with torchrun"), (False, "pip install deepspeed")]
)
def test_zero_that_cannot_be_says_what_to_do(monkeypatch: pytest.MonkeyPatch, installed: bool, sentence: str) -> None:
    monkeypatch.setattr(sharding, "find_spec", lambda _name: installed or None)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with pytest.raises(ConfigError, match=sentence):
        sharding.sharded("zero2")


@pytest.mark.training
def test_ppo_says_that_it_runs_in_one_process(base: Path, snapshot_folder: Path, tmp_path: Path) -> None:
    done = train("ppo", tmp_path / "run", 2, base=base, snapshot=snapshot_folder, reward=base)
    assert done.returncode != 0
    assert "PPO runs in one process in this version" in done.stderr


def test_what_a_batch_job_looks_for_before_it_is_requeued_is_what_stages_keep() -> None:
    assert slurm.JOURNAL == JOURNAL
