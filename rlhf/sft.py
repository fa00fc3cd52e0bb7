"""Supervised fine-tuning: LoRA on the medical base, the loss on what the doctor says and the end of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from peft import TaskType
from transformers import set_seed
from trl import SFTConfig as TrlSftConfig
from trl import SFTTrainer

from rlhf import networks
from rlhf.config import SftConfig
from rlhf.data import Dialogue, Example, Snapshot, read_dialogues, rewrites_of
from rlhf.mixture import Part, drawn, parts_of
from rlhf.sequences import Encoder, fit
from rlhf.stage import Stage
from rlhf.trainer import StageTrainer, common_arguments

IGNORED = -100


class LoraSftTrainer(StageTrainer, SFTTrainer):
    """TRL's fine-tuning trainer on canonical sequences."""


def rows_of(encoder: Encoder, dialogues: Sequence[Dialogue], max_length: int) -> list[dict[str, list[int]]]:
    """A row a dialogue: ``input_ids`` and ``labels``, which ignore what the patient says.

    A dialogue that is too long ends at the last reply that fits; one whose first reply does not fit is left out.
    """
    rows = []
    for dialogue in dialogues:
        exchanges = dialogue.exchanges
        ids, spoken = encoder.dialogue(dialogue)
        while len(ids) > max_length and exchanges:
            exchanges = exchanges[:-1]
            ids, spoken = encoder.dialogue(Dialogue(exchanges, dialogue.system))
        if exchanges:
            labels = [token if said else IGNORED for token, said in zip(ids, spoken, strict=True)]
            rows.append({"input_ids": ids, "labels": labels})
    return rows


def rows_of_examples(encoder: Encoder, examples: Sequence[Example], max_length: int) -> list[dict[str, list[int]]]:
    """A row an example, cut as a turn is: the loss is on its reply alone."""
    rows = []
    for example in examples:
        fitted = fit(encoder, example.prompt, [example.reply], max_length)
        ids, [reply] = fitted.prompt, fitted.responses
        rows.append({"input_ids": [*ids, *reply], "labels": [*[IGNORED] * len(ids), *reply]})
    return rows


def run(stage: Stage, config: SftConfig) -> dict[str, Any]:
    """Fine-tunes on the dialogues and returns what was measured. Resumes where an earlier attempt stood.

    Of a snapshot, where one is given, the rewritten answers are learnt as well, and nothing else.
    """
    set_seed(config.seed)
    base = stage.input("base")
    tokenizer = networks.load_tokenizer(base)
    encoder = Encoder.of(tokenizer)
    dialogues = _epoch(parts_of(stage.input("data")), config.seed)
    rows = rows_of(encoder, dialogues, config.max_length)
    if not rows:
        stage.refuse("The data set has no dialogue that ends with a reply and fits max_length.")
    if len(rows) < len(dialogues):
        stage.records.event("dialogues left out", 0, too_long=len(dialogues) - len(rows))
    rewrites = _rewrites(stage, encoder, config.max_length)

    model = networks.load_causal(base, config.dtype, four_bit=config.four_bit)
    model = networks.with_adapter(model, networks.lora(config, TaskType.CAUSAL_LM))
    tokenizer.pad_token_id = encoder.pad_id
    trainer = LoraSftTrainer(
        model=model,
        args=TrlSftConfig(
            **common_arguments(config, stage.folder, config.micro_batch_size),
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(rows + rewrites),
    )
    trainer.begin(stage.folder, stage.records, stage.lineage(config), config, "fine-tuning")
    trainer.train_or_resume()

    if trainer.args.should_save:
        with stage.model_folder() as folder:
            trainer.model.save_pretrained(str(folder))
            tokenizer.save_pretrained(str(folder))
            stage.lineage(config, step=trainer.state.global_step).write(folder)
    return {
        "steps": trainer.state.global_step,
        "dialogues": len(rows),
        "of_several_turns": sum(len(dialogue.exchanges) > 1 for dialogue in dialogues),
        "rewrites": len(rewrites),
        "loss": next((r["loss"] for r in reversed(trainer.state.log_history) if "loss" in r), None),
    }


def _epoch(parts: Sequence[Part], seed: int) -> list[Dialogue]:
    """The dialogues of an epoch: of one file all of them, of a mixture each part's share."""
    known = [read_dialogues(part.path) for part in parts]
    chosen = drawn(list(map(len, known)), [part.weight for part in parts], seed)
    return [known[part][number] for part, number in chosen]


def _rewrites(stage: Stage, encoder: Encoder, max_length: int) -> list[dict[str, list[int]]]:
    """The rows of the snapshot's rewritten answers, if one is given; refuses one that has none."""
    folder = stage.optional("snapshot")
    if folder is None:
        return []
    examples = rewrites_of(Snapshot.load(folder))
    if not examples:
        stage.refuse("The snapshot has no rewritten answer in its training part: start the run without it.")
    return rows_of_examples(encoder, examples, max_length)
