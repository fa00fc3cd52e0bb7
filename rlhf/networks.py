"""Loading base models and putting adapters and heads on them. Only safetensors, never code that came with a model."""

from __future__ import annotations

import json
import math
import os
import types
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model, set_peft_model_state_dict
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, BitsAndBytesConfig
from transformers.modeling_outputs import SequenceClassifierOutput

from rlhf.checkpoints import CheckpointError
from rlhf.config import Adapting, Dtype, PretrainConfig, RewardConfig
from rlhf.records import N_

ADAPTER_WEIGHTS = "adapter_model.safetensors"
SCALE = "score_scale.json"
SCORE_WEIGHT = "base_model.model.score.weight"


def best_device() -> torch.device:
    """Where to compute outside a trainer: on the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def require_base(folder: Path) -> None:
    """Raises CheckpointError where a folder is not a base model that may be loaded."""
    config = folder / "config.json"
    if not config.exists():
        raise CheckpointError(f"{folder} has no config.json: name the folder of a model saved by transformers.")
    if "auto_map" in json.loads(config.read_text(encoding="utf-8")):
        raise CheckpointError(f"{folder} wants to run code of its own (auto_map): such models are not loaded here.")
    if not any(folder.glob("*.safetensors")):
        raise CheckpointError(f"{folder} has no *.safetensors: save its weights with safe_serialization first.")


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a base model or of a checkpoint."""
    return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)


def load_causal(folder: Path, dtype: Dtype, *, four_bit: bool = False) -> Any:
    """A base model that generates; in 4 bits on the GPU if that is asked for."""
    require_base(folder)
    return AutoModelForCausalLM.from_pretrained(
        str(folder),
        dtype=getattr(torch, dtype),
        use_safetensors=True,
        trust_remote_code=False,
        **_held_in(dtype, four_bit=four_bit),
    )


def _held_in(dtype: Dtype, *, four_bit: bool) -> dict[str, Any]:
    """What has the library hold the linear layers in 4 bits, their scales quantised as well.

    Raises CheckpointError where that cannot be. Source: Dettmers et al. 2023 (QLoRA), sections 2 and 3.
    """
    if not four_bit:
        return {}
    if not torch.cuda.is_available():
        raise CheckpointError(N_("four_bit takes a GPU, and this machine has none: turn it off."))
    if find_spec("bitsandbytes") is None:
        raise CheckpointError(N_("four_bit takes bitsandbytes: install the extra four-bit, or turn it off."))
    held = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, dtype),
    )
    return {"quantization_config": held, "device_map": {"": torch.cuda.current_device()}}


def load_scorer(
    folder: Path, dtype: Dtype, pad_id: int, attention: str | None = None, *, four_bit: bool = False
) -> Any:
    """A base model with a new linear head that scores: its weights have standard deviation 1 / sqrt(d + 1).

    ``attention`` is the library's name of an implementation, by default the one that it finds best.
    Source of the initialisation: Huang et al. 2024 (N implementation details of RLHF with PPO).
    """
    require_base(folder)
    model = AutoModelForSequenceClassification.from_pretrained(
        str(folder),
        num_labels=1,
        dtype=getattr(torch, dtype),
        attn_implementation=attention,
        use_safetensors=True,
        trust_remote_code=False,
        **_held_in(dtype, four_bit=four_bit),
    )
    model.config.pad_token_id = pad_id
    model.score = nn.Linear(model.config.get_text_config().hidden_size, 1, bias=False).to(model.device)  # float32
    nn.init.normal_(model.score.weight, std=1 / math.sqrt(model.score.in_features + 1))
    read_scores_where_told(model)
    return model


def attention_for(config: RewardConfig) -> str | None:
    """The implementation of attention that a config asks for; None leaves it to the library.

    FlexAttention skips blocks that attend to nothing. It computes gradients on GPUs alone, on which it was not tried
    here: it is taken only where it is asked for.
    """
    return None if config.attention == "auto" else config.attention


def read_scores_where_told(model: Any) -> None:
    """Gives a sequence classifier a forward that reads a score at each of ``score_positions`` (S,) among B * T tokens.

    The library's own looks for the last token that is not padding, which is wrong where padding occurs in a text.
    """

    def forward(
        self: Any,
        input_ids: Tensor,
        attention_mask: Any = None,
        position_ids: Tensor | None = None,
        score_positions: Tensor | None = None,
        **_ignored: Any,
    ) -> SequenceClassifierOutput:
        body = getattr(self, self.base_model_prefix)
        hidden = body(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, use_cache=False
        ).last_hidden_state
        return SequenceClassifierOutput(logits=in_float32(self.score, hidden.flatten(0, 1)[score_positions]))

    model.forward = types.MethodType(forward, model)


def recompute_activations(model: Any) -> None:
    """Keeps only what goes into each layer for the backward pass, which computes the rest again."""
    enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
    enable({"use_reentrant": False})


