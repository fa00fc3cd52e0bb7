"""Does PPO raise the score while the divergence stays bounded? The demonstration's PPO again, with several seeds."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import typer

from app.demo.path import CONFIG
from bench.figures import say
from rlhf.config import PpoConfig
from rlhf.recipes import run_stage
from rlhf.records import FILE, Records, read_rows


def main(
    home: Annotated[Path, typer.Option(help="Home of a demonstration that has come to the end of its path")],
    out: Annotated[Path, typer.Option(help="Folder to work in; what is there already is not done again")],
    seeds: Annotated[int, typer.Option(help="How many")] = 3,
    threads: Annotated[int, typer.Option(help="CPU threads")] = 0,
    quick: Annotated[bool, typer.Option(help="One pass over the prompts, for a look")] = False,
) -> None:
    """Trains with each seed from the same base, policy, reward model and snapshot; prints the curves as figures."""
    runs = home / "runs"
    [snapshot] = sorted((home / "snapshots").iterdir())[:1]
    paths = {"snapshot": snapshot} | {
        name: runs / number / "model" for name, number in (("base", "1"), ("policy", "2"), ("reward", "3"))
    }
    for seed in range(seeds):
        changes: dict[str, Any] = {"seed": seed, "threads": threads, **({"epochs": 1.0} if quick else {})}
        config = PpoConfig.read(CONFIG, changes)
        folder = out / str(seed)
        if not (folder / "model").exists():
            with contextlib.redirect_stdout(sys.stderr):  # the library prints its log
                run_stage(
                    "ppo", folder, {name: path.resolve() for name, path in paths.items()}, config, Records(folder)
                )
        report(folder, f"seed {seed}, {config.epochs:g} passes, the demonstration's reward model")


def report(folder: Path, conditions: str) -> None:
    """First and last fifth of the curves, and the highest divergence of a rollout."""
    scores, divergences = (curve(folder, name) for name in ("rollout/score", "rollout/kl"))
    fifth = max(len(scores) // 5, 1)
    say("ppo.demo.score.first_fifth", round(mean(scores[:fifth]), 3), "score", conditions=conditions)
    say("ppo.demo.score.last_fifth", round(mean(scores[-fifth:]), 3), "score", conditions=conditions)
    say("ppo.demo.kl.highest", round(max(divergences), 2), "nats a response", better="lower", conditions=conditions)
    shown = " ".join(f"{score:.2f}@{kl:.1f}" for score, kl in zip(scores, divergences, strict=True))
    say("ppo.demo.rollouts", len(scores), "rollouts", conditions=f"{conditions}; score@kl of each: {shown}")


def curve(folder: Path, name: str) -> list[float]:
    """A metric over the run."""
    return [row["values"][name] for row in read_rows(folder / FILE) if name in row.get("values", {})]


if __name__ == "__main__":
    typer.run(main)
