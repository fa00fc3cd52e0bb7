"""Pre-training on a corpus: of a base model, or of a new small one with a vocabulary of its own."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peft import TaskType
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Trainer,
    TrainingArguments,
    default_data_collator,
    set_seed,
)

from rlhf import networks
from rlhf.attention import Attention, CannotShareError
from rlhf.config import PretrainConfig
from rlhf.data import Dialogue, read_dialogues, read_texts
from rlhf.mixture import drawn, parts_of, shares
from rlhf.sequences import Encoder
from rlhf.stage import Stage
from rlhf.trainer import StageTrainer, common_arguments

ADAPTER = "adapter"
IGNORED = -100
PAD, START, END = "<|pad|>", "<|start|>", "<|end|>"
TEMPLATE = (
    "{% set names = {'user': '患者', 'assistant': '医生', 'system': '说明'} %}"
    "{% for m in messages %}"
    "{{ '<|start|>' + names[m['role']] + '：' + m['content'] + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>医生：' }}{% endif %}"
)


class PretrainTrainer(StageTrainer, Trainer):
    """The library's trainer on blocks of texts, none of which attends to another."""

    attention: Attention | None = None

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """The loss of some blocks; without ``attention`` their texts are one text to the model."""
        given = dict(inputs)
        given |= self.apart(given.pop("ends"), given.pop("position_ids"))
        return super().compute_loss(model, given, *args, **kwargs)

    def apart(self, ends: Tensor, positions: Tensor) -> dict[str, Any]:
        """What keeps the texts of blocks apart; ends, positions (B, N) as ``Blocks`` has them."""
        if self.attention is None:
            return {}
        return {"attention_mask": self.attention.mask(ends, positions), "position_ids": positions}


