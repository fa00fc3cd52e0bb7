"""The list of PPO's details names tests that there are, and settings that there are."""

from __future__ import annotations

import re
from pathlib import Path

from rlhf.config import BestOfNConfig, PpoConfig

ROOT = Path(__file__).parents[2]
LIST = (ROOT / "docs" / "ppo.md").read_text(encoding="utf-8")


def test_every_detail_names_a_test_that_exists() -> None:
    rows = [line for line in LIST.splitlines() if line.startswith("| ") and not line.endswith("| held by |")]
    rows = [row for row in rows if set(row) != set("| -")]
    assert len(rows) > 20
    assert all("`test_" in row for row in rows)
    sources = [file.read_text(encoding="utf-8") for file in (ROOT / "tests" / "rlhf").glob("test_*.py")]
    there = {name for source in sources for name in re.findall(r"^def (test_\w+)\(", source, re.MULTILINE)}
    assert set(re.findall(r"`(test_\w+)`", LIST)) - there == set()


def test_every_setting_that_a_detail_names_exists() -> None:
    named = re.findall(r"`([a-z_]+)`", LIST)
    settings = PpoConfig.model_fields.keys() | BestOfNConfig.model_fields.keys()
    engines = {"generate", "continuous", "vllm"}
    assert {name for name in named if not name.startswith("test_")} - settings == engines
