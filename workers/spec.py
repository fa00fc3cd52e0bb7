"""From a run's row to the file that tells the training what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from annotation.run_tables import DataSet, Run, RunKind
from annotation.store import data_sets, scores
from annotation.store.data_sets import MIXTURE
from annotation.store.pipelines import PIPELINE
from annotation.tables import Turn, TurnState

PROMPTS = "prompts.jsonl"
MIXTURE_FILE = "mixture.toml"
TURNS = "turns.jsonl"
BATCH = 200
NOT_SETTINGS = {"campaign_id", MIXTURE, PIPELINE}


def write_spec(session: Session, run: Run, folder: Path) -> None:
    """Writes spec.json: stage, settings, where the inputs lie; beside it the turns that are to be worked on."""
    paths = {each.role.value: each.checkpoint.path for each in run.inputs}
    if run.snapshot is not None:
        paths["snapshot"] = run.snapshot.folder
    if run.data_set is not None:
        paths["data"] = run.data_set.path
    mixed = data_sets.mixture_of(session, run)
    if mixed:
        paths["data"] = _write_mixture(mixed, folder / MIXTURE_FILE)
    if run.kind is RunKind.GENERATE:
        rows = waiting_turns(session, int(run.config["campaign_id"]))
        paths["data"] = _write(rows, folder / PROMPTS)
    if run.kind is RunKind.SCORE:
        rows = answered_turns(session, int(run.config["campaign_id"]), settled_too=run.config["which"] == "all")
        paths["data"] = _write(rows, folder / TURNS)
    config = {name: value for name, value in run.config.items() if name not in NOT_SETTINGS}
    spec = {"stage": run.kind.value, "paths": paths, "config": config}
    (folder / "spec.json").write_text(json.dumps(spec, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def waiting_turns(session: Session, campaign_id: int) -> Iterator[dict[str, Any]]:
    """The turns of a campaign that wait for responses, a row each, in the project's own format."""
    waiting = (
        select(Turn)
        .where(Turn.campaign_id == campaign_id, Turn.state == TurnState.NEEDS_RESPONSES)
        .options(joinedload(Turn.dialogue, innerjoin=True))
    )
    for turn in session.scalars(waiting.order_by(Turn.id)):
        yield _row(turn, {"message": turn.message})


def answered_turns(session: Session, campaign_id: int, *, settled_too: bool) -> Iterator[dict[str, Any]]:
    """The turns of a campaign with their responses, a row each, in the project's own format."""
    wanted = scores.with_responses(campaign_id, settled_too=settled_too).execution_options(yield_per=BATCH)
    for turn in session.scalars(wanted):
        yield _row(turn, {"message": turn.message, "responses": [response.text for response in turn.responses]})
        session.expunge(turn)


def _row(turn: Turn, said: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": turn.dialogue.external_id,
        "department": turn.department,
        "system": turn.system,
        "history": turn.history,
        "turns": [said],
    }


def _write_mixture(parts: Sequence[tuple[DataSet, float]], file: Path) -> str:
    said = (
        f"[[part]]\ndata = {json.dumps(part.path, ensure_ascii=False)}\nweight = {weight}\n" for part, weight in parts
    )
    file.write_text("".join(said), encoding="utf-8")
    return str(file)


def _write(rows: Iterator[dict[str, Any]], file: Path) -> str:
    with file.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return str(file)
