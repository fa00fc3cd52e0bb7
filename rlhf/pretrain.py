"""Pre-training on a corpus: of a base model, or of a new small one with a vocabulary of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
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
from rlhf.config import PretrainConfig
from rlhf.data import Dialogue, read_dialogues, read_texts
from rlhf.sequences import Encoder
from rlhf.stage import Stage
from rlhf.trainer import StageTrainer, common_arguments

PAD, START, END = "<|pad|>", "<|start|>", "<|end|>"
TEMPLATE = (
    "{% set names = {'user': '患者', 'assistant': '医生', 'system': '说明'} %}"
    "{% for m in messages %}"
    "{{ '<|start|>' + names[m['role']] + '：' + m['content'] + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>医生：' }}{% endif %}"
)


class PretrainTrainer(StageTrainer, Trainer):
    """The library's trainer on blocks of tokens."""


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


def blocks(encoder: Encoder, texts: Sequence[str], dialogues: Sequence[Dialogue], length: int) -> list[list[int]]:
    """All texts and dialogues, each closed by the end token, one after the other in blocks of ``length`` tokens."""
    plain = (encoder.response(text) for text in texts)
    spoken = (encoder.dialogue(dialogue)[0] for dialogue in dialogues)
    ids = list(chain.from_iterable(chain(plain, spoken)))
    return [ids[start : start + length] for start in range(0, len(ids) - length + 1, length)]


def run(stage: Stage, config: PretrainConfig) -> dict[str, Any]:
    """Trains on the corpus and returns what was measured. Resumes where an earlier attempt stood."""
    set_seed(config.seed)
    corpus, base = stage.input("data"), stage.optional("base")
    texts, dialogues = read_texts(corpus), read_dialogues(corpus)
    if base is None:
        tokenizer = new_tokenizer(_everything_said(texts, dialogues), config.vocabulary)
        model = new_model(config, tokenizer)
    else:
        tokenizer, model = networks.load_tokenizer(base), networks.load_causal(base, config.dtype)
    rows = blocks(Encoder.of(tokenizer), texts, dialogues, config.block_length)
    if not rows:
        stage.refuse(
            "The corpus has fewer than {least} tokens: add text or lower block_length.", least=config.block_length
        )

    trainer = PretrainTrainer(
        model=model,
        args=TrainingArguments(**common_arguments(config, stage.folder, config.micro_batch_size)),
        train_dataset=Dataset.from_list([{"input_ids": ids, "labels": ids} for ids in rows]),
        data_collator=default_data_collator,
        processing_class=tokenizer,
    )
    trainer.begin(stage.folder, stage.records, stage.lineage(config), config, "pre-training")
    trainer.train_or_resume()

    if trainer.args.should_save:
        with stage.model_folder() as folder:
            save_base(trainer.model, tokenizer, folder)
            stage.lineage(config, step=trainer.state.global_step).write(folder)
    return {
        "steps": trainer.state.global_step,
        "tokens": len(rows) * config.block_length,
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "loss": next((r["loss"] for r in reversed(trainer.state.log_history) if "loss" in r), None),
    }


def save_base(model: Any, tokenizer: Any, folder: Path) -> None:
    """Saves a base model as other tools load it."""
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))


def _everything_said(texts: Sequence[str], dialogues: Sequence[Dialogue]) -> Iterator[str]:
    yield from texts
    for dialogue in dialogues:
        for exchange in dialogue.exchanges:
            yield from exchange
