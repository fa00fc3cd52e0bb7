"""Measuring on the report split, which no training has seen and nothing selects on."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import set_seed

from rlhf import checkpoints, networks
from rlhf.compare import compare
from rlhf.config import EvaluateConfig, PpoConfig
from rlhf.data import Pair, Snapshot, Turn
from rlhf.packing import Sequences
from rlhf.quartet import Quartet
from rlhf.scoring import Layout, score_turns
from rlhf.sequences import Encoder, fit
from rlhf.sharing import checked_layout
from rlhf.stage import Stage

EVALUATION = "evaluation.json"
RESAMPLES = 1000
DISAGREEMENTS = 25
"""How many turns of a split are named for a second look."""


@dataclass(frozen=True)
class Judged:
    """A strict pair of a held-out turn, with what the scores say; ``right`` is 1, 0, or 0.5 for equal scores."""

    turn: Turn
    pair: Pair
    right: float


def share(judged: Sequence[Judged], seed: int = 0) -> dict[str, Any]:
    """The share that is right, with a 95 % percentile bootstrap over dialogues, and how many pairs it is of.

    From a single dialogue there is no interval: nothing says how another one would have come out.
    """
    if not judged:
        return {"value": None, "low": None, "high": None, "n": 0}
    by_dialogue: dict[str, list[float]] = defaultdict(list)
    for each in judged:
        by_dialogue[each.turn.dialogue].append(each.right)
    sums = np.array([[sum(right), len(right)] for right in by_dialogue.values()])
    value, n = float(sums[:, 0].sum() / sums[:, 1].sum()), int(sums[:, 1].sum())
    if len(sums) == 1:
        return {"value": value, "low": None, "high": None, "n": n}
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=RESAMPLES)
    drawn = weights @ sums
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    return {"value": value, "low": float(low), "high": float(high), "n": n}


def judge_pairs(turns: Sequence[Turn], scores: Sequence[Sequence[float]]) -> list[Judged]:
    """Every strict pair of the turns; ``scores`` has one number a response."""
    return [
        Judged(turn, pair, _right(given[pair.better], given[pair.worse]))
        for turn, given in zip(turns, scores, strict=True)
        for pair in turn.pairs
    ]


def by(judged: Iterable[Judged], key: Callable[[Judged], object]) -> dict[str, dict[str, Any]]:
    """The share that is right in each group that ``key`` names; None is no group."""
    groups: dict[str, list[Judged]] = defaultdict(list)
    for each in judged:
        name = key(each)
        if name is not None:
            groups[str(name)].append(each)
    return {name: share(groups[name]) for name in sorted(groups)}


def longer_wins(turns: Sequence[Turn]) -> list[Judged]:
    """What a judge says who always prefers the longer answer."""
    return judge_pairs(turns, [[float(len(text)) for text in turn.responses] for turn in turns])


def experts_agree(snapshot: Snapshot, turns: Sequence[Turn]) -> list[Judged]:
    """For each strict pair of the turns, whether its two annotators gave it the same relation."""
    found = []
    for turn in turns:
        places = [j.places for j in snapshot.judgements.get((turn.dialogue, turn.number), []) if j.places is not None]
        if len(places) != 2:
            continue
        for pair in turn.pairs:
            if max(pair.better, pair.worse) < len(places[0]):
                first, second = (np.sign(p[pair.better] - p[pair.worse]) for p in places)
                found.append(Judged(turn, pair, float(first == second)))
    return found


def disagreements(turns: Sequence[Turn], scores: Sequence[Sequence[float]]) -> list[dict[str, Any]]:
    """The turns in which the scores contradict a settled relation most, each with its worst pair, the worst first.

    ``margin`` is by how much the response that experts put below is scored above the other.
    """
    worst = [
        (turn, max(turn.pairs, key=lambda pair: given[pair.worse] - given[pair.better]), given)
        for turn, given in zip(turns, scores, strict=True)
        if turn.pairs
    ]
    margins = [(given[pair.worse] - given[pair.better], turn, pair) for turn, pair, given in worst]
    against = sorted((each for each in margins if each[0] > 0), key=lambda each: -each[0])
    return [
        {
            "dialogue": turn.dialogue,
            "number": turn.number,
            "split": turn.split,
            "better": pair.better,
            "worse": pair.worse,
            "ability": pair.ability,
            "provenance": pair.provenance,
            "margin": margin,
        }
        for margin, turn, pair in against[:DISAGREEMENTS]
    ]


def held_out(encoder: Encoder, snapshot: Snapshot, max_length: int) -> tuple[list[Turn], list[Sequences], list[str]]:
    """The turns of the report split with a preference, their sequences, and their dialogues."""
    turns = [turn for turn in snapshot.part("report") if turn.pairs]
    sequences: list[Sequences] = [fit(encoder, turn.prompt, turn.responses, max_length).sequences for turn in turns]
    return turns, sequences, [turn.dialogue for turn in turns]


def evaluate_reward(
    model: Any, layout: Layout, encoder: Encoder, snapshot: Snapshot, max_length: int, device: torch.device
) -> dict[str, Any]:
    """Held-out pair accuracy beside the experts' agreement and the longer-answer baseline."""
    turns, sequences, dialogues = held_out(encoder, snapshot, max_length)
    by_turn = score_turns(model, layout, sequences, dialogues, device)
    judged = judge_pairs(turns, by_turn)
    return {
        "turns": len(turns),
        "accuracy": share(judged),
        "longer_wins": share(longer_wins(turns)),
        "experts_agree": share(experts_agree(snapshot, turns)),
        "by_gap": by(judged, lambda j: j.turn.gap(j.pair)),
        "longer_wins_by_gap": by(longer_wins(turns), lambda j: j.turn.gap(j.pair)),
        "by_ability": by(judged, lambda j: j.pair.ability),
        "experts_agree_by_ability": by(experts_agree(snapshot, turns), lambda j: j.pair.ability),
        "by_provenance": by(judged, lambda j: j.pair.provenance),
        "disagreements": disagreements(turns, by_turn),
    }


