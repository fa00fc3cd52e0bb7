"""Sampling K responses a turn for the doctors to rank, written as a file that imports."""

from __future__ import annotations

import json
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from transformers import set_seed

from rlhf import checkpoints, networks
from rlhf.config import GenerateConfig
from rlhf.data import Prompt
from rlhf.records import read_rows
from rlhf.sampling import SamplingRule, sample
from rlhf.sequences import Encoder, fit
from rlhf.stage import Stage

FILE = "responses.jsonl"


def alike(first: str, second: str) -> float:
    """How alike two texts are, from 0 to 1: the share of characters that stand in matching blocks."""
    return SequenceMatcher(None, first, second, autojunk=False).ratio()


def near_duplicate(text: str, others: Sequence[str], above: float) -> bool:
    """Whether a text is empty or says nearly the same as one of the others."""
    return not text or any(alike(text, other) > above for other in others)


def run(stage: Stage, config: GenerateConfig) -> dict[str, Any]:
    """Samples responses to every turn of the data file that waits for them; returns what came of it.

    The file is the project's own format; the one that is written has the same rows with responses.
    """
    set_seed(config.seed)
    base, policy = stage.input("base"), stage.optional("policy")
    rows = list(read_rows(stage.input("data")))
    encoder = Encoder.of(networks.load_tokenizer(base))
    model = networks.load_policy(base, policy, config.dtype)
    waiting = [(row, turn, prompt) for row in rows for turn, prompt in _waiting(row)]
    if not waiting:
        stage.refuse("No turn of the data file waits for responses.")
    name = _name_of(stage)
    rule = SamplingRule(config.max_new_tokens, config.temperature, config.top_p)
    duplicates = 0
    for done, (_, turn, prompt) in enumerate(waiting, start=1):
        room = config.max_length - config.max_new_tokens
        ids = fit(encoder, prompt, (), max(room, config.max_length // 2)).prompt
        texts, kept_alike = _distinct(model, encoder, ids, rule, config)
        duplicates += kept_alike
        sampling = {"temperature": config.temperature, "top_p": config.top_p, "seed": config.seed}
        turn["responses"] = [{"text": text, "model": name, "sampling": sampling} for text in texts]
        stage.records.progress(done, len(waiting), "sampling responses")
    with checkpoints.writing(stage.folder / checkpoints.MODEL) as folder:
        _write(rows, folder / FILE)
        stage.lineage(config).write(folder)
    return {"turns": len(waiting), "responses": config.k * len(waiting), "near_duplicates_kept": duplicates}


def _distinct(
    model: Any, encoder: Encoder, prompt: Sequence[int], rule: SamplingRule, config: GenerateConfig
) -> tuple[list[str], int]:
    """K responses to one prompt; near-duplicates are sampled again, and counted if they stay."""
    kept: list[str] = []
    spare: list[str] = []
    for _ in range(config.attempts + 1):
        missing = config.k - len(kept)
        sampled = sample(
            model, [prompt] * missing, rule, end_id=encoder.end_id, pad_id=encoder.pad_id, batch_size=missing
        )
        for text in map(encoder.decode, sampled):
            (spare if near_duplicate(text, kept, config.similar_above) else kept).append(text)
        if len(kept) == config.k:
            return kept, 0
    different = [text for text in dict.fromkeys(spare) if text and text not in kept]
    filled = [*kept, *different, *(f"（无回复 {i + 1}）" for i in range(config.k))][: config.k]
    return filled, config.k - len(kept)


def _waiting(row: dict[str, Any]) -> list[tuple[dict[str, Any], Prompt]]:
    history = [(patient, doctor) for patient, doctor in row.get("history") or []]
    found = []
    for turn in row["turns"]:
        if not turn.get("responses"):
            found.append((turn, Prompt(tuple(history), turn["message"], row.get("system"))))
        history.append((turn["message"], turn.get("reply") or ""))
    return found


def _name_of(stage: Stage) -> str:
    known = stage.paths.get("policy") or stage.paths["base"]
    return f"{known.parent.name}/{checkpoints.hash_folder(known)[:12]}"


def _write(rows: Sequence[dict[str, Any]], file: Path) -> None:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