def in_float32(head: nn.Linear, hidden: Tensor) -> Tensor:
    """What a float32 head says of hidden states (N, d), as (N, 1) in float32.

    Autocast would round head and states to half precision, whatever they stand in.
    """
    with torch.autocast(hidden.device.type, enabled=False):
        if head.weight.dtype is torch.float32:
            return head(hidden.float())
        bias = head.bias.float() if head.bias is not None else None  # DeepSpeed keeps the float32 ones to itself
        return nn.functional.linear(hidden.float(), head.weight.float(), bias)


def lora(config: Adapting | PretrainConfig, task: TaskType, **more: Any) -> LoraConfig:
    """The LoRA that a config asks for, on every linear layer but the head."""
    return LoraConfig(
        task_type=task,
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules="all-linear",
        **more,
    )


def with_adapter(model: Any, config: LoraConfig) -> PeftModel:
    """The model with a new adapter; whatever is trained stands in float32."""
    adapted = get_peft_model(model, config)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return adapted


def attach(model: Any, name: str, config: LoraConfig, weights: dict[str, Tensor], folder: Path) -> PeftModel:
    """The model with the saved adapter of ``folder`` on it, under a name; an adapted model takes one more.

    Raises CheckpointError where the adapter was made for another architecture.
    """
    config.base_model_name_or_path = None  # the model in memory counts, not the path that it once had
    try:
        if isinstance(model, PeftModel):
            model.add_adapter(name, config)
        else:
            model = get_peft_model(model, config, adapter_name=name)
    except ValueError as error:  # no module has the names that the adapter is for
        raise CheckpointError(_misfit(folder)) from error
    fill(model, name, weights, folder)
    return model


def fill(model: PeftModel, name: str, weights: dict[str, Tensor], folder: Path) -> None:
    """Loads the saved weights of ``folder`` into an adapter.

    Raises CheckpointError where a name or a shape is missing, or is not the adapter's: the library would say nothing.
    """
    own = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    if {key: weight.shape for key, weight in own.items()} != {key: weight.shape for key, weight in weights.items()}:
        raise CheckpointError(_misfit(folder))
    set_peft_model_state_dict(model, weights, adapter_name=name)


def read_adapter(folder: Path) -> tuple[LoraConfig, dict[str, Tensor]]:
    """The configuration and the weights of a saved adapter; raises CheckpointError where there is none."""
    if not (folder / ADAPTER_WEIGHTS).exists():
        raise CheckpointError(f"{folder} has no {ADAPTER_WEIGHTS}: name the model folder of a finished run.")
    config = LoraConfig.from_pretrained(str(folder))
    return config, load_file(str(folder / ADAPTER_WEIGHTS))


def read_score_head(folder: Path) -> Tensor:
    """The weight (1, d) of a reward model's head; raises CheckpointError where the adapter has none."""
    _, weights = read_adapter(folder)
    if SCORE_WEIGHT not in weights:
        raise CheckpointError(f"{folder} is not a reward model: its adapter has no score head.")
    return weights[SCORE_WEIGHT].float()


def write_scale(folder: Path, mean: float, deviation: float) -> None:
    """Keeps with a reward model how its scores lie, so that PPO can normalise them."""
    (folder / SCALE).write_text(json.dumps({"mean": mean, "deviation": deviation}) + "\n", encoding="utf-8")


def has_scale(folder: Path) -> bool:
    """Whether it is known how the scores of a reward model lie; one that was made elsewhere does not say."""
    return (folder / SCALE).exists()


def read_scale(folder: Path) -> tuple[float, float]:
    """Mean and standard deviation of a reward model's scores on what it was trained on."""
    if not (folder / SCALE).exists():
        raise CheckpointError(f"{folder} has no {SCALE}: it is not the model folder of a finished reward run.")
    scale = json.loads((folder / SCALE).read_text(encoding="utf-8"))
    return float(scale["mean"]), max(float(scale["deviation"]), 1e-6)


def load_policy(base: Path, adapter: Path | None, dtype: Dtype, *, four_bit: bool = False) -> Any:
    """A base model that generates, with a saved adapter on it if one is given."""
    model = load_causal(base, dtype, four_bit=four_bit)
    return model if adapter is None else _with_saved(model, adapter)


def load_reward_model(base: Path, adapter: Path, dtype: Dtype, pad_id: int, *, four_bit: bool = False) -> Any:
    """A finished reward model, ready to score: ``forward(..., score_positions)`` gives logits (S, 1)."""
    read_score_head(adapter)  # refuses an adapter without a head
    return _with_saved(load_scorer(base, dtype, pad_id, four_bit=four_bit), adapter)


def save_tensors(tensors: dict[str, Tensor], file: Path) -> None:
    """Saves tensors as safetensors."""
    save_file({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}, str(file))


def load_tensors(file: Path) -> dict[str, Tensor]:
    """Loads what ``save_tensors`` saved."""
    return dict(load_file(str(file)))


def _with_saved(model: Any, adapter: Path) -> PeftModel:
    config, weights = read_adapter(adapter)
    config.inference_mode = True
    return attach(model, "default", config, weights, adapter).eval()


def _misfit(folder: Path) -> str:
    return f"The adapter {folder} does not fit this base model: name the base that it was trained on."