def run(stage: Stage, config: EvaluateConfig) -> dict[str, Any]:
    """Evaluates a reward model on the snapshot's report split, and a policy if one is given; both stay as they are."""
    set_seed(config.seed)
    base, reward, policy = stage.input("base"), stage.input("reward"), stage.optional("policy")
    snapshot = stage.snapshot()
    stage.require_same_base()
    encoder = Encoder.of(networks.load_tokenizer(base))

    # 1. The reward model on held-out pairs.
    device = networks.best_device()
    model = networks.load_reward_model(base, reward, config.dtype, encoder.pad_id, four_bit=config.four_bit).to(device)
    _, sequences, dialogues = held_out(encoder, snapshot, config.max_length)
    layout = checked_layout(
        stage.records, model, Layout(encoder.pad_id, config.pack_tokens, None), sequences, dialogues, device
    )
    result = evaluate_reward(model, layout, encoder, snapshot, config.max_length, device)
    del model  # the next step has a base of its own in memory

    # 2. The policy on held-out prompts, beside what it was trained from.
    if policy is not None:
        result |= evaluate_policy(stage, policy, encoder, snapshot, config)

    with stage.model_folder() as folder:
        write_evaluation(folder, result)
        stage.lineage(config).write(folder)
    return result


def evaluate_policy(
    stage: Stage, policy: Path, encoder: Encoder, snapshot: Snapshot, config: EvaluateConfig
) -> dict[str, Any]:
    """The same held-out prompts answered before and after a policy's training; see ``compare``.

    Before is the adapter that its lineage names as its policy, else the base itself. Raises CheckpointError where that
    adapter is not as it was.
    """
    before = checkpoints.trained_from(policy)
    shared = config.model_dump(include={*PpoConfig.model_fields} - {"batch_size"})
    settings = PpoConfig.of(shared)
    quartet = Quartet(stage.input("base"), policy, stage.input("reward"), settings).to(networks.best_device())
    quartet.refer_to(before)
    return compare(quartet, encoder, snapshot.part("report"), settings, stage.folder, stage.records)


def write_evaluation(folder: Path, result: dict[str, Any]) -> None:
    """Keeps an evaluation beside the model that it is of."""
    (folder / EVALUATION).write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _right(better: float, worse: float) -> float:
    return 0.5 if better == worse else float(better > worse)
