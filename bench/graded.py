"""Does a reward model learn meaning, or length? Responses of graded quality, built from real dialogues.

To each turn: the doctor's real reply, its first half, what another dialogue's doctor said, and a curt one, in this
order. That longer answers are better is nearly all there is to know about three of the six kinds of pairs, and
useless or worse for two: the real reply against another dialogue's, and half of it against another dialogue's.
"""

from __future__ import annotations

import contextlib
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from annotation import snapshot
from annotation.formats.reading import read_file
from annotation.formats.rows import NewDialogue, NewTurn
from bench.figures import say
from rlhf import evaluate, networks
from rlhf.attention import Attention
from rlhf.config import PretrainConfig, RewardConfig
from rlhf.data import Snapshot
from rlhf.recipes import run_stage
from rlhf.records import Records
from rlhf.scoring import Layout, score_turns
from rlhf.sequences import Encoder, fit

KINDS = ("real", "half", "other", "curt")
DECIDES = (5, 1, 9)
CURT = (
    "多喝水，多休息。",
    "去医院看看。",
    "没事的，别担心。",
    "吃点药就好。",
    "不好说。",
    "先观察。",
    "自己注意。",
    "建议检查。",
)
WHOLE = {
    "pretrain": {"hidden_size": 256, "layers": 4, "heads": 4, "vocabulary": 4096, "block_length": 256, "epochs": 6},
    "reward": {"epochs": 2},
}
QUICK = {
    "pretrain": {"hidden_size": 64, "layers": 2, "heads": 2, "vocabulary": 1024, "block_length": 128, "epochs": 1},
    "reward": {"epochs": 1},
}
PRETRAIN = {"learning_rate": 2e-3, "batch_size": 16, "micro_batch_size": 8, "save_every": 1000, "log_every": 20}
REWARD = {"learning_rate": 1e-3, "batch_size": 16, "pack_tokens": 1024, "max_length": 512, "save_every": 50}


def main(
    data: Annotated[Path, typer.Option(help="A file of CMtMedQA's format")],
    out: Annotated[Path, typer.Option(help="Folder to work in; what is there already is not done again")],
    turns: Annotated[int, typer.Option(help="Turns taken of a dialogue, at most")] = 2,
    seed: Annotated[int, typer.Option(help="Of every choice")] = 0,
    threads: Annotated[int, typer.Option(help="CPU threads")] = 0,
    quick: Annotated[bool, typer.Option(help="A smaller model on fewer dialogues, for a look")] = False,
) -> None:
    """Pre-trains a base on the training dialogues, trains a reward model on graded responses, and measures it."""
    read = [each for each in read_file(data.read_bytes(), k=4).dialogues if not each.turns[0].safety]
    dialogues = read[:100] if quick else read
    sizes = QUICK if quick else WHOLE
    common = {"seed": seed, "threads": threads}
    corpus = write_corpus(out / "corpus.jsonl", dialogues)
    frozen = write_snapshot(out / "snapshot", dialogues, turns, seed)
    base = trained(out, PretrainConfig.of({**PRETRAIN, **sizes["pretrain"], **common}), {"data": corpus})
    paths = {"snapshot": frozen, "base": base}
    reward = trained(out, RewardConfig.of({**REWARD, **sizes["reward"], **common}), paths)
    measure(frozen, base, reward, RewardConfig.of({**REWARD, **common}).max_length)


