"""The memory planner counts what the models really are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import TaskType
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config
from typer.testing import CliRunner

from rlhf import config as config_module
from rlhf import networks, pretrain
from rlhf.__main__ import app
from rlhf.config import (
    GenerateConfig,
    Optimising,
    PpoConfig,
    PretrainConfig,
    RewardConfig,
    ScoreConfig,
    SftConfig,
)
from rlhf.plan import (
    ADAPTERS,
    CACHE,
    OPTIMISER,
    SAMPLING,
    SCORING,
    Part,
    Plan,
    cache_bytes,
    layer_bytes,
    new_shape,
    other_ways,
    plan,
    weight_bytes,
)
from rlhf.shapes import SIZES, Shape, ShapeError, llama_like, shape_of

LLAMA_13B = llama_like(5120, 13824, 40, 40, 40, 32000)
PPO_13B = PpoConfig(dtype="bfloat16", micro_batch_size=1, generate_batch_size=8, gradient_checkpointing=True)


def parameters_of(config: LlamaConfig | Qwen2Config) -> int:
    """What the library counts of a model that stands nowhere."""
    with torch.device("meta"):
        return sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())


def test_a_folder_has_the_parameters_that_its_model_has(base: Path) -> None:
    model = networks.load_causal(base, "float32")
    assert shape_of(base).parameters == sum(p.numel() for p in model.parameters())


def test_a_lora_has_the_parameters_that_the_planner_says(base: Path) -> None:
    config = SftConfig(lora_rank=3)
    model = networks.with_adapter(networks.load_causal(base, "float32"), networks.lora(config, TaskType.CAUSAL_LM))
    assert 3 * shape_of(base).lora_width == sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize(("tied", "biased"), [(True, True), (False, False)])
def test_a_named_size_is_counted_as_the_library_counts_it(tied: bool, biased: bool) -> None:
    kind = Qwen2Config if biased else LlamaConfig
    config = kind(hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
                  num_key_value_heads=2, vocab_size=111, tie_word_embeddings=tied)  # fmt: skip
    assert llama_like(64, 96, 3, 4, 2, 111, tied=tied, biased=biased).parameters == parameters_of(config)


def test_the_sizes_are_those_of_the_models_that_they_name() -> None:
    """As the model cards say it: 494,032,768 of Qwen2.5-0.5B, 7,615,616,512 of Qwen2.5-7B."""
    assert SIZES["0.5B"].parameters == 494_032_768
    assert SIZES["7B"].parameters == 7_615_616_512
    assert LLAMA_13B.parameters == 13_015_864_320


def test_a_new_model_is_planned_as_it_is_made(tokenizer: object) -> None:
    config = PretrainConfig(hidden_size=16, layers=2, heads=2, vocabulary=len(tokenizer))  # type: ignore[arg-type]
    made = pretrain.new_model(config, tokenizer)
    assert new_shape(config).parameters == sum(p.numel() for p in made.parameters())


def test_thirteen_billion_parameters_on_one_base_take_28_gb_and_four_copies_104() -> None:
    """26 GB of weights; two LoRAs of 62.6 M with 16 bytes and two with 4 a parameter: 2.5 GB. In full: 2 * 208 + 52."""
    found = plan(LLAMA_13B, PPO_13B)
    assert weight_bytes(LLAMA_13B, PPO_13B) / 1e9 == pytest.approx(26.03, abs=0.01)
    assert 16 * LLAMA_13B.lora_width == 62_586_880
    assert found.always / 1e9 == pytest.approx(28.5, abs=0.1)
    copies, in_full = other_ways(LLAMA_13B, PPO_13B).values()
    assert copies / 1e9 == pytest.approx(104, abs=0.2)
    assert in_full / 1e9 == pytest.approx(468, rel=2e-3)


def test_a_cache_of_32_responses_of_1024_tokens_takes_27_gb() -> None:
    """2 * 40 layers * 5,120 * 2 bytes = 819,200 a token."""
    assert cache_bytes(LLAMA_13B, 2) == 819_200
    config = GenerateConfig(dtype="bfloat16", generate_batch_size=32, max_length=1024)
    [cache] = [part for part in plan(LLAMA_13B, config).parts if part.what == CACHE]
    assert cache.bytes / 1e9 == pytest.approx(26.84, abs=0.01)


def test_times_do_not_add_up_and_what_is_always_there_does() -> None:
    found = Plan((Part("a", 10), Part("b", 5, SAMPLING), Part("c", 7, SCORING), Part("d", 1, SCORING)))
    assert (found.always, found.peak) == (10, 18)


@pytest.mark.parametrize(("gigabytes", "verdict"), [(18, "too large"), (19, "tight"), (20, "fits"), (24, "fits")])
def test_a_tenth_of_a_gpu_is_left_for_what_nobody_counts(gigabytes: int, verdict: str) -> None:
    """A little more than 18 GB; 18 of 19 GB, 95 %; 18 of 20 GB, 90 % exactly."""
    assert Plan((Part("a", 18 * 10**9 + (100 if gigabytes == 18 else 0)),)).verdict(gigabytes) == verdict


def test_only_what_adam_needs_is_shared_between_processes() -> None:
    alone, shared = (plan(LLAMA_13B, RewardConfig(parallel=way), gpus=4).parts for way in ("ddp", "zero2"))
    assert {a.what for a, s in zip(alone, shared, strict=True) if a.bytes != s.bytes} == {OPTIMISER}
    [whole], [part] = ([p.bytes for p in parts if p.what == OPTIMISER] for parts in (alone, shared))
    assert part * 4 == whole


def test_a_reward_model_has_no_output_layer() -> None:
    rewarding, whole = weight_bytes(LLAMA_13B, RewardConfig()), weight_bytes(LLAMA_13B, SftConfig())
    assert whole - rewarding == 4 * 5120 * 32000
    assert weight_bytes(SIZES["0.5B"], RewardConfig()) == weight_bytes(SIZES["0.5B"], SftConfig())


def test_one_adapter_is_trained_for_a_reward_and_none_for_scoring() -> None:
    [adapter] = [part.bytes for part in plan(LLAMA_13B, RewardConfig()).parts if part.what == ADAPTERS]
    assert adapter == 4 * 16 * LLAMA_13B.lora_width
    assert not [part for part in plan(LLAMA_13B, ScoreConfig()).parts if part.what in {ADAPTERS, OPTIMISER}]


@contextmanager
def kept_for_backward(model: torch.nn.Module) -> Iterator[dict[int, int]]:
    """Bytes of every storage but the parameters' that autograd keeps, by where it lies."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    found: dict[int, int] = {}
    alive = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield found


