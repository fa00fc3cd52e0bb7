"""The only reader of a snapshot, and of the registered data sets beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from rlhf.checkpoints import hash_file
from rlhf.records import read_rows

Split = Literal["train", "validation", "report"]
Exchange = tuple[str, str]
SUPPORTED_FORMATS = (1, 2)


class DataError(ValueError):
    """Data that cannot be used; the message says which and what to do."""


@dataclass(frozen=True)
class Prompt:
    """What a response answers."""

    history: tuple[Exchange, ...]
    message: str
    system: str | None = None


@dataclass(frozen=True)
class Pair:
    """``better`` stands above ``worse`` (numbers of responses); ``ability`` 1 to 9 decides, None if none was named.

    ``strength`` is clear or slight, None where nobody said.
    """

    better: int
    worse: int
    ability: int | None
    provenance: str
    strength: str | None = None


@dataclass(frozen=True)
class Turn:
    """A settled turn. ``responses`` are the K and, where an expert rewrote the answer, the rewrite as the last."""

    dialogue: str
    number: int
    split: Split
    prompt: Prompt
    responses: tuple[str, ...]
    pairs: tuple[Pair, ...]
    department: str = ""
    in_distribution: bool | None = None
    safety: bool = False
    settled_by: str = ""
    places: tuple[int, ...] | None = None
    rewritten: bool = False

    def gap(self, pair: Pair) -> int | None:
        """By how many groups the two stand apart; None where the turn has no whole order, or for a rewrite."""
        if self.places is None or max(pair.better, pair.worse) >= len(self.places):
            return None
        return self.places[pair.worse] - self.places[pair.better]


@dataclass(frozen=True)
class Judgement:
    """How one annotator placed the responses of a turn: 0 the best group; None without an order.

    ``seconds`` is how long they were at it; 0 where it was not measured.
    """

    annotator: str
    places: tuple[int, ...] | None
    seconds: float = 0.0


@dataclass(frozen=True)
class Snapshot:
    """A frozen campaign. Raises DataError where a file is missing or is not what the manifest sealed."""

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def load(cls, folder: Path) -> Snapshot:
        """Opens a snapshot and checks its seals."""
        file = folder / "manifest.json"
        if not file.exists():
            raise DataError(f"{folder} has no manifest.json: name the folder that freezing a campaign made.")
        manifest = json.loads(file.read_text(encoding="utf-8"))
        if manifest.get("format") not in SUPPORTED_FORMATS:
            known = " and ".join(map(str, SUPPORTED_FORMATS))
            raise DataError(f"{folder} has format {manifest.get('format')}, but this version reads {known}.")
        for name, seal in manifest["files"].items():
            if not (folder / name).exists() or hash_file(folder / name) != seal["sha256"]:
                raise DataError(f"{folder / name} is not the file that was frozen: copy the snapshot again.")
        return cls(folder, manifest)

    @property
    def sha256(self) -> str:
        """The hash of the manifest, which seals all the rest."""
        return hash_file(self.folder / "manifest.json")

    @cached_property
    def turns(self) -> tuple[Turn, ...]:
        """Every settled turn."""
        return tuple(turns_of(self.folder))

    @cached_property
    def judgements(self) -> dict[tuple[str, int], list[Judgement]]:
        """By dialogue and turn number, how each of its annotators placed the responses."""
        found: dict[tuple[str, int], list[Judgement]] = {}
        for row in _rows(self.folder / "rankings.jsonl"):
            if not row.get("counts", True):  # format 1 holds those that count and nothing else
                continue
            given = Judgement(row["annotator"], _places(row["groups"]), row.get("active_seconds") or 0.0)
            found.setdefault((row["dialogue"], row["number"]), []).append(given)
        return found

    def part(self, split: Split) -> list[Turn]:
        """The turns of one part of the data."""
        return [turn for turn in self.turns if turn.split == split]


def turns_of(folder: Path) -> Iterator[Turn]:
    """The settled turns of a snapshot, read as they are asked for; its seals are not looked at."""
    return (_turn(row) for row in _rows(folder / "turns.jsonl"))


@dataclass(frozen=True)
class Dialogue:
    """A dialogue to learn from: prompt and replies in turn."""

    exchanges: tuple[Exchange, ...]
    system: str | None = None


@dataclass(frozen=True)
class Answered:
    """A turn whose responses wait for a judgement."""

    dialogue: str
    number: int
    prompt: Prompt
    responses: tuple[str, ...]

    @property
    def key(self) -> str:
        """The same for the same turn with the same words in it."""
        said = self.prompt.history, self.prompt.message, self.prompt.system
        return digest_of([self.dialogue, self.number, said, self.responses])

    @property
    def texts_digest(self) -> str:
        """The same for the same responses in the same order."""
        return digest_of(self.responses)


def digest_of(said: Any) -> str:
    """The sha256 of something that JSON can say."""
    return hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest()


def turns_in(row: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any], Prompt]]:
    """The turns of a dialogue in the project's own format: number, the turn as it stands there, and its prompt."""
    history = [(patient, doctor) for patient, doctor in row.get("history") or []]
    for turn in row["turns"]:
        yield len(history) + 1, turn, Prompt(tuple(history), turn["message"], row.get("system"))
        history.append((turn["message"], turn.get("reply") or ""))


