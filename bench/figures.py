"""How a measurement speaks: one JSON object a line on standard output, nothing else."""

from __future__ import annotations

import json
import sys
from typing import Literal


def say(
    figure: str,
    value: float | None,
    unit: str,
    *,
    conditions: str,
    better: Literal["higher", "lower"] = "higher",
    target: float | None = None,
    peer: str | None = None,
) -> None:
    """Prints a figure."""
    row = {"figure": figure, "value": value, "unit": unit, "target": target, "better": better}
    sys.stdout.write(json.dumps({**row, "peer": peer, "conditions": conditions}, ensure_ascii=False) + "\n")
    sys.stdout.flush()
