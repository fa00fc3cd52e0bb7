"""From a run's row to the file that tells the training what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from annotation.run_tables import Run, RunKind
from annotation.tables import Dialogue, Turn, TurnState

PROMPTS = "prompts.jsonl"


def write_spec(session: Session, run: Run, folder: Path) -> None:
    """Writes spec.json: stage, settings, and where the inputs lie. Prompts to answer are written beside it."""
    paths = {each.role.value: each.checkpoint.path for each in run.inputs}
    if run.snapshot is not None:
        paths["snapshot"] = run.snapshot.folder
    if run.data_set is not None:
        paths["data"] = run.data_set.path
    if run.kind is RunKind.GENERATE:
        file = folder / PROMPTS
        rows = waiting_turns(session, int(run.config["campaign_id"]))
        file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        paths["data"] = str(file)
    config = {name: value for name, value in run.config.items() if name != "campaign_id"}
    spec = {"stage": run.kind.value, "paths": paths, "config": config}
    (folder / "spec.json").write_text(json.dumps(spec, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def waiting_turns(session: Session, campaign_id: int) -> Iterator[dict[str, Any]]:
    """The turns of a campaign that wait for responses, a row each, in the project's own format."""
    waiting = (
        select(Turn).join(Dialogue).where(Turn.campaign_id == campaign_id, Turn.state == TurnState.NEEDS_RESPONSES)
    )
    for turn in session.scalars(waiting.order_by(Turn.id)):
        yield {
            "id": turn.dialogue.external_id,
            "department": turn.department,
            "system": turn.system,
            "history": turn.history,
            "turns": [{"message": turn.message}],
        }
