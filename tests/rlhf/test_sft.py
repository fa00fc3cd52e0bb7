"""Fine-tuning on dialogues and, of a snapshot, on what experts wrote in place of unacceptable answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annotation import snapshot as files
from rlhf import checkpoints, sft
from rlhf.checkpoints import Lineage
from rlhf.config import SftConfig
from rlhf.data import DataError, Example, Prompt
from rlhf.records import Records
from rlhf.sequences import Encoder
from rlhf.stage import Stage
from tests.rlhf.material import PLAIN, POLITE, turn_row

CONFIG = SftConfig(epochs=1, batch_size=2, micro_batch_size=2, lora_rank=2, max_length=128)
REWRITE = "很抱歉，我不知道。"


def rewritten(number: int) -> dict[str, Any]:
    above = [{"better": 4, "worse": n, "ability": None, "provenance": "rewritten"} for n in range(4)]
    return turn_row(number, rewrite=f"{REWRITE}{number}", none_acceptable=True, settled_by="rewritten", pairs=above)


def stage_of(folder: Path, base: Path, turns: list[dict[str, Any]]) -> Stage:
    folder.mkdir()
    said = [{"role": "user", "content": "孩子发烧怎么办？"}, {"role": "assistant", "content": POLITE}]
    data = folder / "dialogues.jsonl"
    data.write_text(json.dumps({"messages": said}), encoding="utf-8")
    files.write(folder / "snapshot", {"snapshot": "1-1"}, [(files.TURNS, turn) for turn in turns])
    paths = {"base": base, "data": data, "snapshot": folder / "snapshot"}
    return Stage("sft", folder, paths, Records(folder))


@pytest.fixture
def learnt(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, list[int]]]:
    """The rows that the trainers of a test are given."""
    rows: list[dict[str, list[int]]] = []
    train = sft.LoraSftTrainer.train_or_resume

    def noting(self: Any) -> Any:
        rows.extend(self.train_dataset)
        return train(self)

    monkeypatch.setattr(sft.LoraSftTrainer, "train_or_resume", noting)
    return rows


def test_of_a_snapshot_the_rewrites_of_its_training_part_are_learnt_and_nothing_else(
    base: Path, encoder: Encoder, tmp_path: Path, learnt: list[dict[str, list[int]]]
) -> None:
    turns = [turn_row(0), rewritten(1), turn_row(2), rewritten(8), rewritten(10)]  # 8 validates and 10 reports
    stage = stage_of(tmp_path / "run", base, turns)
    result = sft.run(stage, CONFIG)
    assert (result["dialogues"], result["rewrites"], result["steps"]) == (1, 1, 1)
    said = [encoder.decode([token for token in row["labels"] if token != sft.IGNORED]) for row in learnt]
    assert said == [POLITE, f"{REWRITE}1"]
    assert [list(row["input_ids"]) for row in learnt][1] == [
        *encoder.prompt(Prompt((("孩子发烧怎么办？", PLAIN),), "头痛1天了。")),
        *encoder.response(f"{REWRITE}1"),
    ]
    lineage = Lineage.read(tmp_path / "run" / checkpoints.MODEL)
    assert lineage.inputs.keys() == {"base", "data", "snapshot"}


def test_a_snapshot_without_a_rewrite_to_learn_from_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="start the run without it"):
        sft.run(stage_of(tmp_path / "run", base, [turn_row(0), rewritten(10)]), CONFIG)


def test_a_rewrite_that_is_too_long_loses_the_oldest_exchanges(encoder: Encoder) -> None:
    long = Example(Prompt((("头痛三天了。", PLAIN), ("孩子发烧怎么办？", PLAIN)), "头痛"), REWRITE)
    short = Prompt((("孩子发烧怎么办？", PLAIN),), "头痛")
    room = len(encoder.prompt(short)) + len(encoder.response(REWRITE))
    [row] = sft.rows_of_examples(encoder, [long], room)
    assert row["input_ids"] == [*encoder.prompt(short), *encoder.response(REWRITE)]
    assert row["labels"] == [*[sft.IGNORED] * len(encoder.prompt(short)), *encoder.response(REWRITE)]
