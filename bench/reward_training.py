"""How fast the reward model trains beside TRL's trainer on pairs: the same turns in each step, from the same weights.

Real dialogues give the turns. Their four responses are either independent (the doctor's and three of other dialogues)
or graded (the doctor's, its first half, another dialogue's, a curt one), of which the second begins as the first does.
The losses of the steps are compared before the speeds are: a comparison of different work says nothing.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal

import torch
import typer
from transformers import LlamaConfig, LlamaForCausalLM

from annotation.formats.reading import read_file
from annotation.formats.rows import NewDialogue
from bench.figures import say
from bench.graded import CURT
from bench.reward_side import Job, Side, Trained
from rlhf import pretrain
from rlhf.data import Prompt
from rlhf.sequences import Encoder, fit

Responses = Literal["independent", "graded"]
MICRO_BATCHES = (2, 4, 8)
LOSSES_MAY_DIFFER = 1e-3
TARGETS = {"independent": 10.0, "graded": 12.0}


@dataclass(frozen=True)
class Size:
    """A model's shape and the length that its sequences are cut to."""

    name: str
    vocabulary: int
    hidden: int
    layers: int
    heads: int
    inner: int
    dtype: Literal["float32", "bfloat16"]
    max_length: int = 2048


SMALL = Size("dialogues", 6_400, 512, 6, 8, 1_376, "float32")
"""A body of 19 million parameters."""


def main(
    data: Annotated[Path, typer.Option(help="A file of CMtMedQA's format")],
    dialogues: Annotated[int, typer.Option(help="Dialogues to train on")] = 100,
    steps: Annotated[int, typer.Option(help="Optimiser steps; 0 for one pass over the turns")] = 0,
    rounds: Annotated[int, typer.Option(help="How often both sides train in turn")] = 1,
    turns_a_step: Annotated[int, typer.Option(help="Turns of one optimiser step")] = 16,
    pack_tokens: Annotated[int, typer.Option(help="Tokens of one of our packs")] = 1024,
    threads: Annotated[int, typer.Option(help="CPU threads of either side")] = 2,
    seed: Annotated[int, typer.Option(help="Draws the responses")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="A look: a few steps on few dialogues")] = False,
) -> None:
    """Both kinds of responses, both sides in turn."""
    if quick:
        dialogues, steps, rounds = 16, 2, 1
    read = [each for each in read_file(data.read_bytes(), k=4).dialogues if not each.turns[0].safety]
    with tempfile.TemporaryDirectory(prefix="zhongjing-bench-") as folder:
        base, encoder = _base(Path(folder) / "base", SMALL, read)
        for kind in ("independent", "graded"):
            train, held_out = _files(Path(folder), encoder, read, dialogues, kind, seed)
            whole = len(train.read_text(encoding="utf-8").splitlines()) // turns_a_step
            job = Job(
                "ours",
                str(base),
                str(train),
                str(held_out),
                turns_a_step,
                steps or whole,
                pack_tokens,
                SMALL.dtype,
                threads,
            )
            compare(job, kind, rounds)


def compare(job: Job, kind: Responses, rounds: int) -> None:
    """The figures of one kind of responses."""
    fastest = _fastest(job)
    note(f"{kind}: the other side is fastest with {fastest} pairs at a time")
    found: dict[Side, list[Trained]] = {"ours": [], "trl": []}
    for _ in range(rounds):
        for each in (job, replace(job, side="trl", forward=fastest)):
            found[each.side].append(_ran(each))
            note(f"{kind}, {each.side}: {asdict(found[each.side][-1])}")
    difference = max(abs(a / b - 1) for a, b in zip(found["ours"][0].losses, found["trl"][0].losses, strict=True))
    if difference > LOSSES_MAY_DIFFER:
        note(f"The losses differ by {difference:.1e}: the two sides did not do the same work, so nothing is compared.")
        sys.exit(1)
    report(job, kind, fastest, difference, found)


