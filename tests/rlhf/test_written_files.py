"""The files that are written for other programs are loaded by those programs."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from annotation.formats.writing import formats
from tests.rlhf.material import PLAIN, POLITE

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # libraries that warn about themselves when they are imported
    import datasets
    import torch
    from transformers import AutoModelForSequenceClassification
    from trl import RewardConfig, RewardTrainer


def test_load_from_disk_takes_the_datasets_folder(snapshot_folder: Path, tmp_path: Path) -> None:
    formats.write_to(snapshot_folder, "datasets", tmp_path / "out")
    loaded = datasets.load_from_disk(str(tmp_path / "out"))
    assert {split: len(part) for split, part in loaded.items()} == {"train": 40, "validation": 10, "report": 10}
    first = loaded["train"][0]
    assert first["prompt"] == [{"role": "user", "content": "头痛0天了。"}]
    assert (first["chosen"][0]["content"], first["rejected"][0]["content"], first["ability"]) == (POLITE, PLAIN, 1)
    assert "| pairs | 60 |" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


@pytest.mark.training
@pytest.mark.parametrize("name", ["trl", "trl-margin"])
def test_trls_reward_trainer_takes_the_pairwise_file_as_it_is(
    snapshot_folder: Path, tmp_path: Path, base: Path, tokenizer: Any, name: str
) -> None:
    formats.write_to(snapshot_folder, name, tmp_path / "out")
    data = datasets.load_dataset(
        "json", data_files=str(tmp_path / "out" / "train.jsonl"), cache_dir=str(tmp_path / "cache"), split="train"
    )
    model = AutoModelForSequenceClassification.from_pretrained(str(base), num_labels=1)
    before = model.score.weight.detach().clone()
    trainer = RewardTrainer(
        model=model,
        args=RewardConfig(
            str(tmp_path / "run"), max_steps=1, use_cpu=True, report_to="none", bf16=False, save_strategy="no"
        ),
        train_dataset=data,
        processing_class=tokenizer,
    )
    assert len(trainer.train_dataset) == 40
    trainer.train()
    assert not torch.equal(before, trainer.model.score.weight)
