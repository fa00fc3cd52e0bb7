"""How a run ends: what its exit status means, and what it leaves behind."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from annotation.db import Database
from annotation.formats.reading import read_file
from annotation.run_tables import Run, RunKind, RunState
from annotation.store import campaigns, imports, pipelines, runs, scores
from annotation.store.pipelines import LEAVES
from annotation.store.runs import HEARTBEAT_S
from annotation.store.scores import Scored
from rlhf.checkpoints import LINEAGE, MODEL, hash_folder, is_complete
from rlhf.data import read_answered
from rlhf.records import N_, read_rows
from workers.carrying import row_of
from workers.holding import holding
from workers.spec import BATCH, TURNS

OUT_OF_MEMORY = 137
REFUSED = 2
TORCHRUN_FAILED = 1  # whatever the status of its processes was
SCORES = "scores.jsonl"
RESULT = "result.json"


def conclude(database: Database, folder: Path, run_id: int, token: int, status: int, *, cancelled: bool) -> None:
    """Writes the end of the run, with the model it made; raises LostRunError where it is no longer this worker's."""
    model = folder / MODEL
    whole = is_complete(model)
    succeeded = status == 0 and not cancelled and (whole or "dry_run" in _read(folder / RESULT))
    sha256, more = "", {}
    if succeeded and whole:
        with holding(database, run_id, token, HEARTBEAT_S):
            sha256 = hash_folder(model)
        more = _take_scores(database, run_id, token, folder)
    with database.writing() as session:
        if cancelled:
            runs.finish(session, run_id, token, RunState.CANCELLED)
        elif succeeded:
            result = _read(folder / RESULT) | more
            result |= _keep(session, runs.get(session, run_id), model, sha256) if whole else {}
            runs.finish(session, run_id, token, RunState.SUCCEEDED, result=result | _go_on(session, run_id))
        else:
            runs.finish(session, run_id, token, RunState.FAILED, error=explain(folder, status))


def _go_on(session: Session, run_id: int) -> dict[str, Any]:
    """Queues what follows in a pipeline, in the transaction that ends the run; the sweeper wakes somebody for it."""
    following = pipelines.go_on(session, runs.get(session, run_id))
    return {} if following is None else {"next_run": following.id}


def explain(folder: Path, status: int) -> str:
    """Why a run failed, for whoever started it."""
    refused = _last_event(folder, "refused") if status in (REFUSED, TORCHRUN_FAILED) else None
    if refused or status == REFUSED:
        return refused or N_("The run was refused: see the log.")
    if status == OUT_OF_MEMORY:
        return N_(
            "The machine ran out of memory: lower micro_batch_size, pack_tokens or max_length, then start it again."
        )
    last = _last_line(folder / "log.txt")
    if "OutOfMemoryError" in last:
        return N_("The GPU ran out of memory: lower micro_batch_size, pack_tokens or max_length, then start it again.")
    if last:
        return N_("The training ended with status {status}: {last}").format(status=status, last=last)
    return N_("The training ended with status {status}.").format(status=status)


def _keep(session: Session, run: Run, model: Path, sha256: str) -> dict[str, Any]:
    """Registers the model that a run made; takes sampled responses into their campaign."""
    if run.kind is RunKind.GENERATE:
        return _import_responses(session, run, model)
    if run.kind not in LEAVES:
        return {}
    lineage = _read(model / LINEAGE)
    checkpoint = runs.add_checkpoint(
        session,
        f"{run.kind}-{run.id}",
        LEAVES[run.kind],
        str(model),
        sha256,
        run_id=run.id,
        step=lineage.get("step", 0),
        lineage=lineage,
    )
    return {"checkpoint": checkpoint.name}


def _take_scores(database: Database, run_id: int, token: int, folder: Path) -> dict[str, Any]:
    """Takes the scores of a scoring run back into the turns, a batch a transaction, each of which holds the run."""
    with database.reading() as session:
        run = runs.get(session, run_id)
        if run.kind is not RunKind.SCORE:
            return {}
        campaign_id = int(run.config["campaign_id"])
    rows = read_rows(folder / MODEL / SCORES)
    scored = (
        Scored(turn.dialogue, turn.number, turn.responses, row["best"], row["spread"])
        for turn, row in zip(read_answered(folder / TURNS), rows, strict=True)
    )
    taken = skipped = 0
    while batch := list(islice(scored, BATCH)):
        with database.writing() as session:
            runs.renew(session, run_id, token)
            done = scores.take(session, campaign_id, run_id, batch)
        taken, skipped = taken + done, skipped + len(batch) - done
    return {"taken_turns": taken, "changed_since": skipped}


def _import_responses(session: Session, run: Run, model: Path) -> dict[str, Any]:
    campaign = campaigns.get(session, int(run.config["campaign_id"]))
    file = model / "responses.jsonl"
    reading = read_file(file.read_bytes(), k=campaign.k)
    done = imports.add(session, campaign, reading.dialogues, source=f"run {run.id}", actor_id=run.created_by_id)
    problems = [str(problem) for problem in (*reading.problems, *done.problems)]
    return {"completed_turns": done.completed, "problems": problems}


def _read(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}


def _last_event(folder: Path, name: str) -> str | None:
    file = folder / "records.jsonl"
    if not file.exists():
        return None
    with file.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        said = [row["values"]["why"] for row in map(row_of, lines) if row.get("event") == name]
    return said[-1] if said else None


def _last_line(file: Path) -> str:
    if not file.exists():
        return ""
    lines = [line.strip() for line in file.read_text(encoding="utf-8", errors="replace").splitlines()]
    said = [line for line in lines if line and not set(line) <= set("╭╮╰╯│─ ")]
    return said[-1][:300] if said else ""
