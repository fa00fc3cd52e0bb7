"""Runs of every kind and in every state, as workers leave them, without any training behind them."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy.orm import Session

from annotation.db import utcnow
from annotation.run_tables import CheckpointKind, DataSetKind, Run, RunKind, RunState
from annotation.store import data_sets, runs, scores, snapshots
from annotation.store.runs import NewRun
from annotation.store.scores import Scored
from annotation.tables import Turn
from tests.app.test_reward_view import evaluation
from tests.browser.desk import Desk

SETTINGS = {"learning_rate": 0.002, "epochs": 4.0}
TOLD: dict[RunKind, dict[str, Any]] = {
    RunKind.PRETRAIN: {"loss": 1.25, "steps": 120},
    RunKind.REWARD: {
        **evaluation(),
        "disagreements": [
            {"dialogue": "agreed", "number": 1, "split": "report", "better": 0, "worse": 1, "provenance": "agreed",
             "ability": 1, "margin": 1.7},
        ],
    },
    RunKind.PPO: {"score_before": 0.02, "score_after": 0.85, "kl_after": 12.1, "win_rate": 0.93, "tokens_before": 64.0,
                  "tokens_after": 52.0},
    RunKind.SCORE: {
        "turns": 2,
        "flagged": 1,
        "threshold": 0.0,
        "normalised": True,
        "changed_since": 1,
        "best": {"counts": [1, 0, 1], "edges": [-1.0, -0.3, 0.3, 1.0]},
        "spread": {"counts": [0, 2, 0], "edges": [0.0, 0.3, 0.6, 0.9]},
    },
}  # fmt: skip
SIDE = {"text": "建议先休息，多喝水。", "score": -1.2, "tokens": 96, "ended": False, "kl": 0.0}
SAMPLE = {
    "dialogue": "agreed",
    "number": 1,
    "department": "内科",
    "history": [["头痛三天了。", "体温多少？"]],
    "message": "怎么办？",
    "before": SIDE,
    "after": {**SIDE, "score": 1.3, "tokens": 36, "ended": True, "kl": 8.0},
}


def train(desk: Desk, campaign_id: int, admin_id: int) -> None:
    """A snapshot, a data set, models, and runs: done ones, and others that wait, work, failed or were cancelled."""
    snapshot_id = snapshots.freeze(desk.database, campaign_id, desk.settings.snapshots, actor_id=admin_id)
    with desk.database.writing() as session:
        data_sets.add(session, "corpus", DataSetKind.CORPUS, "corpus.jsonl", "0" * 64, 312, actor_id=admin_id)
        for kind, result in TOLD.items():
            of_campaign = {"campaign_id": campaign_id} if kind is RunKind.SCORE else {}
            done = _run(session, kind, RunState.SUCCEEDED, snapshot_id, **of_campaign)
            done.result, done.finished_at = result, utcnow()
            _measured(session, done)
        for kind in CheckpointKind:
            runs.add_checkpoint(session, kind, kind, f"models/{kind}", "0" * 64)
        _run(session, RunKind.SFT, RunState.QUEUED, snapshot_id, queued=True)
        working = _run(session, RunKind.SFT, RunState.RUNNING, snapshot_id)
        working.step, working.steps, working.phase = 30, 120, "training"
        _run(session, RunKind.PPO, RunState.FAILED, snapshot_id, failed=True).error = "CUDA out of memory"
        _run(session, RunKind.GENERATE, RunState.CANCELLED, snapshot_id)
    for run_id in range(1, len(TOLD) + 1):
        folder = desk.settings.runs / str(run_id)
        folder.mkdir(parents=True)
        (folder / "samples.jsonl").write_text(json.dumps(SAMPLE) + "\n", encoding="utf-8")


def _run(session: Session, kind: RunKind, state: RunState, snapshot_id: int, **config: Any) -> Run:
    run = runs.start(session, NewRun(kind, "", SETTINGS | config, snapshot_id), actor_id=None)
    run.state, run.started_at, run.attempts = state, utcnow(), 1
    session.flush()
    return run


def _measured(session: Session, run: Run) -> None:
    curves = ("loss", "eval_loss", "accuracy", "eval_accuracy", "rollout/score", "rollout/kl")
    records: list[dict[str, Any]] = [
        {"step": step, "values": dict.fromkeys(curves, 1 / (step + 1))} for step in range(20)
    ]
    told = {"why": "its held-out accuracy is only sure to be above 0.563, and 'the longer answer wins' gives 0.632"}
    runs.append(session, run.id, [*records, {"step": 0, "event": "gate overridden", "values": told}], "step 19\n")


def score(session: Session, run_id: int, campaign_id: int, turns: list[Turn]) -> None:
    """What a run says of two turns, the first of which is below what it calls low."""
    said = [
        Scored(turn.dialogue.external_id, turn.number, tuple(each.text for each in turn.responses), best, 0.5)
        for turn, best in zip(turns, (-1.0, 1.0), strict=True)
    ]
    scores.take(session, campaign_id, run_id, said)
