"""Shared against unshared: each architecture on the list gives the same scores and gradients on a trie as in rows."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from peft import LoraConfig, TaskType, get_peft_model
from torch import Tensor
from transformers import AutoModel, AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from rlhf.attention import ALLOWED, Attention, CannotShareError, block_mask, dense_mask
from rlhf.packing import forest, trie_of

SMALL = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2, "attention_dropout": 0.0,
}  # fmt: skip
MIXED = {"sliding_window": 6, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "decoder_sparse_step": 1}
OWN: dict[str, dict[str, Any]] = {
    "mistral": {"sliding_window": 6},
    "mixtral": {"num_local_experts": 4, "sliding_window": 6},
    "gemma2": {**MIXED, "query_pre_attn_scalar": 8},
    "gemma3_text": {**MIXED, "query_pre_attn_scalar": 8},
    "olmo3": MIXED,
    "exaone4": MIXED,
    "qwen2": {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1},
    "qwen2_moe": {**EXPERTS, "shared_expert_intermediate_size": 16},
    "qwen3_moe": EXPERTS,
    "phi3": {"sliding_window": 6},
}
"""What each has of its own: windows shorter than the sequences, experts."""

DIALOGUE = [
    [[5, 6, 7, 8, *end] for end in ([9, 10, 11, 2], [9, 10, 12, 13, 2], [14, 2], [9, 10, 11, 15, 16, 17, 2])],
    [[5, 6, 7, 8, 14, 2, 20, 21, 22, 23, *end] for end in ([9, 2], [30, 31, 32, 33, 2], [30, 31, 2], [34, 2])],
]
SEQUENCES = [ids for turn in DIALOGUE for ids in turn]


CASES = [(kind, way) for kind in sorted(ALLOWED) for way in ("sdpa", "eager") if (kind, way) != ("gemma2", "sdpa")]


def model_of(kind: str, implementation: str) -> Any:
    """A small body of an architecture with random weights and a LoRA on it, dropout off."""
    torch.manual_seed(0)
    config = CONFIG_MAPPING[kind](**SMALL | OWN.get(kind, {}))
    lora = LoraConfig(task_type=TaskType.FEATURE_EXTRACTION, r=4, target_modules="all-linear", lora_dropout=0.0)
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*(rank|alpha)_pattern"
        )  # of experts, whose linear layers are one tensor
        adapted = get_peft_model(AutoModel.from_config(config, attn_implementation=implementation), lora)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return adapted.eval()


def test_the_list_has_the_architectures_that_medical_models_are_built_on() -> None:
    assert len(ALLOWED) >= 12
    assert {"llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3_text", "phi3", "glm4", "internlm3"} <= ALLOWED


@pytest.mark.parametrize(("kind", "implementation"), CASES)
def test_scores_and_gradients_on_a_trie_are_those_of_rows(kind: str, implementation: str) -> None:
    model = model_of(kind, implementation)
    assert model.config._attn_implementation == implementation
    shared = outcome(model, states_on_trie(model))
    alone = outcome(model, torch.cat([states_in_row(model, ids) for ids in SEQUENCES]))
    assert (shared[0] - alone[0]).abs().max() < 1e-5 * alone[0].abs().max()
    assert shared[1].keys() == alone[1].keys()
    for name, gradient in alone[1].items():
        assert (shared[1][name] - gradient).norm() <= 1e-4 * gradient.norm(), name


def states_on_trie(model: Any) -> Tensor:
    """The last token's hidden state of each sequence, with something beside them that they must not see."""
    trie = forest([trie_of(SEQUENCES), trie_of(SEQUENCES[:2])])
    ends, depths = torch.tensor(trie.ends)[None], torch.tensor(trie.depths)[None]
    mask = Attention.of(model.config).mask(ends, depths)
    hidden = model(input_ids=torch.tensor(trie.ids)[None], attention_mask=mask, position_ids=depths).last_hidden_state
    return hidden[0, torch.tensor(trie.lasts[: len(SEQUENCES)])]


def states_in_row(model: Any, ids: list[int]) -> Tensor:
    row = torch.tensor([ids])
    return model(input_ids=row, attention_mask=torch.ones_like(row)).last_hidden_state[:, -1]


def outcome(model: Any, states: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The scores (S,) that a head gives, and the gradients of a weighted sum of them by name."""
    scores = states @ torch.linspace(-1, 1, states.shape[1])
    model.zero_grad()
    (scores * torch.linspace(-1, 2, len(scores))).sum().backward()
    gradients = {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}
    assert any(gradient.norm() > 0 for gradient in gradients.values())
    return scores.detach(), gradients


@pytest.mark.parametrize(
    ("kind", "changes", "why"),
    [
        ("bloom", {}, "not known"),
        ("mpt", {}, "not known"),
        ("mamba", {}, "not known"),
        ("falcon_h1", {}, "not known"),
        ("qwen3_next", {}, "not known"),
        ("qwen2", {"layer_types": ["linear_attention"]}, "kinds linear_attention"),
        ("gemma3_text", {"use_bidirectional_attention": True}, "more than what stands before"),
        ("llama", {"_attn_implementation": "flash_attention_2"}, "takes no mask"),
    ],
)
def test_others_are_refused_with_the_reason(kind: str, changes: dict[str, Any], why: str) -> None:
    config = CONFIG_MAPPING[kind]()
    for name, value in {"_attn_implementation": "sdpa", **changes}.items():
        setattr(config, name, value)
    with pytest.raises(CannotShareError, match=why):
        Attention.of(config)


def test_a_mask_is_what_the_trie_says_within_the_window() -> None:
    """Prompt 7 8 with responses 5 9 and 6 9: six nodes; with a window of two only the last and the node itself."""
    trie = trie_of([[7, 8, 5, 9], [7, 8, 6, 9]])
    ends, depths = torch.tensor(trie.ends)[None], torch.tensor(trie.depths)[None]
    seen = [row.nonzero().flatten().tolist() for row in dense_mask(ends, depths)[0, 0]]
    assert seen == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 4], [0, 1, 4, 5]]
    near = [row.nonzero().flatten().tolist() for row in dense_mask(ends, depths, 2)[0, 0]]
    assert near == [[0], [0, 1], [1, 2], [2, 3], [1, 4], [4, 5]]


@pytest.mark.parametrize("window", [None, 3])
def test_the_block_mask_says_the_same(window: int | None) -> None:
    trie = forest([trie_of(SEQUENCES)] * 12)  # beyond one block of 128
    ends, depths = torch.tensor(trie.ends)[None], torch.tensor(trie.depths)[None]
    blocks = block_mask(ends, depths, window)
    nodes = torch.arange(len(trie))
    said = blocks.mask_mod(torch.tensor(0), torch.tensor(0), nodes[:, None], nodes[None, :])
    assert torch.equal(said, dense_mask(ends, depths, window)[0, 0])
    assert blocks.sparsity() > 0


def test_a_causal_model_predicts_along_a_trie_as_in_rows() -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING["qwen3"](**SMALL)).eval()
    trie = trie_of(SEQUENCES)
    ends, depths = torch.tensor(trie.ends)[None], torch.tensor(trie.depths)[None]
    mask = Attention.of(model.config).mask(ends, depths)
    with torch.no_grad():
        shared = model(input_ids=torch.tensor(trie.ids)[None], attention_mask=mask, position_ids=depths).logits[0]
        for ids, nodes in zip(SEQUENCES, trie.nodes, strict=True):
            torch.testing.assert_close(shared[torch.tensor(nodes)], model(input_ids=torch.tensor([ids])).logits[0])