def kept_a_layer(config: Optimising, shape: Shape, tokens: int) -> float:
    """Bytes a token that autograd keeps of one layer of a model of a shape: between 3 layers and 5."""
    kept = []
    for layers in (3, 5):
        model = AutoModelForCausalLM.from_config(
            Qwen2Config(vocab_size=50, hidden_size=shape.hidden, intermediate_size=shape.intermediate,
                        num_hidden_layers=layers, num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads,
                        tie_word_embeddings=True)
        ).to(getattr(torch, config.dtype))  # fmt: skip
        if isinstance(config, SftConfig | PpoConfig):
            model = networks.with_adapter(model, networks.lora(config, TaskType.CAUSAL_LM))
        model.train()
        half = torch.autocast("cpu", torch.bfloat16) if config.dtype == "bfloat16" else nullcontext()
        body = getattr(model, "get_base_model", lambda model=model: model)().model
        with kept_for_backward(model) as found, half:
            body(input_ids=torch.zeros(1, tokens, dtype=torch.long), use_cache=False)
        kept.append(sum(found.values()))
    return (kept[1] - kept[0]) / 2 / tokens


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "config",
    [SftConfig(lora_rank=1), SftConfig(lora_rank=1, lora_dropout=0), PretrainConfig()],
    ids=["lora", "no dropout", "all weights"],
)
def test_a_layer_keeps_as_many_bytes_as_the_planner_says(config: Optimising, dtype: str) -> None:
    """Counted at autograd itself; what is left out, below 2 %, is the adapters' inner width and some sums a token."""
    shape = llama_like(128, 416, 1, 4, 4, 50)
    config = config.model_copy(update={"dtype": dtype})
    assert kept_a_layer(config, shape, 64) == pytest.approx(layer_bytes(shape, config, on_gpu=False), rel=0.02)


