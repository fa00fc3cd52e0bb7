"""Does a training that is killed again and again end as if it had been left alone? SIGKILL, and the same command again.

A reward run and a PPO run on a small model made here, each once undisturbed and once killed at moments that are drawn:
anywhere, in the middle of a step, of a rollout, of an update, and while a checkpoint is being written. Compared are the
loss of every step and the bytes of every file of weights, on CPU, in float32, with one thread.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from annotation import snapshot
from bench.figures import say
from rlhf import checkpoints, pretrain
from rlhf.checkpoints import MODEL
from rlhf.config import PretrainConfig
from rlhf.records import FILE

ANSWERS = ("您好，请问还有别的不舒服吗？", "多喝水，多休息。", "自己看着办。", "加倍吃药就好。")
COMMON = {"batch_size": 4, "lora_rank": 4, "learning_rate": 0.003, "max_length": 128, "threads": 1}
SETTINGS: dict[str, dict[str, Any]] = {
    "reward": {**COMMON, "epochs": 5, "save_every": 2},
    "ppo": {
        **COMMON, "epochs": 2.5, "micro_batch_size": 2, "rollout_size": 8, "ppo_epochs": 2, "max_new_tokens": 24,
        "save_every": 4, "compared": 4, "despite_gate": True,
    },
}  # fmt: skip
KINDS = {
    "reward": ("anywhere", "step", "save"),
    "ppo": ("anywhere", "answering prompts", "updating the policy", "save"),
}
STARTING_S = 20.0
LOOKED_EVERY_S = 0.001


@dataclass(frozen=True)
class Command:
    """A training as its user starts it, and starts it again."""

    stage: str
    folder: Path
    paths: dict[str, Path]

    def start(self) -> subprocess.Popen[bytes]:
        """The process; what it says goes into its folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        parts = [sys.executable, "-m", "rlhf", "train", self.stage, "--out", str(self.folder)]
        parts += [part for name, path in self.paths.items() for part in (f"--{name}", str(path))]
        parts += [
            part for name, value in SETTINGS[self.stage].items() for part in ("--set", f"{name}={json.dumps(value)}")
        ]
        with (self.folder / "log.txt").open("ab") as log:
            return subprocess.Popen(parts, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})

    def finish(self) -> None:
        """Lets it come to its end; raises CalledProcessError where that is a failure."""
        process = self.start()
        if process.wait():
            sys.stderr.write((self.folder / "log.txt").read_text(encoding="utf-8")[-3000:])
            raise subprocess.CalledProcessError(process.returncode, process.args)


