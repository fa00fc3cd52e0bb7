"""Only base models that bring weights and nothing else are loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import TaskType

from rlhf import networks
from rlhf.checkpoints import CheckpointError
from rlhf.config import SftConfig
from rlhf.sequences import Encoder


@pytest.fixture
def copy(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "copy"))


def test_a_model_that_wants_to_run_its_own_code_is_refused(copy: Path, tmp_path: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "evil.Model"}}))
    trace = tmp_path / "evil-was-here"
    (copy / "evil.py").write_text(f"open({str(trace)!r}, 'w')")
    with pytest.raises(CheckpointError, match="code of its own"):
        networks.load_causal(copy, "float32")
    assert not trace.exists()


def test_pickled_weights_are_refused(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="safetensors"):
        networks.load_causal(copy, "float32")


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json"):
        networks.load_causal(tmp_path, "float32")


def test_a_base_model_is_no_reward_model(base: Path) -> None:
    with pytest.raises(CheckpointError, match="adapter_model"):
        networks.read_score_head(base)


def test_a_new_head_has_standard_deviation_one_over_the_root_of_its_width(base: Path, encoder: Encoder) -> None:
    weights = [networks.load_scorer(base, "float32", encoder.pad_id).score.weight for _ in range(40)]
    spread = sum(w.var().item() for w in weights) / len(weights)
    assert spread == pytest.approx(1 / 17, rel=0.2)


def test_a_head_computes_in_float32_inside_autocast(base: Path, encoder: Encoder) -> None:
    model = networks.load_scorer(base, "float32", encoder.pad_id)
    ids = torch.arange(5, 13)[:, None].repeat(1, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = model(ids, torch.ones_like(ids), score_positions=torch.full((8,), 2)).logits
    assert scores.dtype == torch.float32
    assert not torch.equal(scores, scores.bfloat16().float())


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    """An adapter without a lineage, as another tool leaves it."""
    config = networks.lora(SftConfig(lora_rank=2), TaskType.CAUSAL_LM)
    networks.with_adapter(networks.load_causal(base, "float32"), config).save_pretrained(str(tmp_path / "adapter"))
    return tmp_path / "adapter"


@pytest.mark.parametrize("change", ["one less", "one more", "another shape"])
def test_an_adapter_whose_weights_do_not_fit_is_refused(base: Path, adapter: Path, change: str) -> None:
    networks.load_policy(base, adapter, "float32")
    file = adapter / networks.ADAPTER_WEIGHTS
    weights = networks.load_tensors(file)
    name = next(iter(weights))
    if change == "one less":
        del weights[name]
    else:
        weights[name if change == "another shape" else f"{name}.more"] = torch.zeros(3, 3)
    networks.save_tensors(weights, file)
    with pytest.raises(CheckpointError, match="does not fit this base"):
        networks.load_policy(base, adapter, "float32")


def test_an_adapter_for_modules_that_the_base_has_not_is_refused(base: Path, adapter: Path) -> None:
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"target_modules": ["query_key_value"]}))
    with pytest.raises(CheckpointError, match="does not fit this base"):
        networks.load_policy(base, adapter, "float32")


def test_a_policy_is_no_reward_model(base: Path, adapter: Path, encoder: Encoder) -> None:
    with pytest.raises(CheckpointError, match="no score head"):
        networks.load_reward_model(base, adapter, "float32", encoder.pad_id)


def test_four_bits_are_refused_where_there_is_no_gpu(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match="takes a GPU"):
        networks.load_causal(base, "float32", four_bit=True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr(networks, "find_spec", lambda _name: None)
    with pytest.raises(CheckpointError, match="takes bitsandbytes"):
        networks.load_scorer(base, "float32", 0, four_bit=True)