def test_recomputing_keeps_a_hidden_state_a_layer() -> None:
    """13B, 4,096 tokens: 40 * 4,096 * 5,120 * 2 bytes = 1.7 GB beside the layer that is computed again."""
    kept = {}
    for layers in (20, 40):
        found = plan(replace(LLAMA_13B, layers=layers), PPO_13B)
        [kept[layers]] = [part.bytes for part in found.parts if part.what == "activations"]
    assert 2 * (kept[40] - kept[20]) / 1e9 == pytest.approx(1.68, abs=0.01)


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"has no config\.json"):
        shape_of(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ShapeError, match=r"has no \*\.safetensors"):
        shape_of(tmp_path)


def test_a_server_that_samples_has_a_memory_of_its_own() -> None:
    served = plan(LLAMA_13B, PPO_13B.model_copy(update={"engine": "vllm"}))
    assert served.during(SAMPLING) == 0 < plan(LLAMA_13B, PPO_13B).during(SAMPLING)


def test_all_responses_to_a_prompt_stand_in_its_micro_batch() -> None:
    alone, four = (plan(LLAMA_13B, PPO_13B.model_copy(update={"responses": n})).during(SCORING) for n in (1, 4))
    assert four == 4 * alone


def test_four_bits_hold_the_linear_layers_alone() -> None:
    """13B: 12.69e9 parameters at 4.127 bits, and 0.33e9 of embedding, output and norms at 16."""
    held = PPO_13B.model_copy(update={"four_bit": True})
    assert weight_bytes(LLAMA_13B, held) / 1e9 == pytest.approx(12.688 * 4.127 / 8 + 0.328 * 2, abs=0.01)


def test_the_terminal_says_whether_it_fits() -> None:
    command = ["plan", "ppo", "--base", "13B", "--set", "dtype=bfloat16", "--set", "gradient_checkpointing=true"]
    command += ["--set", "micro_batch_size=1", "--set", "generate_batch_size=8"]
    for gpu, verdict in (("A100 80 GB", "fits"), ("24", "too large")):
        said = CliRunner().invoke(app, [*command, "--gpu", gpu])
        assert said.exit_code == 0, said.output
        assert verdict in said.output
        assert "four copies of the base" in said.output


def test_a_plan_of_ppo_is_for_the_one_process_that_it_runs_in() -> None:
    """Whatever a settings file says of its other stages: the paper's names four GPUs."""
    paper = str(Path(config_module.__file__).parent / "configs" / "paper.toml")
    said = {stage: CliRunner().invoke(app, ["plan", stage, "--config", paper]).output for stage in ("reward", "ppo")}
    assert "on each of 4 GPUs" in said["reward"]
    assert "on each of 1 GPU\n" in said["ppo"]


@pytest.mark.parametrize(
    ("options", "said"), [(["--base", "3B"], "config.json"), ([], "--base"), (["--base", "7B", "--gpu", "x"], "no GPU")]
)
def test_the_terminal_refuses_what_it_does_not_know(options: list[str], said: str) -> None:
    answer = CliRunner().invoke(app, ["plan", "reward", *options])
    assert answer.exit_code == 2
    assert said in answer.output
