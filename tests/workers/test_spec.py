"""What a training is told stands in a file that it can read."""

from __future__ import annotations

import tomllib
from pathlib import Path

from annotation.run_tables import DataSet
from workers import spec


def test_a_path_with_rare_characters_reaches_a_mixture_as_it_is(tmp_path: Path) -> None:
    path = '/data/𠮷野 "医".jsonl'  # the first is beyond the basic plane
    file = spec._write_mixture([(DataSet(path=path), 0.5)], tmp_path / "mixture.toml")
    assert tomllib.loads(Path(file).read_text(encoding="utf-8")) == {"part": [{"data": path, "weight": 0.5}]}
