"""Which recipe runs which stage."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from rlhf.config import (
    EvaluateConfig,
    GenerateConfig,
    PpoConfig,
    PretrainConfig,
    RewardConfig,
    Settings,
    SftConfig,
)
from rlhf.records import Records
from rlhf.stage import Stage


def run_stage(name: str, folder: Path, paths: dict[str, Path], settings: Settings, records: Records) -> dict[str, Any]:
    """Runs a stage and returns its result; each recipe is imported only where it runs."""
    quiet()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    stage = Stage(name, folder, paths, records)
    match settings:
        case PretrainConfig():
            from rlhf import pretrain

            return pretrain.run(stage, settings)
        case SftConfig():
            from rlhf import sft

            return sft.run(stage, settings)
        case GenerateConfig():
            from rlhf import generate

            return generate.run(stage, settings)
        case RewardConfig():
            from rlhf import reward

            return reward.run(stage, settings)
        case PpoConfig():
            from rlhf import ppo

            return ppo.run(stage, settings)
        case EvaluateConfig():
            from rlhf import evaluate

            return evaluate.run(stage, settings)
    raise ValueError(f"There is no stage {name!r}.")


def quiet() -> None:
    """The log is read by people: it holds what happens in a run, not how far a file is loaded."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    warnings.filterwarnings("ignore", message=".*will be removed in v6", category=FutureWarning)
