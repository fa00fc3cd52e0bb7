"""How much memory a stage takes, part by part, and whether it fits a GPU: asked before the start, without torch.

Weights, optimiser and cache are arithmetic. Activations count what autograd keeps of a Llama-like layer as transformers
and peft compute it; Korthikanti et al. 2022 (Reducing Activation Recomputation) count the same way for GPT. How far the
figures lie from what was measured stands in docs/planning.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rlhf.config import (
    Adapting,
    EvaluateConfig,
    GenerateConfig,
    Optimising,
    PpoConfig,
    PretrainConfig,
    RewardConfig,
    ScoreConfig,
    Settings,
    SftConfig,
)
from rlhf.records import N_
from rlhf.shapes import Shape, llama_like

GPUS = {
    "RTX 4090": 24,
    "RTX 5090": 32,
    "A100 40 GB": 40,
    "L40S": 48,
    "A100 80 GB": 80,
    "H100": 80,
    "H20": 96,
    "H200": 141,
}
"""Memory in 10^9 bytes, as the names say it. The cards have 5 to 7 % more, which the driver's context takes."""

COMFORTABLE = 0.9
"""Share of a GPU that a plan may take and be said to fit: the rest is for fragmentation and what the plan misses."""

GIGABYTE = 10**9
FULL, HALF = 4, 2
FOUR_BITS = (4 + 0.127) / 8
ADAM = 2
CHUNK = 2**25
"""Logits that stand in memory at once (``vocabulary.CHUNK_ELEMENTS``)."""

RESPONSES = 4
"""Of a turn, which go through together where they stand in rows: a pack may exceed its budget by as much."""

TILE = (4096, 32768)
"""Tokens and words of the vocabulary for which TRL's fine-tuning computes logits at once."""

ALWAYS, SAMPLING, SCORING, UPDATING = (
    N_("always"),
    N_("while it samples"),
    N_("while it scores"),
    N_("while it updates"),
)
BASE, ADAPTERS, OPTIMISER = N_("base weights"), N_("adapters"), N_("gradients and optimiser")
ACTIVATIONS, WORKING, MASK = N_("activations"), N_("working space of a layer"), N_("attention mask")
LOG_PROBS, CACHE = N_("logits and log-probabilities"), N_("KV cache of the responses")

Verdict = Literal["fits", "tight", "too large"]


@dataclass(frozen=True)
class Part:
    """Some bytes of one process, and when they are taken."""

    what: str
    bytes: int
    when: str = ALWAYS


@dataclass(frozen=True)
class Plan:
    """The parts of a stage. What is taken at different times does not add up: the largest time counts."""

    parts: tuple[Part, ...]

    @property
    def always(self) -> int:
        """Bytes that are taken all the time."""
        return self.during(ALWAYS)

    @property
    def peak(self) -> int:
        """Most bytes at one time."""
        times = {part.when for part in self.parts} - {ALWAYS}
        return self.always + max((self.during(when) for when in times), default=0)

    def during(self, when: str) -> int:
        """Bytes that one time takes by itself."""
        return sum(part.bytes for part in self.parts if part.when == when)

    def verdict(self, gigabytes: float) -> Verdict:
        """Whether it fits a GPU of that much memory: tight where less than a tenth is left for what nobody counts."""
        share = self.peak / (gigabytes * GIGABYTE)
        return "fits" if share <= COMFORTABLE else "tight" if share <= 1 else "too large"


def plan(shape: Shape, settings: Settings, *, gpus: int = 1, on_gpu: bool = True) -> Plan:
    """What one process of a stage takes, at the settings' full lengths and batches.

    Settings with ZeRO-2 share gradients and optimiser over ``gpus`` processes; without it each has all of them.
    """
    shared_by = gpus if isinstance(settings, Optimising) and settings.parallel == "zero2" else 1
    return Plan(tuple(part for part in _parts(shape, settings, shared_by, on_gpu=on_gpu) if part.bytes))


