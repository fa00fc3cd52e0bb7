"""``make bench`` and ``make bench-train``: every measurement in turn, each in a process of its own.

Figures go to standard output, one JSON object a line; all else to standard error. A part that cannot be run, or that
says itself that its run is void, is named there, and the status at the end is 1.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from annotation.tables import TurnOrder

PARTS = (
    ("bench.load",),
    ("bench.load", "--backend", "sqlite"),
    *(("bench.growth", "--order", order.value) for order in TurnOrder),
    ("bench.freeze",),
    ("bench.statistics_pages",),
    ("bench.review_questions",),
    ("bench.keystrokes",),
)
TRAINING = (("bench.processes",), ("bench.kills",))


def main(
    data: Annotated[
        Path | None, typer.Option(help="The training's parts instead, on a file of CMtMedQA's format")
    ] = None,
    seed: Annotated[int, typer.Option(help="For everything that is drawn")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="A look at everything, smaller")] = False,
) -> None:
    """All parts."""
    options = ["--seed", str(seed), *(["--quick"] if quick else [])]
    parts = PARTS if data is None else (("bench.reward_training", "--data", str(data)), *TRAINING)
    failed = [part for part in parts if not _ran(part, options)]
    for part in failed:
        sys.stderr.write(f"bench: {' '.join(part)} gave no figures\n")
    sys.exit(1 if failed else 0)


def _ran(part: tuple[str, ...], options: list[str]) -> bool:
    module, *own = part
    return subprocess.run([sys.executable, "-m", module, *own, *options], check=False).returncode == 0


if __name__ == "__main__":
    typer.run(main)
