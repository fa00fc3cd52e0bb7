"""What a run will take, before it is started: from the fields of its form to a plan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from annotation.refusals import Invalid, Missing
from annotation.run_tables import CheckpointKind
from annotation.store import runs, snapshots
from app.words import N_
from rlhf.config import PpoConfig, PretrainConfig, Settings
from rlhf.expected import Tokens, expected_tokens, plain_encoder
from rlhf.plan import GIGABYTE, GPUS, new_shape, other_ways, plan
from rlhf.shapes import Shape, ShapeError, shape_of

DEFAULT_GPU = "A100 80 GB"
TURNS_LOOKED_AT = 200
NO_BASE = N_("Choose a base model, and the memory that the run takes stands here.")


def gpus() -> dict[str, Any]:
    """What the form offers to plan for."""
    return {"gpus": list(GPUS), "gpu": DEFAULT_GPU}


def planned(session: Session, settings: Settings, values: Mapping[str, str]) -> dict[str, Any]:
    """The plan of a run as a form describes it; raises Invalid or Missing where the form does not say enough."""
    folder = _base(session, values)
    shape = _shape(folder, settings)
    gpu = values.get("plan-gpu", "")
    gpu = gpu if gpu in GPUS else DEFAULT_GPU
    found = plan(shape, settings)
    return {
        "plan": found,
        "gpu": gpu,
        "memory": GPUS[gpu],
        "verdict": found.verdict(GPUS[gpu]),
        "parameters": shape.parameters,
        "others": other_ways(shape, settings) if isinstance(settings, PpoConfig) else {},
        "tokens": _tokens(session, settings, values, folder),
        "gigabytes": lambda size: f"{size / GIGABYTE:.{1 if size >= GIGABYTE else 2}f}",
    }


def _base(session: Session, values: Mapping[str, str]) -> Path | None:
    chosen = values.get(CheckpointKind.BASE, "")
    return Path(runs.checkpoint(session, int(chosen)).path) if chosen.isdecimal() else None


def _shape(folder: Path | None, settings: Settings) -> Shape:
    if folder is None:
        if not isinstance(settings, PretrainConfig):
            raise Invalid(NO_BASE)
        return new_shape(settings)
    try:
        return shape_of(folder)
    except ShapeError as error:
        raise Invalid(error.sentence, **error.parts) from error


def _tokens(session: Session, settings: Settings, values: Mapping[str, str], base: Path | None) -> Tokens | None:
    chosen = values.get("snapshot", "")
    if not chosen.isdecimal():
        return None
    folder = Path(snapshots.get(session, int(chosen)).folder)
    if not folder.exists():
        raise Missing("The folder of the snapshot is not on this machine.")
    return expected_tokens(folder, plain_encoder(base), settings, TURNS_LOOKED_AT)
