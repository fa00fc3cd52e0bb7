"""Which recipe runs which stage: the module of the same name."""

from __future__ import annotations

import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from rlhf.config import Settings
from rlhf.records import Records
from rlhf.stage import Stage


def run_stage(name: str, folder: Path, paths: dict[str, Path], settings: Settings, records: Records) -> dict[str, Any]:
    """Runs a stage and returns its result; each recipe is imported only where it runs."""
    quiet()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    stage = Stage(name, folder, paths, records)
    recipe = import_module(f"rlhf.{settings.stage}")
    return dict(recipe.run(stage, settings))


def quiet() -> None:
    """The log is read by people: it holds what happens in a run, not how far a file is loaded."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    warnings.filterwarnings("ignore", message=".*will be removed in v6", category=FutureWarning)