def new_tokenizer(texts: Iterable[str], vocabulary: int) -> Any:
    """A byte-level BPE tokenizer, which knows every text, with a chat template of patient and doctor."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PAD)
    wrapped.chat_template = TEMPLATE
    return wrapped


def new_model(config: PretrainConfig, tokenizer: Any) -> Any:
    """A small model with random weights, of the architecture of Qwen2."""
    return AutoModelForCausalLM.from_config(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden_size,
            intermediate_size=config.hidden_size * 3,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            max_position_embeddings=config.max_length,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


@dataclass(frozen=True)
class Said:
    """What stands in a part of the corpus."""

    texts: list[str]
    dialogues: list[Dialogue]


@dataclass(frozen=True)
class Blocks:
    """Texts one behind the other, cut into blocks of ``length`` tokens: what a block begins with is a text of its own.

    ids (N,) all tokens; first (N,) True where a text begins.
    """

    ids: NDArray[np.int64]
    first: NDArray[np.bool_]
    length: int

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]], length: int) -> Blocks:
        """The blocks of some texts; what does not fill the last one is left out."""
        sizes = np.array([len(text) for text in texts], dtype=np.int64)
        kept = int(sizes.sum()) // length * length
        ids = np.fromiter(chain.from_iterable(texts), dtype=np.int64, count=int(sizes.sum()))[:kept]
        first = np.zeros(kept, dtype=np.bool_)
        starts = np.cumsum(sizes) - sizes
        first[starts[starts < kept]] = True
        first[::length] = True
        return cls(ids, first, length)

    def __len__(self) -> int:
        """How many blocks there are."""
        return len(self.ids) // self.length

    def __getitem__(self, number: int) -> dict[str, list[int]]:
        """A block as a row: of each token also its place in its text and where that ends. No text predicts the next."""
        own = slice(number * self.length, (number + 1) * self.length)
        ids, first = self.ids[own], self.first[own]
        starts = np.flatnonzero(first)
        sizes = np.diff(np.append(starts, self.length))
        return {
            "input_ids": ids.tolist(),
            "position_ids": (np.arange(self.length) - np.repeat(starts, sizes)).tolist(),
            "ends": np.repeat(starts + sizes, sizes).tolist(),
            "labels": np.where(first, IGNORED, ids).tolist(),
        }


def run(stage: Stage, config: PretrainConfig) -> dict[str, Any]:
    """Trains on the corpus and returns what was measured. Resumes where an earlier attempt stood.

    With ``lora_rank`` an adapter is trained and merged into the base in float32: what is left is an ordinary base.
    """
    set_seed(config.seed)
    base, parts = stage.optional("base"), parts_of(stage.input("data"))
    said = [Said(read_texts(part.path), read_dialogues(part.path)) for part in parts]
    tokenizer, model = _model(stage, config, base, said)
    texts, counts = _epoch(Encoder.of(tokenizer), said, [part.weight for part in parts], config.seed)
    blocks = Blocks.of(texts, config.block_length)
    if not blocks:
        stage.refuse(
            "The corpus has fewer than {least} tokens: add text or lower block_length.", least=config.block_length
        )

    trainer = PretrainTrainer(
        model=model,
        args=TrainingArguments(**common_arguments(config, stage.folder, config.micro_batch_size)),
        train_dataset=blocks,
        data_collator=default_data_collator,
        processing_class=tokenizer,
    )
    trainer.begin(stage.folder, stage.records, stage.lineage(config), config, "pre-training")
    trainer.attention = _apart(stage, model)
    trainer.train_or_resume()

    if trainer.args.should_save:
        made = trainer.model if base is None or not config.lora_rank else _merged(stage, trainer.model, base)
        with stage.model_folder() as folder:
            save_base(made, tokenizer, folder)
            stage.lineage(config, step=trainer.state.global_step).write(folder)
    return {
        "steps": trainer.state.global_step,
        "tokens": len(blocks.ids),
        "texts": counts,
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "loss": next((r["loss"] for r in reversed(trainer.state.log_history) if "loss" in r), None),
    }


def _model(stage: Stage, config: PretrainConfig, base: Path | None, said: Sequence[Said]) -> tuple[Any, Any]:
    """Tokenizer and model: of the base, with an adapter if one is wanted, or new ones."""
    if base is None:
        if config.lora_rank:
            stage.refuse("A LoRA needs a base model: name one, or set lora_rank to 0.")
        tokenizer = new_tokenizer(chain.from_iterable(map(_everything_said, said)), config.vocabulary)
        return tokenizer, new_model(config, tokenizer)
    model = networks.load_causal(base, config.dtype, four_bit=config.four_bit)
    if config.lora_rank:
        model = networks.with_adapter(model, networks.lora(config, TaskType.CAUSAL_LM))
    return networks.load_tokenizer(base), model


def _epoch(
    encoder: Encoder, said: Sequence[Said], weights: Sequence[float | None], seed: int
) -> tuple[list[Sequence[int]], list[int]]:
    """The texts of an epoch as ids, each closed by the end token, and how many there are of each part."""
    parts = [
        [*(encoder.response(text) for text in part.texts), *(encoder.dialogue(each)[0] for each in part.dialogues)]
        for part in said
    ]
    counts = list(map(len, parts))
    chosen = [parts[part][number] for part, number in drawn(counts, weights, seed)]
    if len(parts) > 1:
        random.Random(seed).shuffle(chosen)
    return chosen, shares(counts, weights)


def _apart(stage: Stage, model: Any) -> Attention | None:
    """What keeps texts of a block from attending to each other; None, and an event, where the model cannot be told."""
    try:
        return Attention.of(model.config)
    except CannotShareError as error:
        stage.records.event("texts attend to each other", 0, why=str(error))
        return None


def _merged(stage: Stage, model: Any, base: Path) -> Any:
    """The base with the adapter merged into it, in float32, where nothing is lost."""
    adapter = stage.folder / ADAPTER
    model.save_pretrained(str(adapter))
    return networks.load_policy(base, adapter, "float32").merge_and_unload()


def save_base(model: Any, tokenizer: Any, folder: Path) -> None:
    """Saves a base model as other tools load it."""
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))


def _everything_said(part: Said) -> Iterator[str]:
    yield from part.texts
    for dialogue in part.dialogues:
        for exchange in dialogue.exchanges:
            yield from exchange