def _parts(shape: Shape, settings: Settings, shared_by: int, *, on_gpu: bool) -> Iterator[Part]:
    """Every part, those that are nothing among them."""
    element = element_bytes(settings)
    yield Part(BASE, weight_bytes(shape, settings))
    match settings:
        case PretrainConfig():
            if settings.lora_rank:
                yield from _adapters(shape, settings, 1, 0, shared_by)
            else:
                yield Part(OPTIMISER, shape.parameters * element * (1 + ADAM) // shared_by)
            tokens = settings.micro_batch_size * settings.block_length
            yield from _updating(shape, settings, tokens, tokens * settings.block_length, on_gpu=on_gpu)
            yield Part(LOG_PROBS, tokens * shape.vocabulary * (element + 3 * FULL), UPDATING)
        case SftConfig():
            yield from _adapters(shape, settings, 1, 0, shared_by)
            tokens = settings.micro_batch_size * settings.max_length
            yield from _updating(shape, settings, tokens, 0, on_gpu=on_gpu)
            tile = min(tokens, TILE[0]) * min(shape.vocabulary, TILE[1])
            yield Part(LOG_PROBS, tile * (element if on_gpu else element + 3 * FULL), UPDATING)
        case RewardConfig():
            yield from _adapters(shape, settings, 1, 0, shared_by)
            tokens = max(settings.pack_tokens, RESPONSES * settings.max_length)
            yield from _updating(shape, settings, tokens, tokens**2, on_gpu=on_gpu)
        case PpoConfig():
            yield from _adapters(shape, settings, 2, 2, shared_by)
            if settings.engine != "vllm":  # which has a memory of its own
                yield from _sampling(shape, settings.generate_batch_size, settings.max_length, element)
            tokens = settings.micro_batch_size * settings.responses * settings.max_length
            yield Part(WORKING, working_bytes(shape, element, tokens), SCORING)
            yield from _updating(shape, settings, tokens, 0, on_gpu=on_gpu)
            yield Part(LOG_PROBS, log_prob_bytes(shape, settings, element), UPDATING)
        case GenerateConfig():
            yield from _sampling(shape, settings.generate_batch_size, settings.max_length, element)
        case EvaluateConfig() | ScoreConfig():
            tokens = max(settings.pack_tokens, RESPONSES * settings.max_length)
            yield Part(WORKING, working_bytes(shape, element, tokens), SCORING)
            yield Part(MASK, tokens**2 * (1 + element), SCORING)
            if isinstance(settings, EvaluateConfig):
                yield from _sampling(shape, settings.generate_batch_size, settings.max_length, element)


def _adapters(
    shape: Shape, settings: Adapting | PretrainConfig, trained: int, frozen: int, shared_by: int
) -> Iterator[Part]:
    """LoRAs in float32, and what Adam needs for those that are trained (Kingma and Ba 2015: two moments each)."""
    parameters = settings.lora_rank * shape.lora_width
    yield Part(ADAPTERS, (trained + frozen) * parameters * FULL)
    yield Part(OPTIMISER, trained * parameters * FULL * (1 + ADAM) // shared_by)


def _updating(shape: Shape, settings: Optimising, tokens: int, masked: int, *, on_gpu: bool) -> Iterator[Part]:
    """What a forward pass over so many tokens keeps, and what its backward pass needs; a mask has ``masked`` places."""
    element = element_bytes(settings)
    layer = tokens * layer_bytes(shape, settings, on_gpu=on_gpu) + masked * element
    inputs = shape.layers * tokens * shape.hidden * element
    kept = inputs + layer if settings.gradient_checkpointing else shape.layers * layer
    yield Part(ACTIVATIONS, kept, UPDATING)
    yield Part(WORKING, working_bytes(shape, element, tokens), UPDATING)
    yield Part(MASK, masked, UPDATING)


def _sampling(shape: Shape, batch: int, length: int, element: int) -> Iterator[Part]:
    """The cache of full-length responses, and the pass over their prompts."""
    yield Part(CACHE, batch * length * cache_bytes(shape, element), SAMPLING)
    yield Part(WORKING, working_bytes(shape, element, batch * length), SAMPLING)


def new_shape(settings: PretrainConfig) -> Shape:
    """The shape of the model that pre-training makes where it is given none (``pretrain.new_model``)."""
    width, heads = settings.hidden_size, settings.heads
    return llama_like(width, 3 * width, settings.layers, heads, heads, settings.vocabulary, tied=True, biased=True)


def element_bytes(settings: Settings) -> int:
    """Bytes of a number in which the base computes."""
    return FULL if settings.dtype == "float32" else HALF


def weight_bytes(shape: Shape, settings: Settings) -> int:
    """Bytes of one copy of the base; a reward model has no output layer.

    In 4 bits only the linear layers are held so, with 0.127 bits a parameter of scales (Dettmers et al. 2023, part 3).
    """
    scores_only = isinstance(settings, RewardConfig | ScoreConfig)
    parameters = shape.parameters - (shape.output if scores_only else 0)
    if not settings.four_bit:
        return parameters * element_bytes(settings)
    return (parameters - shape.linear) * element_bytes(settings) + round(shape.linear * FOUR_BITS)


def cache_bytes(shape: Shape, element: int) -> int:
    """Bytes of the KV cache a token: a key and a value in each layer."""
    return 2 * shape.layers * shape.keys * element


def layer_bytes(shape: Shape, settings: Optimising, *, on_gpu: bool) -> int:
    """Bytes a token that autograd keeps of one layer, of h, a and f wide hidden state, queries and gate, e bytes each.

    Both norms keep their input in float32, 8h; attention q, k, v and its result, 4ae (k and v as wide as q, as under a
    mask); the gate its input, its value and its partner, 3fe. With all weights trained the norms keep their normalised
    states and the linear layers their inputs, (4h + f)e. With a LoRA on all seven linear layers each keeps the input of
    its adapter, (5h + a + f)e in all, and the mask of its dropout, a byte on a GPU and four on a CPU; in float32
    without dropout those inputs are the very tensors before them, and 2h + f are left.
    """
    element = element_bytes(settings)
    h, a, f = shape.hidden, shape.attention, shape.intermediate
    kept = 8 * h + 4 * a * element + 3 * f * element
    if not isinstance(settings, Adapting | PretrainConfig) or not settings.lora_rank:
        return kept + (4 * h + f) * element
    dropout = settings.lora_dropout > 0 and not isinstance(settings, PpoConfig)
    if not dropout and element == FULL:
        return kept + (2 * h + f) * element
    return kept + (5 * h + a + f) * (element + ((1 if on_gpu else FULL) if dropout else 0))


def working_bytes(shape: Shape, element: int, tokens: int) -> int:
    """What computing one layer needs for a moment: the gate's tensors, a hidden state in float32 and its like."""
    return tokens * (3 * shape.intermediate * element + 2 * shape.hidden * FULL)


def log_prob_bytes(shape: Shape, settings: PpoConfig, element: int) -> int:
    """Logits of a chunk of response tokens, as they are made, in float32 and their derivative."""
    tokens = settings.micro_batch_size * settings.responses * settings.max_new_tokens
    return min(tokens * shape.vocabulary, CHUNK) * (element + 3 * FULL)


def other_ways(shape: Shape, settings: PpoConfig) -> dict[str, int]:
    """Bytes that do not change, of PPO's four models done otherwise: four copies, and two of them trained in full.

    Training in full takes 16 bytes a parameter: half-precision weights and gradients, float32 weights and both moments
    (Rajbhandari et al. 2020, section 3.1).
    """
    copy = weight_bytes(shape, settings)
    return {
        N_("four copies of the base"): 4 * copy,
        N_("policy and critic trained in full"): 2 * 16 * shape.parameters + 2 * copy,
    }
