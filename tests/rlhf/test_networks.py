"""Only base models that bring weights and nothing else are loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rlhf import networks
from rlhf.checkpoints import CheckpointError
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
