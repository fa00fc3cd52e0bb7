"""ZeRO-2: several processes divide gradients and optimiser states among them, by DeepSpeed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from rlhf.config import ConfigError, Parallel

ZERO2 = Path(__file__).parent / "configs" / "zero2.json"


def sharded(parallel: Parallel) -> dict[str, Any]:
    """The training arguments of a way to divide work; raises ConfigError where it cannot be here.

    Processes without a GPU are joined here: left alone, the library names no backend, and each trains by itself.
    """
    if parallel == "ddp":
        return {}
    if find_spec("deepspeed") is None:
        raise ConfigError("parallel zero2 needs DeepSpeed, which is not installed: pip install deepspeed, or set ddp")
    if "LOCAL_RANK" not in os.environ:
        raise ConfigError("parallel zero2 is for several processes: start it with torchrun, or set ddp")
    if torch.cuda.is_available():
        return {"deepspeed": str(ZERO2)}
    _join_without_gpu()
    return {"deepspeed": str(ZERO2), "use_cpu": False, "accelerator_config": {"use_configured_state": True}}


def _join_without_gpu() -> None:
    os.environ["DS_ACCELERATOR"] = "cpu"
    operations = import_module("deepspeed").ops.__compatible_ops__
    operations["deepspeed_shm_comm"] = False  # gloo does; this one would be compiled for minutes
    with _told_to_use_deepspeed():
        PartialState(backend="gloo")


@contextmanager
def _told_to_use_deepspeed() -> Iterator[None]:
    """As the library tells itself, for a moment."""
    os.environ["ACCELERATE_USE_DEEPSPEED"] = "true"
    try:
        yield
    finally:
        del os.environ["ACCELERATE_USE_DEEPSPEED"]
