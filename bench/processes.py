"""Do two processes train what one does, by DDP and by ZeRO-2? Dropout 0, the same turns a step, loss by loss.

What counts as a gradient spike is set so low that some steps are mended: they have to be the same ones.

The ZeRO-2 run uses the file that a cluster uses (``rlhf/configs/zero2.json``), in float32 over gloo.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.figures import say
from bench.kills import losses, material, note, rows

SETTINGS: dict[str, Any] = {
    "batch_size": 4, "lora_rank": 4, "lora_dropout": 0, "learning_rate": 0.003, "max_length": 128, "threads": 1,
    "save_every": 8, "spike_factor": 1.1, "pack_tokens": 190,
}  # fmt: skip
TARGET = 1e-5


def main(
    epochs: Annotated[float, typer.Option(help="Passes over some 80 turns, four a step")] = 1.1,
    seed: Annotated[int, typer.Option(help="Of the training")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="A quarter of a pass, for a look")] = False,
) -> None:
    """One process, then two in each way."""
    settings = {**SETTINGS, "epochs": 0.25 if quick else epochs, "seed": seed}
    with tempfile.TemporaryDirectory(prefix="zhongjing-bench-") as folder:
        paths = material(Path(folder), lengths=4)
        alone = train(Path(folder) / "one", 1, paths, settings)
        for parallel in ("ddp", "zero2"):
            if parallel == "zero2" and find_spec("deepspeed") is None:
                note("DeepSpeed is not installed, so ZeRO-2 is not measured: pip install deepspeed")
                sys.exit(1)
            together = train(Path(folder) / parallel, 2, paths, {**settings, "parallel": parallel})
            if together.keys() != alone.keys():
                note(f"{parallel}: {len(together)} steps instead of {len(alone)}: nothing is compared.")
                sys.exit(1)
            if spikes(Path(folder) / parallel) != spikes(Path(folder) / "one"):
                note(f"{parallel}: mended other steps than one process does: nothing is compared.")
                sys.exit(1)
            furthest = max(abs(together[step] / loss - 1) for step, loss in alone.items())
            mended = len(spikes(Path(folder) / "one"))
            said = (
                f"{len(alone)} steps of 4 turns, {mended} mended, some in several packs; dropout 0, CPU, gloo, float32"
            )
            say(f"train.reward.two_processes_{parallel}.loss_difference", float(f"{furthest:.2e}"), "relative, largest",
                target=TARGET, better="lower", peer="one process", conditions=said)  # fmt: skip


def train(out: Path, processes: int, paths: dict[str, Path], settings: dict[str, Any]) -> dict[int, float]:
    """The loss of each step of a reward run by so many processes."""
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(several if processes > 1 else []), "-m", "rlhf", "train", "reward", "--out", str(out)]
    command += [part for name, path in paths.items() for part in (f"--{name}", str(path))]
    command += [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False
    )
    if done.returncode:
        sys.stderr.write(done.stderr[-3000:])
        sys.exit(1)
    return losses(out)


def spikes(folder: Path) -> list[int]:
    """The steps that were mended."""
    return [row["step"] for row in rows(folder) if row.get("event") == "gradient spike"]


if __name__ == "__main__":
    typer.run(main)