def main(
    kills: Annotated[int, typer.Option(help="Of each kind of run")] = 20,
    seed: Annotated[int, typer.Option(help="Draws the moments")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Three kills of each, for a look")] = False,
) -> None:
    """Both kinds of run."""
    differing = 0
    with tempfile.TemporaryDirectory(prefix="zhongjing-bench-") as folder:
        paths = material(Path(folder))
        calm = Command("reward", Path(folder) / "reward", paths)
        differing += disturb(calm, 3 if quick else kills, random.Random(f"{seed}:reward"))
        paths["reward"] = calm.folder / MODEL
        differing += disturb(
            Command("ppo", Path(folder) / "ppo", paths), 3 if quick else kills, random.Random(f"{seed}:ppo")
        )
    sys.exit(1 if differing else 0)


def disturb(calm: Command, kills: int, draw: random.Random) -> int:
    """Runs it once in peace and once killed; says and returns how much differs."""
    calm.finish()
    shaken = Command(calm.stage, calm.folder.with_name(f"{calm.stage}-killed"), calm.paths)
    hit: Counter[str] = Counter()
    while hit.total() < kills:
        where = KINDS[calm.stage][hit.total() % len(KINDS[calm.stage])]
        process = shaken.start()
        found = killed_at(process, shaken.folder, where, draw)
        if not found:
            break
        hit[found] += 1
        note(f"{calm.stage}: kill {hit.total()} of {kills}, {found}, after step {last_step(shaken.folder)}")
    shaken.finish()
    differing = differences(calm.folder, shaken.folder)
    for each in differing:
        note(f"{calm.stage}: {each} is not as in the undisturbed run")
    moments = ", ".join(f"{number} {where}" for where, number in sorted(hit.items()))
    told = f"{last_step(calm.folder)} steps, killed: {moments}; CPU, float32, 1 thread"
    say(f"train.{calm.stage}.kills", hit.total(), "kills", target=20, conditions=told)
    say(f"train.{calm.stage}.kills_that_changed_something", len(differing), "losses and files of weights",
        target=0, better="lower", conditions=f"{told}; {compared(calm.folder)} compared")  # fmt: skip
    return len(differing)


def killed_at(process: subprocess.Popen[bytes], folder: Path, where: str, draw: random.Random) -> str:
    """Kills at such a moment and says which it was; empty where the run ended before."""
    known, steps = last_step(folder), draw.randint(1, 3)
    started, later = time.monotonic(), draw.uniform(0, 0.05)
    until = draw.uniform(0, STARTING_S) if where == "anywhere" else float("inf")
    due: Callable[[], bool] = {
        "anywhere": lambda: time.monotonic() - started > until or last_step(folder) > known + steps,
        "save": lambda: saving(folder),
        "step": lambda: last_step(folder) >= known + steps,
    }.get(where, lambda: last_step(folder) > known and phase(folder) == where)
    while not due():
        if process.poll() is not None:
            return ""
        time.sleep(LOOKED_EVERY_S)
    if where != "save":
        time.sleep(later)
    process.kill()
    if process.wait() != -9:
        return ""
    return "while saving" if saving(folder) else phase(folder) if where != "anywhere" else where


def saving(folder: Path) -> bool:
    """Whether a checkpoint, or the finished model, is half written."""
    return any(folder.glob(".*.writing")) or any(folder.glob("*/.*.writing"))


def differences(calm: Path, shaken: Path) -> list[str]:
    """What is not the same: losses by step, and files of weights."""
    ours, theirs = losses(calm), losses(shaken)
    found = [f"the loss of step {step}" for step in sorted({*ours, *theirs}) if ours.get(step) != theirs.get(step)]
    files = {file.relative_to(folder) for folder in (calm, shaken) for file in (folder / MODEL).rglob("*.safetensors")}
    return found + [str(file) for file in sorted(files) if _bytes(calm / file) != _bytes(shaken / file)]


def compared(calm: Path) -> str:
    """How much there is to compare."""
    return f"{len(losses(calm))} losses and {len(list((calm / MODEL).rglob('*.safetensors')))} files"


def losses(folder: Path) -> dict[int, float]:
    """The loss of each step as it was computed last."""
    said = (row for row in rows(folder) if "loss" in row.get("values", {}))
    return {row["step"]: row["values"]["loss"] for row in said}


def last_step(folder: Path) -> int:
    """The furthest step that any attempt has done."""
    return max(losses(folder), default=0)


def phase(folder: Path) -> str:
    """What the run was at last."""
    said = [row["progress"]["phase"] for row in rows(folder) if "progress" in row]
    return said[-1] if said else "starting"


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    """What the run has said so far; a line that is being written is left out."""
    if (folder / FILE).exists():
        said = (folder / FILE).read_text(encoding="utf-8").split("\n")[:-1]
        yield from map(json.loads, said)


def material(folder: Path, lengths: int = 1) -> dict[str, Path]:
    """A base model with random weights, and a frozen campaign in which the order of four answers is always the same.

    Its questions are of so many different lengths.
    """
    tokenizer = pretrain.new_tokenizer([*ANSWERS, *(_message(number) for number in range(100))] * 3, 400)
    torch.manual_seed(0)
    model = pretrain.new_model(PretrainConfig(hidden_size=64, layers=3, heads=4, max_length=256), tokenizer)
    model.get_input_embeddings().weight.data.mul_(20)  # tied to the head: so that an adapter can move the logits
    pretrain.save_base(model, tokenizer, folder / "base")
    rows = [(snapshot.TURNS, _row(number, 1 + number % lengths)) for number in range(100)]
    snapshot.write(folder / "snapshot", {"campaign": "made"}, rows)
    return {"base": folder / "base", "snapshot": folder / "snapshot"}


def _row(number: int, times: int) -> dict[str, Any]:
    pairs = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    return {
        "dialogue": f"d{number}", "number": 1, "split": snapshot.split_of(f"d{number}"), "department": None,
        "in_distribution": True, "safety": False, "system": None, "history": [], "message": _message(number) * times,
        "responses": [{"text": text, "model": "made", "sampling": {}} for text in ANSWERS],
        "rewrite": None, "none_acceptable": False, "settled_by": "agreed", "order": "A > B > C > D",
        "pairs": [{"better": i, "worse": j, "ability": 9, "provenance": "constructed"} for i, j in pairs],
        "unlocked_because": None,
    }  # fmt: skip


def _message(number: int) -> str:
    return f"孩子发烧{number}天了，怎么办？"


def _bytes(file: Path) -> str:
    return checkpoints.hash_file(file) if file.exists() else "not there"


def note(line: str) -> None:
    """Says something beside the figures."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    typer.run(main)
