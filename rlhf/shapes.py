"""How large a model is, read from its folder or known by a size: without torch, so that the web may ask."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from rlhf.records import N_

OUTPUTS = ("lm_head", "embed_out")
EMBEDDINGS = ("embed", "wte", "wpe")
BUFFERS = ("inv_freq", "masked_bias", ".attn.bias", ".attention.bias")


class ShapeError(ValueError):
    """A folder that does not say how large its model is; ``sentence`` says what is missing, with {places} for parts."""

    def __init__(self, sentence: str, **parts: object) -> None:
        """The sentence is a template, so that it can be said in another language."""
        super().__init__(sentence.format(**parts))
        self.sentence, self.parts = sentence, parts


@dataclass(frozen=True)
class Shape:
    """What the memory of a model depends on.

    ``parameters`` counts all; of them ``output`` stand in an output layer of its own (0 where it is the embedding) and
    ``linear`` in the linear layers that a LoRA goes on, whose inputs and outputs add up to ``lora_width``: a LoRA of
    rank r has r * lora_width parameters (Hu et al. 2021, section 4.1).
    """

    parameters: int
    output: int
    linear: int
    lora_width: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int

    @property
    def attention(self) -> int:
        """Width of the queries."""
        return self.heads * self.head_dim

    @property
    def keys(self) -> int:
        """Width of the keys, and of the values."""
        return self.kv_heads * self.head_dim


def llama_like(
    hidden: int,
    intermediate: int,
    layers: int,
    heads: int,
    kv_heads: int,
    vocabulary: int,
    *,
    tied: bool = False,
    biased: bool = False,
) -> Shape:
    """The shape of a model built like Llama, or with ``biased`` queries, keys and values like Qwen2."""
    head_dim = hidden // heads
    keys = kv_heads * head_dim
    sides = [(hidden, hidden), (hidden, keys), (hidden, keys), (hidden, hidden)]
    sides += [(hidden, intermediate), (hidden, intermediate), (intermediate, hidden)]
    linear = layers * sum(map(prod, sides))
    rest = layers * (2 * hidden + (hidden + 2 * keys if biased else 0)) + hidden
    output = 0 if tied else vocabulary * hidden
    return Shape(
        parameters=vocabulary * hidden + output + linear + rest,
        output=output,
        linear=linear,
        lora_width=layers * sum(map(sum, sides)),
        hidden=hidden,
        intermediate=intermediate,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocabulary=vocabulary,
    )


SIZES = {
    "0.5B": llama_like(896, 4864, 24, 14, 2, 151936, tied=True, biased=True),
    "1.5B": llama_like(1536, 8960, 28, 12, 2, 151936, tied=True, biased=True),
    "7B": llama_like(3584, 18944, 28, 28, 4, 152064, biased=True),
    "13B": llama_like(5120, 13824, 40, 40, 40, 39424),
}
"""Well-known sizes, to plan before a model is at hand: Qwen2.5's, and Ziya-LLaMA-13B, on which the paper builds."""


def shape_of(folder: Path) -> Shape:
    """The shape of the model in a folder; raises ShapeError where the folder does not say it.

    Parameters are counted from the headers of the safetensors, so exactly. Where experts share a layer, activations
    are those of the dense width that config.json names.
    """
    file = folder / "config.json"
    if not file.exists():
        raise ShapeError(N_("{folder} has no config.json on this machine."), folder=folder)
    config = json.loads(file.read_text(encoding="utf-8"))
    config = config.get("text_config") or config
    tensors = _tensors_in(folder)
    linear = [sides for name, sides in tensors.items() if len(sides) == 2 and not _named(name, EMBEDDINGS + OUTPUTS)]
    hidden, heads = _number(config, "hidden_size", "n_embd"), _number(config, "num_attention_heads", "n_head")
    return Shape(
        parameters=sum(map(prod, tensors.values())),
        output=sum(prod(sides) for name, sides in tensors.items() if _named(name, OUTPUTS)),
        linear=sum(map(prod, linear)),
        lora_width=sum(map(sum, linear)),
        hidden=hidden,
        intermediate=_number(config, "intermediate_size", "n_inner", default=4 * hidden),
        layers=_number(config, "num_hidden_layers", "n_layer"),
        heads=heads,
        kv_heads=_number(config, "num_key_value_heads", default=heads),
        head_dim=_number(config, "head_dim", default=hidden // heads),
        vocabulary=_number(config, "vocab_size"),
    )


def _tensors_in(folder: Path) -> dict[str, list[int]]:
    """The sides of every tensor of a folder's safetensors but the buffers, from their headers alone."""
    found: dict[str, list[int]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length))
        found |= {name: each["shape"] for name, each in header.items() if name != "__metadata__"}
    kept = {name: sides for name, sides in found.items() if not name.endswith(BUFFERS)}
    if not kept:
        raise ShapeError(N_("{folder} has no *.safetensors on this machine."), folder=folder)
    return kept


def _named(name: str, parts: tuple[str, ...]) -> bool:
    return any(part in name for part in parts)


def _number(config: dict[str, Any], *names: str, default: int | None = None) -> int:
    found = next((config[name] for name in names if config.get(name) is not None), default)
    if found is None:
        raise ShapeError(N_("The model's config.json does not say its {name}."), name=names[0])
    return int(found)
