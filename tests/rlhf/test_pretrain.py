"""Pre-training learns from texts that know nothing of each other, of several files by their weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from rlhf import networks, pretrain, sft
from rlhf.attention import Attention
from rlhf.checkpoints import Lineage
from rlhf.config import PretrainConfig, SftConfig
from rlhf.data import DataError
from rlhf.mixture import drawn, hash_data, parts_of, shares
from rlhf.pretrain import IGNORED, Blocks
from rlhf.records import FILE, Records, read_rows
from rlhf.stage import Stage
from tests.rlhf.material import SENTENCES


def write_texts(file: Path, texts: list[str]) -> Path:
    """A corpus of plain texts."""
    file.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts), encoding="utf-8")
    return file


def write_dialogues(file: Path, turns: list[int]) -> Path:
    """Dialogues of so many turns."""
    said = [{"role": "user", "content": "头痛三天了。"}, {"role": "assistant", "content": "多喝水。"}]
    file.write_text("".join(json.dumps({"messages": said * each}, ensure_ascii=False) + "\n" for each in turns))
    return file


def write_mixture(file: Path, parts: dict[str, float]) -> Path:
    """A mixture of files that lie beside it."""
    file.write_text("".join(f'[[part]]\ndata = "{name}"\nweight = {weight}\n' for name, weight in parts.items()))
    return file


def run(folder: Path, data: Path, base: Path | None, **changes: Any) -> dict[str, Any]:
    paths = {"data": data} | ({"base": base} if base else {})
    config = PretrainConfig.of({"epochs": 1, "batch_size": 2, "micro_batch_size": 2, "block_length": 16, **changes})
    return pretrain.run(Stage("pretrain", folder, paths, Records(folder)), config)


def test_a_block_says_where_each_of_its_texts_begins_and_ends() -> None:
    """Texts of 3, 4 and 4 tokens in blocks of 5: the second is cut in two, the last token finds no block."""
    blocks = Blocks.of([[1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]], 5)
    assert len(blocks) == 2
    assert blocks[0] == {
        "input_ids": [1, 2, 3, 4, 5], "position_ids": [0, 1, 2, 0, 1], "ends": [3, 3, 3, 5, 5],
        "labels": [IGNORED, 2, 3, IGNORED, 5],
    }  # fmt: skip
    assert blocks[1] == {
        "input_ids": [6, 7, 8, 9, 10], "position_ids": [0, 1, 0, 1, 2], "ends": [2, 2, 5, 5, 5],
        "labels": [IGNORED, 7, IGNORED, 9, 10],
    }  # fmt: skip


def test_texts_in_a_block_are_learnt_as_if_each_stood_alone(base: Path) -> None:
    model = networks.load_causal(base, "float32").eval()
    texts = [[5, 6, 7, 8], [9, 10, 11], [12, 13, 14, 15, 16]]
    trainer = object.__new__(pretrain.PretrainTrainer)
    trainer.attention = Attention.of(model.config)
    packed = loss_of(trainer, model, Blocks.of(texts, 12)[0])
    alone = [loss_of(trainer, model, Blocks.of([text], len(text))[0]) * (len(text) - 1) for text in texts]
    assert packed == pytest.approx(sum(alone) / 9, rel=1e-6)
    trainer.attention = None
    assert loss_of(trainer, model, Blocks.of(texts, 12)[0]) != pytest.approx(packed, rel=1e-4)


def loss_of(trainer: Any, model: Any, row: dict[str, list[int]]) -> float:
    """The mean loss of a block, as the trainer asks the model for it."""
    given = {name: torch.tensor([values]) for name, values in row.items()}
    ends, positions = given.pop("ends"), given.pop("position_ids")
    return float(model(**given, **trainer.apart(ends, positions)).loss.detach())


@pytest.mark.parametrize(
    ("counts", "weights", "expected"),
    [
        ([10, 30], [None, None], [10, 30]),
        ([10, 30], [1, 1], [20, 20]),
        ([10, 30], [3, 1], [30, 10]),
        ([70, 10, 80], [3.5, 1, 3.5], [70, 20, 70]),
    ],
)
def test_an_epoch_has_as_many_texts_as_there_are_shared_by_weight(
    counts: list[int], weights: list[float | None], expected: list[int]
) -> None:
    assert shares(counts, weights) == expected


def test_a_small_part_is_gone_through_again_and_of_a_large_one_some_is_drawn() -> None:
    """5 of 2: two whole passes and one more; 5 of 8: five different ones. The same seed draws the same."""
    items = list(drawn([2, 8], [1, 1], seed=3))
    first, second = ([number for part, number in items if part == which] for which in (0, 1))
    assert sorted(first[:4]) == [0, 0, 1, 1]
    assert len(first) == 5
    assert len(set(second)) == len(second) == 5
    assert items == list(drawn([2, 8], [1, 1], seed=3)) != list(drawn([2, 8], [1, 1], seed=4))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("part = 3", "no mixture"),
        ('[[part]]\ndata = "a.jsonl"', "no mixture"),
        ('[[part]]\ndata = "a.jsonl"\nweight = 0', "above 0"),
        ('[[part]]\ndata = "gone.jsonl"\nweight = 1', "does not exist"),
    ],
)
def test_a_mixture_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    write_texts(tmp_path / "a.jsonl", ["a"])
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(DataError, match=said):
        parts_of(tmp_path / "m.toml")


def test_the_hash_of_a_mixture_is_that_of_what_stands_in_it(tmp_path: Path) -> None:
    write_texts(tmp_path / "a.jsonl", ["a"])
    mixture = write_mixture(tmp_path / "m.toml", {"a.jsonl": 1})
    before = hash_data(mixture)
    write_texts(tmp_path / "a.jsonl", ["b"])
    assert hash_data(mixture) != before


@pytest.mark.training
def test_pre_training_takes_of_each_file_its_share(base: Path, tmp_path: Path) -> None:
    write_texts(tmp_path / "a.jsonl", SENTENCES[:6])
    write_texts(tmp_path / "b.jsonl", SENTENCES[6:8])
    mixture = write_mixture(tmp_path / "m.toml", {"a.jsonl": 1, "b.jsonl": 3})
    result = run(tmp_path / "run", mixture, base)
    assert result["texts"] == [2, 6]
    assert Lineage.read(tmp_path / "run" / "model").inputs["data"]["sha256"] == hash_data(mixture)
    assert not [row for row in read_rows(tmp_path / "run" / FILE) if row.get("event") == "texts attend to each other"]


@pytest.mark.training
def test_a_lora_leaves_an_ordinary_base_with_itself_merged(base: Path, tmp_path: Path) -> None:
    data = write_texts(tmp_path / "a.jsonl", SENTENCES)
    run(tmp_path / "run", data, base, lora_rank=2, lora_dropout=0.0, learning_rate=0.1)
    before, after = (load_file(folder / "model.safetensors") for folder in (base, tmp_path / "run" / "model"))
    assert before.keys() == after.keys()
    changed = {name for name, weight in before.items() if not torch.equal(weight, after[name])}
    assert changed
    assert all("_proj.weight" in name for name in changed)
    adapter = networks.load_policy(base, tmp_path / "run" / pretrain.ADAPTER, "float32")
    ids = torch.tensor([[5, 6, 7, 8]])
    merged = networks.load_causal(tmp_path / "run" / "model", "float32")(ids).logits
    torch.testing.assert_close(merged, adapter(ids).logits, rtol=1e-4, atol=1e-4)


def test_a_lora_needs_a_base(tmp_path: Path) -> None:
    data = write_texts(tmp_path / "a.jsonl", SENTENCES)
    with pytest.raises(DataError, match="A LoRA needs a base model"):
        run(tmp_path / "run", data, None, lora_rank=2)


@pytest.mark.training
def test_fine_tuning_mixes_single_turns_and_dialogues_seven_to_one(base: Path, tmp_path: Path) -> None:
    """Four single turns and twelve dialogues of two: an epoch of 16 has 14 and 2."""
    write_dialogues(tmp_path / "single.jsonl", [1] * 4)
    write_dialogues(tmp_path / "several.jsonl", [2] * 12)
    mixture = write_mixture(tmp_path / "m.toml", {"single.jsonl": 7, "several.jsonl": 1})
    folder = tmp_path / "run"
    config = SftConfig(epochs=1, batch_size=16, micro_batch_size=8, lora_rank=2, max_length=128)
    result = sft.run(Stage("sft", folder, {"data": mixture, "base": base}, Records(folder)), config)
    assert (result["dialogues"], result["of_several_turns"]) == (16, 2)
