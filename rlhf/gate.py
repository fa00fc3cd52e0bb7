"""The gate before PPO: a reward model has to know more than that longer answers tend to be better."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rlhf.evaluate import EVALUATION
from rlhf.records import N_
from rlhf.stage import Stage


def objection(evaluation: dict[str, Any]) -> str | None:
    """Why a reward model does not pass: its accuracy is not above the baseline beyond its interval; None if it is."""
    low, baseline = evaluation.get("accuracy", {}).get("low"), evaluation.get("longer_wins", {}).get("value")
    if evaluation.get("accuracy", {}).get("value") is None or baseline is None:
        return N_("it was not evaluated on held-out pairs")
    if low is None:
        return N_("its held-out pairs are of a single dialogue, which says nothing about others")
    if low > baseline:
        return None
    sure = N_("its held-out accuracy is only sure to be above {low}, and 'the longer answer wins' gives {baseline}")
    return sure.format(low=f"{low:.3f}", baseline=f"{baseline:.3f}")


def require(reward: Path, stage: Stage, *, despite: bool) -> None:
    """Ends the run where the reward model does not pass, or records that it was told to go on."""
    file = reward / EVALUATION
    why = objection(json.loads(file.read_text(encoding="utf-8")) if file.exists() else {})
    if why is None:
        return
    if not despite:
        stage.refuse(
            "The reward model is not shown to know more than length ({why}): train it on more rankings, or set "
            "despite_gate to run all the same.",
            why=why,
        )
    stage.records.event("gate overridden", 0, why=why)
