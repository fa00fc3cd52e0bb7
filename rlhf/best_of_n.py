"""Best of n: the response that the reward model scores highest, written as a file to fine-tune on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import set_seed

from rlhf import gate, networks
from rlhf.answered import Answered
from rlhf.bases import base_of_reward
from rlhf.config import BestOfNConfig, PpoConfig
from rlhf.data import Prompt, digest_of, prompts_to_train_on
from rlhf.engines import Generate
from rlhf.journal import Journal
from rlhf.quartet import Quartet
from rlhf.rollout import answer, ask
from rlhf.sequences import Encoder, fit
from rlhf.stage import Stage

FILE = "dialogues.jsonl"


def run(stage: Stage, config: BestOfNConfig) -> dict[str, Any]:
    """Answers each prompt n times and keeps the best response that ended; returns what came of it.

    Prompts are those that PPO would take. Of the prompts, those whose best response scores highest are kept. Resumes
    where an earlier attempt stood.
    """
    base, reward = stage.input("base"), stage.input("reward")
    gate.require(reward, stage, despite=config.despite_gate)
    tokenizer = networks.load_tokenizer(base)
    encoder = Encoder.of(tokenizer)
    snapshot = stage.snapshot() if stage.optional("snapshot") else None
    prompts = prompts_to_train_on(snapshot, stage.optional("data"))
    if not prompts:
        stage.refuse("There is no prompt to answer: name a snapshot, or a data file of prompts.")
    shared = {**config.model_dump(include={*PpoConfig.model_fields}), "despite_gate": config.despite_gate}
    settings = PpoConfig.of(shared)
    own = base_of_reward(stage, config)
    quartet = Quartet(base, stage.optional("policy"), reward, settings, own).to(networks.best_device())

    # 1. n responses to each prompt, and the best of them.
    journal = _answer(stage, quartet, encoder, prompts, config, settings)

    # 2. Those that are worth learning from.
    found = [(prompt, journal.known[_key(prompt)]) for prompt in prompts]
    ended = sorted((each for each in found if each[1]["text"]), key=lambda each: -each[1]["score"])
    kept = ended[: max(round(config.keep_share * len(ended)), 1)]
    if not kept:
        stage.refuse("No response ended: raise max_new_tokens, or fine-tune the policy first.")
    with stage.model_folder() as folder:
        rows = (json.dumps(_row(prompt, best), ensure_ascii=False) + "\n" for prompt, best in kept)
        (folder / FILE).write_text("".join(rows), encoding="utf-8")
        stage.lineage(config).write(folder)
    means = [each["mean"] for _, each in found]
    best = [each["score"] for _, each in kept]
    return {
        "prompts": len(prompts),
        "kept": len(kept),
        "none_ended": len(found) - len(ended),
        "score_of_all": float(np.mean(means)),
        "score_of_kept": float(np.mean(best)),
    }


def _answer(
    stage: Stage,
    quartet: Quartet,
    encoder: Encoder,
    prompts: Sequence[Prompt],
    config: BestOfNConfig,
    settings: PpoConfig,
) -> Journal:
    """Answers as many prompts at a time as fill a batch; each batch has a seed of its own."""
    journal, engine = stage.journal(config), Generate(quartet, encoder, config.generate_batch_size)
    together = max(config.generate_batch_size // config.responses, 1)
    room = max(config.max_length - config.max_new_tokens, config.max_length // 2)
    todo = [i for i, prompt in enumerate(prompts) if _key(prompt) not in journal.known]
    for start in range(0, len(todo), together):
        batch = [prompts[i] for i in todo[start : start + together]]
        set_seed(int(digest_of([config.seed, todo[start]])[:8], 16))
        answered = answer(engine, encoder, [fit(encoder, each, (), room).prompt for each in batch], settings)
        _, scores = ask(quartet, answered, (), len(batch))
        best = _best(encoder, answered, scores.reshape(len(batch), -1).tolist())
        journal.keep({_key(prompt): each for prompt, each in zip(batch, best, strict=True)})
        done = len(prompts) - len(todo) + start + len(batch)
        stage.records.event("checkpoint", done)
        stage.records.progress(done, len(prompts), "sampling responses")
    return journal


def _best(encoder: Encoder, answered: Answered, scores: Sequence[Sequence[float]]) -> list[dict[str, Any]]:
    """Of each prompt the text and the score of the best response that ended, and the mean score of all."""
    found = []
    for own, given in zip(answered.responses, scores, strict=True):
        texts = [encoder.decode(ids) if ids[-1] == answered.end_id else "" for ids in own]
        closed = [(score, text) for score, text in zip(given, texts, strict=True) if text]
        score, text = max(closed, default=(None, ""))
        found.append({"text": text, "score": score, "mean": float(np.mean(given))})
    return found


def _row(prompt: Prompt, best: dict[str, Any]) -> dict[str, Any]:
    said = [("system", prompt.system)] if prompt.system is not None else []
    for asked, replied in prompt.history:
        said += [("user", asked), ("assistant", replied)]
    said += [("user", prompt.message), ("assistant", best["text"])]
    return {"messages": [{"role": role, "content": text} for role, text in said], "score": round(best["score"], 4)}


def _key(prompt: Prompt) -> str:
    return digest_of([prompt.system, prompt.history, prompt.message])
