"""Scoring the responses of turns with a finished reward model: which turns it is sure about, and which are all bad."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from transformers import set_seed

from rlhf import networks
from rlhf.config import ScoreConfig
from rlhf.data import Answered, read_answered
from rlhf.journal import Journal
from rlhf.scoring import score_sequences
from rlhf.sequences import Encoder, Fitted, fit
from rlhf.stage import Stage

FILE = "scores.jsonl"
PIECE = 16
"""Batches whose responses are sorted by length together, and kept together."""
BINS = 24


def run(stage: Stage, config: ScoreConfig) -> dict[str, Any]:
    """Scores every response of the data file and returns how the scores lie. Resumes where an earlier attempt stood.

    The file is the project's own format; what is written has a row a turn, with the scores in the order of its
    responses, in standard deviations from the mean of what the reward model was trained on.
    """
    set_seed(config.seed)
    base, reward = stage.input("base"), stage.input("reward")
    turns = read_answered(stage.input("data"))
    if not turns:
        stage.refuse("No turn of the data file has responses to score.")
    stage.require_same_base()

    # 1. The scores of all turns, as the head says them.
    scores = _score(stage, turns, base, reward, config)

    # 2. Normalised, with what the K of a turn say together.
    scale = networks.read_scale(reward) if networks.has_scale(reward) else None
    mean, deviation = scale or (0.0, 1.0)
    rows = [_row(turn, [(s - mean) / deviation for s in given]) for turn, given in zip(turns, scores, strict=True)]
    below = threshold([row["best"] for row in rows], config)
    for row in rows:
        row["low"] = row["best"] < below

    # 3. The file, and how they lie.
    with stage.model_folder() as folder:
        _write(rows, folder / FILE)
        stage.lineage(config).write(folder)
    return {"normalised": scale is not None, "threshold": below, **summary(rows)}


def threshold(best: Sequence[float], config: ScoreConfig) -> float:
    """Below which best score a turn is for a look: a score, or that which a share of the turns is below."""
    if config.flag_by == "score":
        return config.flag_below
    lowest = math.ceil(config.flag_below * len(best) - 1e-9)
    return sorted(best)[min(lowest, len(best) - 1)]


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How many turns and responses were scored, how many are low, and how best scores and spreads lie."""
    return {
        "turns": len(rows),
        "responses": sum(len(row["scores"]) for row in rows),
        "flagged": sum(row["low"] for row in rows),
        "mean_best": float(np.mean([row["best"] for row in rows])),
        "mean_spread": float(np.mean([row["spread"] for row in rows])),
        "best": _histogram([row["best"] for row in rows]),
        "spread": _histogram([row["spread"] for row in rows]),
    }


def _score(stage: Stage, turns: Sequence[Answered], base: Path, reward: Path, config: ScoreConfig) -> list[list[float]]:
    """The scores of each turn's responses; what an earlier attempt has scored is not scored again."""
    journal = stage.journal(config)
    left = [turn for turn in turns if turn.key not in journal.known]
    if left:
        encoder = Encoder.of(networks.load_tokenizer(base))
        model = networks.load_reward_model(base, reward, config.dtype, encoder.pad_id).to(networks.best_device())
        fitted: list[Fitted] = []
        for start in range(0, len(left), PIECE * config.batch_size):
            piece = left[start : start + PIECE * config.batch_size]
            fitted += _score_piece(stage, journal, model, encoder, piece, config)
            done = len(turns) - len(left) + start + len(piece)
            stage.records.event("checkpoint", done)
            stage.records.progress(done, len(turns), "scoring responses")
        stage.report_cuts(fitted)
    return [journal.known[turn.key]["scores"] for turn in turns]


def _score_piece(
    stage: Stage, journal: Journal, model: Any, encoder: Encoder, turns: Sequence[Answered], config: ScoreConfig
) -> list[Fitted]:
    """Scores and keeps some turns; returns what was cut of each, without its tokens."""
    fitted = [fit(encoder, turn.prompt, turn.responses, config.max_length) for turn in turns]
    flat = [ids for each in fitted for ids in each.sequences]
    scores = score_sequences(model, flat, encoder.pad_id, config.batch_size * 4, networks.best_device())
    if not all(map(math.isfinite, scores)):
        stage.refuse("The reward model gives scores that are no numbers: score in float32 or bfloat16 instead.")
    each = iter(scores)
    journal.keep({turn.key: {"scores": [next(each) for _ in turn.responses]} for turn in turns})
    return [replace(each, prompt=(), responses=()) for each in fitted]


def _row(turn: Answered, scores: Sequence[float]) -> dict[str, Any]:
    return {
        "dialogue": turn.dialogue,
        "number": turn.number,
        "scores": list(scores),
        "best": max(scores),
        "spread": float(np.std(scores)),
        "responses": turn.texts_digest,
    }


def _histogram(values: Sequence[float]) -> dict[str, list[float]]:
    counts, edges = np.histogram(values, bins=BINS)
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def _write(rows: Sequence[dict[str, Any]], file: Path) -> None:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
