"""A tiny base model made in code, and a snapshot to learn from."""

from __future__ import annotations

import os

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}

import warnings
from pathlib import Path
from typing import Any

import pytest

from annotation import snapshot
from tests.rlhf.material import SENTENCES, turn_row

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # libraries that warn about themselves when they are imported
    import torch
    from torch import nn

    from rlhf import networks, pretrain
    from rlhf.config import PretrainConfig
    from rlhf.sequences import Encoder


def trainable_names(model: nn.Module) -> list[str]:
    """What training would change."""
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Fixed threads: the same sums in the same order."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """A byte-level tokenizer with a chat template of its own."""
    return pretrain.new_tokenizer(SENTENCES, 320)


@pytest.fixture(scope="session")
def encoder(tokenizer: Any) -> Encoder:
    """The canonical sequences of that tokenizer."""
    return Encoder.of(tokenizer)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """A base model of two layers with random weights, saved as any other."""
    torch.manual_seed(0)
    config = PretrainConfig(hidden_size=16, layers=2, heads=2, max_length=256)
    folder = tmp_path_factory.mktemp("base")
    model = pretrain.new_model(config, tokenizer)
    model.get_input_embeddings().weight.data.mul_(20)  # tied to the head: so that an adapter can move the logits
    pretrain.save_base(model, tokenizer, folder)
    return folder


@pytest.fixture(scope="session")
def snapshot_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot of twelve dialogues: in each the polite answer stands above the rude ones."""
    rows = [(snapshot.TURNS, turn_row(number)) for number in range(12)]
    folder = tmp_path_factory.mktemp("snapshots") / "1-1"
    snapshot.write(folder, {"campaign": "t", "k": 4, "guideline_version": 1}, rows)
    return folder


@pytest.fixture(scope="session")
def other_base(tmp_path_factory: pytest.TempPathFactory, base: Path, tokenizer: Any) -> Path:
    """A base model of the same shape with other weights: every adapter fits it, and none belongs to it."""
    folder = tmp_path_factory.mktemp("other-base")
    model = networks.load_causal(base, "float32")
    model.get_input_embeddings().weight.data.mul_(1.5)
    pretrain.save_base(model, tokenizer, folder)
    return folder