def read_answered(file: Path) -> list[Answered]:
    """The turns with responses of a file in the project's own format; raises DataError for a row that is not."""
    found = []
    try:
        for row in _rows(file):
            for number, turn, prompt in turns_in(row):
                texts = [each if isinstance(each, str) else each["text"] for each in turn.get("responses") or []]
                if texts:
                    found.append(Answered(row["id"], number, prompt, tuple(texts)))
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{file} is not a file of dialogues in the project's own format ({error!r}): see docs/formats.md."
        ) from error
    return found


def read_texts(file: Path) -> list[str]:
    """The rows of a corpus that are plain text: ``{"text": …}``."""
    return [row["text"] for row in _rows(file) if "text" in row]


def read_dialogues(file: Path) -> list[Dialogue]:
    """The rows of a file that are ``{"messages": […]}`` ending with the doctor."""
    found = []
    for number, row in enumerate(_rows(file), start=1):
        if "messages" in row:
            system, spoken = _spoken(row["messages"])
            if len(spoken) % 2 or not spoken:
                raise DataError(f"{file}, row {number}: a dialogue to learn from ends with what the assistant said.")
            found.append(Dialogue(tuple(zip(spoken[::2], spoken[1::2], strict=True)), system))
    return found


@dataclass(frozen=True)
class Example:
    """One reply to learn from; what stands before it is only read."""

    prompt: Prompt
    reply: str


def rewrites_of(snapshot: Snapshot) -> list[Example]:
    """What experts wrote in place of unacceptable responses, in the training part of a snapshot."""
    return [Example(turn.prompt, turn.responses[-1]) for turn in snapshot.part("train") if turn.rewritten]


def read_prompts(file: Path) -> list[Prompt]:
    """The prompts of a file of ``{"messages": […]}`` ending with the patient."""
    found = []
    for number, row in enumerate(_rows(file), start=1):
        system, spoken = _spoken(row.get("messages", []))
        if len(spoken) % 2 == 0:
            raise DataError(f"{file}, row {number}: a prompt ends with what the user said.")
        history = tuple(zip(spoken[:-1:2], spoken[1::2], strict=True))
        found.append(Prompt(history, spoken[-1], system))
    return found


def prompts_to_train_on(snapshot: Snapshot | None, data: Path | None) -> list[Prompt]:
    """The prompts of the training dialogues, and those of a registered file if one is given, each once."""
    found = [turn.prompt for turn in snapshot.part("train")] if snapshot else []
    if data is not None:
        found += read_prompts(data)
    return list(dict.fromkeys(found))


def _spoken(messages: Sequence[dict[str, str]]) -> tuple[str | None, list[str]]:
    texts = [message["content"] for message in messages]
    if messages and messages[0]["role"] == "system":
        return texts[0], texts[1:]
    return None, texts


def _turn(row: dict[str, Any]) -> Turn:
    responses = [response["text"] for response in row["responses"]]
    rewrite = row["rewrite"]
    pairs = tuple(
        Pair(pair["better"], pair["worse"], pair["ability"], pair["provenance"], pair.get("strength"))
        for pair in row["pairs"]
        if "better" in pair and pair["provenance"] != "unreviewed"
    )
    return Turn(
        dialogue=row["dialogue"],
        number=row["number"],
        split=row["split"],
        prompt=Prompt(tuple((p, d) for p, d in row["history"]), row["message"], row["system"]),
        responses=(*responses, *([rewrite] if rewrite is not None else [])),
        pairs=pairs,
        department=row["department"],
        in_distribution=row["in_distribution"],
        safety=row["safety"],
        settled_by=row["settled_by"],
        places=_places_of_order(row["order"]),
        rewritten=rewrite is not None,
    )


def _places(groups: Sequence[Sequence[int]]) -> tuple[int, ...] | None:
    place = {response: number for number, group in enumerate(groups) for response in group}
    return tuple(place[response] for response in range(len(place))) if place else None


def _places_of_order(order: str | None) -> tuple[int, ...] | None:
    if order is None:
        return None
    return _places([["ABCDE".index(letter) for letter in group.split(" = ")] for group in order.split(" > ")])


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    if not file.exists():
        raise DataError(f"{file} does not exist.")
    yield from read_rows(file)
