"""A snapshot folder as its writers read it: turns, what is said about them, and the preferences they make."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annotation import snapshot
from annotation.refusals import Invalid

Row = dict[str, Any]
Message = dict[str, str]


@dataclass(frozen=True)
class Preference:
    """Of one pair the text that is better and the one that is worse; ``pair`` says by what, and how that was settled.

    ``better`` and ``worse`` number the responses from 0; a rewrite comes after the K.
    """

    turn: Row = field(repr=False)
    better: int
    worse: int
    pair: Row

    @property
    def chosen(self) -> str:
        """The better text."""
        return texts(self.turn)[self.better]

    @property
    def rejected(self) -> str:
        """The worse text."""
        return texts(self.turn)[self.worse]


@dataclass(frozen=True)
class Source:
    """A snapshot folder that is whole. Older ones hold no votes and no guidelines."""

    folder: Path
    manifest: Row = field(repr=False)

    @classmethod
    def open(cls, folder: Path) -> Source:
        """Opens a snapshot; raises Invalid where a file is not what was frozen."""
        try:
            manifest = snapshot.read_manifest(folder)
        except OSError as error:
            raise Invalid("The folder {folder} holds no snapshot.", folder=folder) from error
        broken = snapshot.broken_file(folder, manifest)
        if broken is not None:
            raise Invalid("{name} is not the file that was frozen: bring the snapshot's folder back.", name=broken)
        return cls(folder, manifest)

    def turns(self, split: str | None = None) -> Iterator[Row]:
        """Every settled turn, or those of one part of the data."""
        return (row for row in self._rows(snapshot.TURNS) if split in (None, row["split"]))

    def rankings(self) -> Iterator[Row]:
        """All that annotators said."""
        return self._rows(snapshot.RANKINGS)

    def reviews(self) -> Iterator[Row]:
        """All that adjudicators decided."""
        return self._rows(snapshot.REVIEWS)

    def preferences(self, split: str | None = None) -> Iterator[Preference]:
        """Every pair of which one is better; ties and unreviewed pairs make none."""
        return (preference for turn in self.turns(split) for preference in preferences(turn))

    def _rows(self, name: str) -> Iterator[Row]:
        if name in self.manifest["files"]:
            yield from snapshot.read_rows(self.folder / name)


def texts(turn: Row) -> list[str]:
    """The K responses and, where there is one, the rewrite."""
    found = [response["text"] for response in turn["responses"]]
    return found if turn["rewrite"] is None else [*found, turn["rewrite"]]


def preferences(turn: Row) -> Iterator[Preference]:
    """The preferences of one turn."""
    return (Preference(turn, pair["better"], pair["worse"], pair) for pair in turn["pairs"] if "better" in pair)


def prompt(turn: Row) -> list[Message]:
    """What a response of this turn answers, as a chat."""
    found = [] if turn["system"] is None else [{"role": "system", "content": turn["system"]}]
    for patient, doctor in turn["history"]:
        found += [{"role": "user", "content": patient}, answer(doctor)]
    return [*found, {"role": "user", "content": turn["message"]}]


def answer(text: str) -> Message:
    """What the model says, as a message of a chat."""
    return {"role": "assistant", "content": text}
