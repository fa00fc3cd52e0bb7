"""Settings refuse nonsense with a sentence that says the mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlhf.config import CONFIGS, ConfigError, GenerateConfig, PpoConfig, RewardConfig, SftConfig

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


def test_every_setting_says_what_it_is() -> None:
    for config in CONFIGS.values():
        for name, field in config.model_fields.items():
            assert field.description, f"{config.__name__}.{name}"


def test_a_batch_is_cut_into_whole_micro_batches() -> None:
    with pytest.raises(ConfigError, match="batch_size must be a multiple of micro_batch_size"):
        SftConfig.of({"batch_size": 6, "micro_batch_size": 4})