def write_corpus(file: Path, dialogues: list[NewDialogue]) -> Path:
    """What the base model learns from: the training dialogues alone, as they were."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8") as lines:
        for dialogue in dialogues:
            if snapshot.split_of(dialogue.external_id) == "train":
                last = dialogue.turns[-1]
                exchanges = [*last.history, (last.message, last.reply or "")]
                spoken = [
                    {"role": role, "content": text}
                    for exchange in exchanges
                    for role, text in zip(("user", "assistant"), exchange, strict=True)
                ]
                lines.write(json.dumps({"messages": spoken}, ensure_ascii=False) + "\n")
    return file


def write_snapshot(folder: Path, dialogues: list[NewDialogue], turns: int, seed: int) -> Path:
    """The graded turns as a frozen campaign."""
    if not folder.exists():
        about = {"snapshot": "graded", "campaign": "graded responses", "k": len(KINDS)}
        rows = ((snapshot.TURNS, row) for row in graded(dialogues, turns, random.Random(seed)))
        snapshot.write(folder, about, rows)
    return folder


def graded(dialogues: list[NewDialogue], turns: int, rng: random.Random) -> Iterator[dict[str, Any]]:
    """A row of each chosen turn; the other dialogue is of the same part of the data."""
    replies: dict[str, list[tuple[str, str]]] = {"train": [], "validation": [], "report": []}
    for dialogue in dialogues:
        said = ((dialogue.external_id, turn.reply) for turn in dialogue.turns if turn.reply)
        replies[snapshot.split_of(dialogue.external_id)].extend(said)
    for dialogue in dialogues:
        split = snapshot.split_of(dialogue.external_id)
        answered = [turn for turn in dialogue.turns if turn.reply]
        for turn in sorted(rng.sample(answered, min(turns, len(answered))), key=lambda each: each.number):
            elsewhere = [text for name, text in replies[split] if name != dialogue.external_id]
            yield _row(dialogue, turn, split, rng.choice(elsewhere), rng.choice(CURT))


def _row(dialogue: NewDialogue, turn: NewTurn, split: str, other: str, curt: str) -> dict[str, Any]:
    real = turn.reply or ""
    texts = (real, real[: max(len(real) // 2, 1)], other, curt)
    pairs = [
        {"better": i, "worse": j, "ability": min(DECIDES[i:j]), "provenance": "constructed"}
        for i in range(len(KINDS))
        for j in range(i + 1, len(KINDS))
    ]
    return {
        "dialogue": dialogue.external_id,
        "number": turn.number,
        "split": split,
        "department": dialogue.department,
        "in_distribution": True,
        "safety": False,
        "system": dialogue.system,
        "history": [list(exchange) for exchange in turn.history],
        "message": turn.message,
        "responses": [{"text": text, "model": kind, "sampling": {}} for text, kind in zip(texts, KINDS, strict=True)],
        "rewrite": None,
        "none_acceptable": False,
        "settled_by": "agreed",
        "order": "A > B > C > D",
        "pairs": pairs,
        "unlocked_because": None,
    }


def trained(out: Path, config: PretrainConfig | RewardConfig, paths: dict[str, Path]) -> Path:
    """The model of a stage, trained where it is not there yet."""
    folder = out / config.stage
    if not (folder / "model").exists():
        with contextlib.redirect_stdout(sys.stderr):  # the library prints its log
            run_stage(config.stage, folder, paths, config, Records(folder))
    return folder / "model"


def measure(frozen: Path, base: Path, reward: Path, max_length: int) -> None:
    """Held-out accuracy by kind of pair, beside the judge who prefers the longer answer."""
    encoder = Encoder.of(networks.load_tokenizer(base))
    model = networks.load_reward_model(base, reward, "float32", encoder.pad_id)
    held_out = Snapshot.load(frozen).part("report")
    sequences = [fit(encoder, turn.prompt, turn.responses, max_length).sequences for turn in held_out]
    dialogues = [turn.dialogue for turn in held_out]
    layout = Layout(encoder.pad_id, 2048, Attention.of(model.config))
    ours = evaluate.judge_pairs(held_out, score_turns(model, layout, sequences, dialogues, torch.device("cpu")))
    longer = evaluate.longer_wins(held_out)
    size = sum(each.numel() for each in model.parameters())
    conditions = f"{len(held_out)} held-out turns; a reward model of {size / 1e6:.1f}M parameters"
    for name, judged in (("accuracy", ours), ("longer_wins", longer)):
        shares = {"all": evaluate.share(judged)} | evaluate.by(judged, lambda j: _kind(j.pair.better, j.pair.worse))
        for kind, share in shares.items():
            between = f"95 % between {share['low']:.3f} and {share['high']:.3f}, n = {share['n']}"
            say(f"rm.graded.{name}.{kind}", round(share["value"], 4), "share", conditions=f"{conditions}; {between}")


def _kind(better: int, worse: int) -> str:
    return f"{KINDS[better]}_over_{KINDS[worse]}"


if __name__ == "__main__":
    typer.run(main)
