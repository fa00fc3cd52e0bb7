"""Settings refuse nonsense with a sentence that says the mend."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from rlhf.config import CONFIGS, ConfigError, GenerateConfig, PpoConfig, PretrainConfig, RewardConfig, SftConfig
from rlhf.plan import new_shape, plan
from rlhf.planned import Meant, memory_named
from rlhf.shapes import SIZES

FILES = sorted((Path(__file__).parents[2] / "rlhf" / "configs").glob("*.toml"))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"learning_rate": 0}, "learning_rate: input should be greater than 0"),
        ({"epoch": 3}, "epoch: there is no such setting"),
        ({"micro_batch_size": 4}, "micro_batch_size: there is no such setting"),
        ({"dtype": "int8"}, "dtype: input should be 'float32', 'bfloat16' or 'float16'"),
        ({"lora_rank": "many"}, "lora_rank: input should be a valid integer"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_right(values: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        RewardConfig.of(values)
    assert said in str(refused.value)


def test_all_wrong_settings_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        RewardConfig.of({"learning_rate": -1, "epochs": 0, "seeds": 1})
    assert all(name in str(refused.value) for name in ("learning_rate", "epochs", "seeds"))


def test_a_rollout_is_a_whole_number_of_steps() -> None:
    with pytest.raises(ConfigError, match="rollout_size must be a multiple of batch_size"):
        PpoConfig.of({"rollout_size": 30, "batch_size": 16})


def test_changes_go_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("[reward]\nepochs = 2.0\nseed = 5\n[ppo]\nepochs = 9.0\n")
    read = RewardConfig.read(file, {"epochs": 4})
    assert (read.epochs, read.seed) == (4.0, 5)
    assert GenerateConfig.read(file).k == 4


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_shipped_config_is_valid(file: Path) -> None:
    for config in CONFIGS.values():
        config.read(file)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_shipped_config_fits_what_it_is_for(file: Path) -> None:
    """At the size and on the GPU that its section ``for`` names: more tokens a pass than that may not be shipped."""
    meant, stages = Meant.by(file), tomllib.loads(file.read_text(encoding="utf-8")).keys() - {"for"}
    assert meant.gpu
    assert stages <= CONFIGS.keys()
    made = PretrainConfig.read(file)
    for stage in stages:
        shape = SIZES[meant.size] if meant.size else new_shape(made)
        found = plan(shape, CONFIGS[stage].read(file), gpus=meant.gpus)
        assert found.verdict(memory_named(meant.gpu)) == "fits", (stage, found.peak / 1e9)


def test_a_config_that_packs_too_much_is_found_out() -> None:
    [file] = [file for file in FILES if file.stem == "paper"]
    crowded = RewardConfig.read(file, {"pack_tokens": 65536})
    assert plan(SIZES["13B"], crowded, gpus=4).verdict(80) != "fits"


def test_the_papers_settings_are_the_papers() -> None:
    [file] = [file for file in FILES if file.stem == "paper"]
    for config in (SftConfig, RewardConfig, PpoConfig):
        read = config.read(file)
        assert (read.dtype, read.max_length, read.lora_dropout) == ("float16", 4096, 0.1)
    deepspeed = json.loads(file.with_name("zero2.json").read_text(encoding="utf-8"))
    assert deepspeed["zero_optimization"]["stage"] == 2
    assert "optimizer" not in deepspeed  # the trainers make their own


def test_pre_training_refuses_what_holds_weights_that_it_would_change() -> None:
    with pytest.raises(ConfigError, match="four_bit"):
        PretrainConfig.of({"four_bit": True})


def test_every_setting_says_what_it_is() -> None:
    for config in CONFIGS.values():
        for name, field in config.model_fields.items():
            assert field.description, f"{config.__name__}.{name}"


def test_a_batch_is_cut_into_whole_micro_batches() -> None:
    with pytest.raises(ConfigError, match="batch_size must be a multiple of micro_batch_size"):
        SftConfig.of({"batch_size": 6, "micro_batch_size": 4})


def test_ppo_does_not_divide_its_optimiser() -> None:
    with pytest.raises(ConfigError, match="PPO runs in one process"):
        PpoConfig.of({"parallel": "zero2"})
