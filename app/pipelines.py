"""From the form of a pipeline to its steps: one settings file for all of them, with changes on top."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

import rlhf
from annotation.refusals import Invalid
from annotation.run_tables import CheckpointKind, DataSetKind, RunKind
from annotation.store import campaigns, data_sets, runs, snapshots
from annotation.store.pipelines import LEAVES, Step
from annotation.tables import TurnState
from app.deps import Launchers
from app.routes.runs import NEEDS, wanted
from rlhf.config import CONFIGS

FILES = Path(rlhf.__file__).parent / "configs"
STAGES = (RunKind.PRETRAIN, RunKind.SFT, RunKind.GENERATE, RunKind.REWARD, RunKind.PPO, RunKind.EVALUATE)


def offered(session: Session) -> dict[str, Any]:
    """What the form offers."""
    return {
        "stages": STAGES,
        "files": sorted(file.stem for file in FILES.glob("*.toml")),
        "models": {kind: _named(runs.checkpoints(session, kind)) for kind in CheckpointKind},
        "data_sets": {kind: _named(data_sets.every(session, kind)) for kind in DataSetKind},
        "snapshots": _named(snapshots.every(session)),
        "campaigns": _named(
            campaign
            for campaign in campaigns.every(session)
            if campaigns.progress(session, campaign.id).count(TurnState.NEEDS_RESPONSES)
        ),
    }


def _named(rows: Iterable[Any]) -> list[tuple[int, str]]:
    """Rows to choose from, each by its id."""
    return [(row.id, row.name) for row in rows]


def steps_of(session: Session, values: Mapping[str, str], known: Launchers) -> list[Step]:
    """The steps that a form describes, in the order of the method; raises Invalid or ConfigError."""
    chosen = [kind for kind in STAGES if values.get(f"step-{kind}") == "on"]
    if len(chosen) < 2:
        raise Invalid("Choose two steps or more: a single one is an ordinary run.")
    file, changes = _file(values.get("file", "")), dict(_changes(values.get("changes", "")))
    steps: list[Step] = []
    made: set[CheckpointKind] = set()
    for kind in chosen:
        needs = NEEDS[kind]
        settings = CONFIGS[kind.value].read(file, changes.get(kind.value, {}))
        if getattr(settings, "dry_run", False):
            raise Invalid("A dry run leaves no model for the steps after it: start it as a run of its own.")
        own = {**values, "name": "", "data": values.get(f"data-{needs.data}", "")}
        run = wanted(session, kind, own, settings, known, made=frozenset(made))
        steps.append(Step(run, tuple(role for role in (*needs.models, *needs.optional_models) if role in made)))
        if kind in LEAVES:
            made.add(LEAVES[kind])
    return steps


def _file(name: str) -> Path | None:
    if not name:
        return None
    file = next((file for file in FILES.glob("*.toml") if file.stem == name), None)
    if file is None:
        raise Invalid("There is no settings file named {name}.", name=name)
    return file


def _changes(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Lines such as ``reward.epochs = 2``, by stage."""
    found: dict[str, dict[str, Any]] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        path, sign, value = (part.strip() for part in line.partition("="))
        stage, dot, name = path.partition(".")
        if not sign or not dot or stage not in CONFIGS:
            raise Invalid("Write a change as stage.setting = value, not as {line}.", line=line)
        found.setdefault(stage, {})[name] = _value(value)
    yield from found.items()


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
