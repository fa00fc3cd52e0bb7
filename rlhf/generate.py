"""Sampling K responses a turn for the doctors to rank, written as a file that imports."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from transformers import set_seed

from rlhf import networks
from rlhf.config import GenerateConfig
from rlhf.data import Answered, Prompt, digest_of, turns_in
from rlhf.journal import Journal
from rlhf.records import read_rows
from rlhf.sampling import SamplingRule, sample
from rlhf.sequences import Encoder, fit
from rlhf.stage import Stage

FILE = "responses.jsonl"


def alike(first: str, second: str) -> float:
    """How alike two texts are, from 0 to 1: the share of characters that stand in matching blocks."""
    return SequenceMatcher(None, first, second, autojunk=False).ratio()


def near_duplicate(text: str, others: Sequence[str], above: float) -> bool:
    """Whether a text is empty or says nearly the same as one of the others."""
    return not text or any(alike(text, other) > above for other in others)


@dataclass
class Answers:
    """The texts sampled for one prompt: distinct ones, and near-duplicates to fall back on."""

    prompt: Sequence[int]
    wanted: int
    kept: list[str] = field(default_factory=list)
    spare: list[str] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """How many distinct texts are still wanted."""
        return self.wanted - len(self.kept)

    def take(self, text: str, similar_above: float) -> None:
        """Keeps a text, or puts it aside where it is empty or a near-duplicate."""
        (self.spare if near_duplicate(text, self.kept, similar_above) else self.kept).append(text)

    def texts(self) -> list[str] | None:
        """The wanted number of different texts, near-duplicates last; None where the model gave fewer."""
        different = [text for text in dict.fromkeys(self.spare) if text and text not in self.kept]
        texts = [*self.kept, *different][: self.wanted]
        return texts if len(texts) == self.wanted else None


@dataclass(frozen=True)
class Waiting:
    """A turn of the data file that waits for responses: ``turn`` is what stands in the file, and takes them."""

    key: str
    turn: dict[str, Any]
    prompt: Prompt


def run(stage: Stage, config: GenerateConfig) -> dict[str, Any]:
    """Samples responses to every turn of the data file that waits for them; returns what came of it.

    The file is the project's own format; the one that is written has the same rows with responses. A turn to which
    the model does not give enough different texts goes on waiting. Resumes where an earlier attempt stood: each batch
    is sampled with a seed of its own, so it answers the same whether the run was cut short or not.
    """
    base, policy = stage.input("base"), stage.optional("policy")
    rows = list(read_rows(stage.input("data")))
    stage.require_same_base()
    waiting = [found for row in rows for found in _waiting(row)]
    if not waiting:
        stage.refuse("No turn of the data file waits for responses.")
    encoder = Encoder.of(networks.load_tokenizer(base))
    model = networks.load_policy(base, policy, config.dtype, four_bit=config.four_bit).to(networks.best_device())

    # 1. The responses, into the rows.
    journal = _answer(stage, model, encoder, waiting, config)
    left, alike_kept = _respond(stage, waiting, journal, config)

    # 2. The file, and what is not in it.
    if left:
        stage.records.event("turns left waiting", 0, turns=left, of=len(waiting))
    with stage.model_folder() as folder:
        _write(rows, folder / FILE)
        stage.lineage(config).write(folder)
    done = len(waiting) - left
    return {"turns": done, "responses": config.k * done, "near_duplicates_kept": alike_kept, "left_waiting": left}


def _answer(stage: Stage, model: Any, encoder: Encoder, waiting: Sequence[Waiting], config: GenerateConfig) -> Journal:
    """Answers as many turns at a time as fill a batch; returns them with those that were answered before."""
    journal, together = stage.journal(config), max(config.generate_batch_size // config.k, 1)
    todo = [i for i, each in enumerate(waiting) if each.key not in journal.known]
    for start in range(0, len(todo), together):
        batch = todo[start : start + together]
        set_seed(_seed_of(config, batch[0]))
        prompts = [_ids(encoder, waiting[i].prompt, config) for i in batch]
        answered = answer_all(model, encoder, prompts, config)
        journal.keep({waiting[i].key: _kept(answers) for i, answers in zip(batch, answered, strict=True)})
        done = len(waiting) - len(todo) + start + len(batch)
        stage.records.event("checkpoint", done)
        stage.records.progress(done, len(waiting), "sampling responses")
    return journal


def _kept(answers: Answers) -> dict[str, Any]:
    texts = answers.texts()
    return {"texts": texts, "near_duplicates": answers.missing if texts else 0}


def _seed_of(config: GenerateConfig, first: int) -> int:
    """The seed of the batch that begins with this turn of those that wait."""
    return int(digest_of([config.seed, first])[:8], 16)


def answer_all(model: Any, encoder: Encoder, prompts: Sequence[Sequence[int]], config: GenerateConfig) -> list[Answers]:
    """K responses to each prompt, sampled together; near-duplicates are sampled again, ``attempts`` times."""
    rule = SamplingRule(config.max_new_tokens, config.temperature, config.top_p)
    answers = [Answers(prompt, config.k) for prompt in prompts]
    for _ in range(config.attempts + 1):
        asked = [each for each in answers for _ in range(each.missing)]
        if not asked:
            break
        sampled = sample(
            model, [each.prompt for each in asked], rule, end_id=encoder.end_id, pad_id=encoder.pad_id,
            batch_size=config.generate_batch_size,
        )  # fmt: skip
        for each, ids in zip(asked, sampled, strict=True):
            each.take(encoder.decode(ids), config.similar_above)
    return answers


def _ids(encoder: Encoder, prompt: Prompt, config: GenerateConfig) -> Sequence[int]:
    room = config.max_length - config.max_new_tokens
    return fit(encoder, prompt, (), max(room, config.max_length // 2)).prompt


def _respond(stage: Stage, waiting: Sequence[Waiting], journal: Journal, config: GenerateConfig) -> tuple[int, int]:
    """Writes the responses into the rows; returns turns that go on waiting and near-duplicates kept."""
    name = _name_of(stage, config)
    sampling = {"temperature": config.temperature, "top_p": config.top_p, "seed": config.seed}
    left, alike_kept = 0, 0
    for each in waiting:
        made = journal.known[each.key]
        alike_kept += made["near_duplicates"]
        if made["texts"] is None:
            left += 1
        else:
            each.turn["responses"] = [{"text": text, "model": name, "sampling": sampling} for text in made["texts"]]
    return left, alike_kept


def _waiting(row: dict[str, Any]) -> list[Waiting]:
    return [
        Waiting(Answered(row["id"], number, prompt, ()).key, turn, prompt)
        for number, turn, prompt in turns_in(row)
        if not turn.get("responses")
    ]


def _name_of(stage: Stage, config: GenerateConfig) -> str:
    known = stage.lineage(config).inputs
    answering = known.get("policy") or known["base"]
    return f"{Path(answering['path']).parent.name}/{answering['sha256'][:12]}"


def _write(rows: Sequence[dict[str, Any]], file: Path) -> None:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
