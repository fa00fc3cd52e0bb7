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
from rlhf.scoring import Layout, score_turns
from rlhf.sequences import Encoder, Fitted, fit
from rlhf.sharing import checked_layout
from rlhf.stage import Stage

FILE = "scores.jsonl"
PIECE = 128
"""Turns that are laid out together, and kept together."""
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
        model = networks.load_reward_model(base, reward, config.dtype, encoder.pad_id, four_bit=config.four_bit)
        model.to(networks.best_device())
        layout = Layout(encoder.pad_id, config.pack_tokens, None)
        cuts: list[Fitted] = []
        for start in range(0, len(left), PIECE):
            piece = left[start : start + PIECE]
            fitted = [fit(encoder, turn.prompt, turn.responses, config.max_length) for turn in piece]
            if start == 0:
                layout = _checked(stage, model, layout, piece, fitted)
            _score_piece(stage, journal, model, layout, piece, fitted)
            cuts += [replace(each, prompt=(), responses=()) for each in fitted]
            done = len(turns) - len(left) + start + len(piece)
            stage.records.event("checkpoint", done)
            stage.records.progress(done, len(turns), "scoring responses")
        stage.report_cuts(cuts)
    return [journal.known[turn.key]["scores"] for turn in turns]


def _checked(stage: Stage, model: Any, layout: Layout, turns: Sequence[Answered], fitted: Sequence[Fitted]) -> Layout:
    sequences, dialogues = [each.sequences for each in fitted], [turn.dialogue for turn in turns]
    return checked_layout(stage.records, model, layout, sequences, dialogues, networks.best_device())


def _score_piece(
    stage: Stage, journal: Journal, model: Any, layout: Layout, turns: Sequence[Answered], fitted: Sequence[Fitted]
) -> None:
    """Scores and keeps some turns."""
    sequences, dialogues = [each.sequences for each in fitted], [turn.dialogue for turn in turns]
    scores = score_turns(model, layout, sequences, dialogues, networks.best_device())
    if not all(math.isfinite(score) for given in scores for score in given):
        stage.refuse("The reward model gives scores that are no numbers: score in float32 or bfloat16 instead.")
    journal.keep({turn.key: {"scores": given} for turn, given in zip(turns, scores, strict=True)})


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
