"""Gradient spikes are mended, and said so."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rlhf.config import SftConfig
from rlhf.records import Records
from rlhf.trainer import WARM_AFTER, StageTrainer


class Clips:
    """Stands for the library's trainer: returns the norm before clipping."""

    norms: list[float]
    optimizer: torch.optim.Optimizer

    def _clip_grad_norm(self, _model: Any) -> torch.Tensor:
        return torch.tensor(self.norms.pop(0))

    def create_optimizer(self, _model: Any = None) -> torch.optim.Optimizer:
        return self.optimizer


class Trainer(StageTrainer, Clips):
    def __init__(self, folder: Path, norms: list[float]) -> None:
        self.norms = norms
        self.parameter = torch.nn.Parameter(torch.ones(2))
        self.optimizer = torch.optim.SGD([self.parameter], lr=1.0)
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda _: 1.0)
        self.accelerator = SimpleNamespace(scaler=None)
        self.is_deepspeed_enabled = False
        self.state = SimpleNamespace(global_step=0)
        self.records, self.settings = Records(folder), SftConfig(spike_factor=5.0, spike_rate_factor=0.5)
        self.folder = folder

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.parameter.grad = torch.ones(2)
            self._clip_grad_norm(None)

    def events(self) -> list[str]:
        file = self.folder / "records.jsonl"
        return [json.loads(line)["event"] for line in file.read_text().splitlines()] if file.exists() else []


def test_ordinary_gradients_are_left_alone(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path, [1.0] * 30)
    trainer.steps(30)
    assert trainer.events() == []
    assert torch.equal(trainer.parameter.grad, torch.ones(2))


def test_a_spike_is_halved_and_lowers_the_rate(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path, [1.0] * WARM_AFTER + [50.0])
    trainer.steps(WARM_AFTER + 1)
    assert trainer.events() == ["gradient spike"]
    assert torch.equal(trainer.parameter.grad, torch.full((2,), 0.5))
    assert trainer.lr_scheduler.base_lrs == [0.5]


def test_under_deepspeed_a_spike_is_halved_once_in_the_step_of_each_group(tmp_path: Path) -> None:
    """It clips inside its step, steps once a group of parameters, and asks for the optimiser twice."""
    trainer = Trainer(tmp_path, [])
    trainer.is_deepspeed_enabled = True
    trainer.deepspeed = SimpleNamespace(optimizer=SimpleNamespace(_global_grad_norm=50.0))
    trainer._norm_average, trainer._norms_seen = 1.0, WARM_AFTER
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))]} for _ in range(2)]
    trainer.optimizer = torch.optim.SGD(groups, lr=1.0)
    trainer.create_optimizer()
    trainer.create_optimizer()
    whole = trainer.optimizer.param_groups
    for group in whole:
        group["params"][0].grad = torch.ones(1)
        trainer.optimizer.param_groups = [group]
        trainer.optimizer.step()
    assert [group["params"][0].item() for group in whole] == [0.5, 0.5]
    assert trainer.events() == ["gradient spike"]


def test_a_spike_does_not_become_what_is_usual(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path, [1.0] * WARM_AFTER + [50.0] * 3)
    trainer.steps(WARM_AFTER + 3)
    assert trainer.events() == ["gradient spike"] * 3


def test_the_first_steps_are_no_spikes(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path, [0.1, 50.0, 3.0])
    trainer.steps(3)
    assert trainer.events() == []


@pytest.mark.parametrize("norm", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_skips_the_step(tmp_path: Path, norm: float) -> None:
    trainer = Trainer(tmp_path, [norm])
    trainer.steps(1)
    assert trainer.events() == ["step skipped"]
    before = trainer.parameter.clone()
    trainer.optimizer.step()
    assert torch.equal(trainer.parameter, before)


def test_the_running_norm_survives_a_resume(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path, [1.0] * WARM_AFTER)
    trainer.steps(WARM_AFTER)
    other = Trainer(tmp_path / "other", [50.0])
    other._load_running(json.loads(json.dumps(trainer._running())))
    other.steps(1)
    assert other.events() == ["gradient spike"]


def test_a_metric_that_is_not_finite_is_shown_as_missing_not_hidden(tmp_path: Path) -> None:
    Records(tmp_path).metrics(1, {"loss": float("nan"), "rate": torch.tensor(0.5)})
    row = json.loads((tmp_path / "records.jsonl").read_text())
    assert row["values"] == {"loss": None, "rate": 0.5}