def report(job: Job, kind: Responses, fastest: int, difference: float, found: dict[Side, list[Trained]]) -> None:
    """Ratios of medians over the rounds; accuracies of the first."""
    conditions = (
        f"{kind} responses; {job.steps} steps of {job.turns_a_step} turns, losses within {difference:.1e}; "
        f"{job.dtype}, {job.threads} threads, packs of {job.forward} tokens against {fastest} pairs at a time"
    )
    name = "rm.dialogues" if kind == "independent" else "rm.dialogues.graded"
    tell = partial(say, peer="TRL 1.16 RewardTrainer on the six pairs", conditions=conditions)

    def of(side: Side, measure: str) -> float:
        return float(median(getattr(each, measure) for each in found[side]))

    tell(f"{name}.speedup_vs_trl_pairs", round(of("trl", "seconds") / of("ours", "seconds"), 2), "ratio",
         target=TARGETS[kind])  # fmt: skip
    for measure, said in (("peak_mib", "peak_memory"), ("above_mib", "peak_memory_above_start")):
        smaller = round(of("ours", measure) / of("trl", measure), 3)
        tell(f"{name}.{said}_ratio_vs_trl_pairs", smaller, "ratio", better="lower", target=0.4)
    lead = round(found["ours"][0].accuracy - found["trl"][0].accuracy, 4)
    tell(f"{name}.accuracy_minus_trl_pairs", lead, "share of held-out pairs", target=-0.01)


def _fastest(job: Job) -> int:
    """The micro-batch with which the other side needs the least time for two steps."""
    tried = {size: _ran(replace(job, side="trl", forward=size, steps=2)).seconds for size in MICRO_BATCHES}
    return min(tried, key=lambda size: tried[size])


def _ran(job: Job) -> Trained:
    command = [sys.executable, "-m", "bench.reward_side"]
    done = subprocess.run(command, input=json.dumps(asdict(job)), stdout=subprocess.PIPE, text=True, check=True)
    return Trained(**json.loads(done.stdout))


def _base(folder: Path, size: Size, dialogues: Sequence[NewDialogue]) -> tuple[Path, Encoder]:
    """A model of this shape with random weights, and a tokenizer made from the dialogues."""
    texts = [text for dialogue in dialogues for turn in dialogue.turns for text in (turn.message, turn.reply or "")]
    tokenizer = pretrain.new_tokenizer(texts, size.vocabulary)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=size.hidden, num_hidden_layers=size.layers,
            num_attention_heads=size.heads, intermediate_size=size.inner, max_position_embeddings=size.max_length,
            tie_word_embeddings=True, bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip
    pretrain.save_base(model, tokenizer, folder)
    return folder, Encoder.of(tokenizer)


def _files(
    folder: Path, encoder: Encoder, read: Sequence[NewDialogue], dialogues: int, kind: Responses, seed: int
) -> tuple[Path, Path]:
    """Turns to train on, and half as many of other dialogues that are held out."""
    rng = random.Random(seed)
    replies = [turn.reply for dialogue in read for turn in dialogue.turns if turn.reply]
    found = []
    for name, part in (("train", read[:dialogues]), ("held-out", read[dialogues : dialogues + dialogues // 2])):
        file = folder / f"{kind}-{name}.jsonl"
        rows = (row for dialogue in part for row in _rows(encoder, dialogue, kind, replies, rng))
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        found.append(file)
    return found[0], found[1]


def _rows(
    encoder: Encoder, dialogue: NewDialogue, kind: Responses, replies: Sequence[str], rng: random.Random
) -> Iterator[dict[str, Any]]:
    for turn in dialogue.turns:
        real = turn.reply or ""
        others = rng.sample(replies, 3)
        texts = (
            [real, *others] if kind == "independent" else [real, real[: len(real) // 2], others[0], rng.choice(CURT)]
        )
        prompt = Prompt(tuple(turn.history), turn.message, dialogue.system)
        sequences = fit(encoder, prompt, texts, SMALL.max_length).sequences
        yield {"dialogue": dialogue.external_id, "sequences": sequences, "pairs": list(combinations(range(4), 2))}


def note(line: str) -> None:
    """Says something beside the figures."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    typer.run(main)
