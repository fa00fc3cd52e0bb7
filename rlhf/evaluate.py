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
from rlhf.calibration import calibration
from rlhf.compare import compare
from rlhf.config import EvaluateConfig, PpoConfig
from rlhf.data import Pair, Snapshot, Split, Turn
from rlhf.intervals import mean_over
from rlhf.orders import orders, orders_of_experts
from rlhf.packing import Sequences
from rlhf.quartet import Quartet
from rlhf.scoring import Layout, score_turns
from rlhf.sequences import Encoder, fit
from rlhf.sharing import checked_layout
from rlhf.shortcuts import boilerplate, length_correlations
from rlhf.stage import Stage

EVALUATION = "evaluation.json"
SCORED: tuple[Split, ...] = ("validation", "report")
DISAGREEMENTS = 25
"""How many turns of a split are named for a second look."""


@dataclass(frozen=True)
class Judged:
    """A strict pair of a held-out turn, with what the scores say; ``right`` is 1, 0, or 0.5 for equal scores."""

    turn: Turn
    pair: Pair
    right: float


def share(judged: Sequence[Judged], seed: int = 0) -> dict[str, Any]:
    """The share that is right, with its interval over dialogues, and how many pairs it is of."""
    return mean_over([each.turn.dialogue for each in judged], [each.right for each in judged], seed)


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
    return {name: share(groups[name]) for name in sorted(groups, key=_in_order)}


def longer_wins(turns: Sequence[Turn]) -> list[Judged]:
    """What a judge says who always prefers the longer answer."""
    return judge_pairs(turns, [[float(len(text)) for text in turn.responses] for turn in turns])


def experts_agree(snapshot: Snapshot, turns: Sequence[Turn]) -> list[Judged]:
    """For each strict pair of the turns, whether its two annotators gave it the same relation."""
    found = []
    for turn in turns:
        places = _two_orders(snapshot, turn)
        for pair in turn.pairs if places else ():
            if max(pair.better, pair.worse) < len(places[0]):
                first, second = (np.sign(p[pair.better] - p[pair.worse]) for p in places)
                found.append(Judged(turn, pair, float(first == second)))
    return found


STRATA: dict[str, Callable[[Judged], object]] = {
    "gap": lambda j: j.turn.gap(j.pair),
    "ability": lambda j: j.pair.ability,
    "department": lambda j: j.turn.department,
    "depth": lambda j: j.turn.number,
    "source": lambda j: -1 if j.turn.in_distribution is None else int(j.turn.in_distribution),
    "provenance": lambda j: j.pair.provenance,
}
"""What accuracy is broken down by. A source is 1 like the fine-tuning data, 0 unlike it, -1 where nobody said."""


def accuracies(judged: Sequence[Judged], longer: Sequence[Judged], experts: Sequence[Judged]) -> dict[str, Any]:
    """The share that is right of the model, of the longer answer and of two experts, over all pairs and by STRATA."""
    whole = {"accuracy": share(judged), "longer_wins": share(longer), "experts_agree": share(experts)}
    judges = {"": judged, "longer_wins_": longer, "experts_agree_": experts}
    return whole | {f"{judge}by_{name}": by(own, key) for name, key in STRATA.items() for judge, own in judges.items()}


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


def with_pairs(
    encoder: Encoder, snapshot: Snapshot, split: Split, max_length: int
) -> tuple[list[Turn], list[Sequences], list[str]]:
    """The turns of a split with a preference, their sequences, and their dialogues."""
    turns = [turn for turn in snapshot.part(split) if turn.pairs]
    sequences: list[Sequences] = [fit(encoder, turn.prompt, turn.responses, max_length).sequences for turn in turns]
    return turns, sequences, [turn.dialogue for turn in turns]


def evaluate_reward(
    model: Any, layout: Layout, encoder: Encoder, snapshot: Snapshot, max_length: int, device: torch.device
) -> dict[str, Any]:
    """What the scores say of the report split, everywhere beside the longer answer and the two experts.

    Of validation, which selected the checkpoint, nothing is taken but the temperature.
    """
    scored = {}
    for split in SCORED:
        turns, sequences, dialogues = with_pairs(encoder, snapshot, split, max_length)
        scored[split] = turns, score_turns(model, layout, sequences, dialogues, device)
    turns, by_turn = scored["report"]
    judged, lengths = judge_pairs(turns, by_turn), [[float(len(text)) for text in turn.responses] for turn in turns]
    experts = [_two_orders(snapshot, turn) for turn in turns]
    return {
        "turns": len(turns),
        **accuracies(judged, judge_pairs(turns, lengths), experts_agree(snapshot, turns)),
        "orders": {
            "model": orders(turns, by_turn), "longer": orders(turns, lengths),
            "experts": orders_of_experts(turns, experts),
        },
        "calibration": calibration(leads(*scored["validation"]), leads(turns, by_turn)),
        "length": length_correlations(turns, by_turn),
        "boilerplate": boilerplate(turns, by_turn, snapshot.manifest.get("rewrite_template") or ""),
        "disagreements": disagreements(turns, by_turn),
    }  # fmt: skip


def leads(turns: Sequence[Turn], scores: Sequence[Sequence[float]]) -> list[float]:
    """By how much the better response of each strict pair is scored above the worse."""
    return [given[p.better] - given[p.worse] for turn, given in zip(turns, scores, strict=True) for p in turn.pairs]


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
    _, sequences, dialogues = with_pairs(encoder, snapshot, "report", config.max_length)
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


def _two_orders(snapshot: Snapshot, turn: Turn) -> list[tuple[int, ...]]:
    """The places that the two annotators of a turn gave its responses; empty where either gave no order."""
    given = snapshot.judgements.get((turn.dialogue, turn.number), [])
    places = [each.places for each in given if each.places is not None]
    return places if len(places) == 2 else []


def _in_order(name: str) -> tuple[float, str]:
    """Numbers by their value, before names."""
    return (float(name), "") if name.lstrip("-").isdecimal() else (float("inf"), name)
