"""A run of one stage: its folder, its inputs, what it says while it works, and the model it leaves behind."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn

from rlhf import checkpoints
from rlhf.checkpoints import Lineage
from rlhf.config import Settings
from rlhf.data import DataError, Snapshot
from rlhf.journal import Journal
from rlhf.mixture import hash_data
from rlhf.records import Records
from rlhf.sequences import Fitted

JOURNAL = "journal.jsonl"
INPUTS = ("snapshot", "base", "policy", "reward", "data")


def processes() -> int:
    """How many processes train together, as torchrun tells each of them; known before they have found each other."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@dataclass(frozen=True)
class Stage:
    """One run. ``paths`` maps the names of INPUTS to folders or files."""

    name: str
    folder: Path
    paths: dict[str, Path]
    records: Records

    def input(self, name: str) -> Path:
        """The path of an input; raises DataError where it was not given or is not there."""
        path = self.paths.get(name)
        if path is None:
            raise DataError(f"The stage {self.name!r} needs --{name}.")
        if not path.exists():
            raise DataError(f"--{name} {path} does not exist.")
        return path

    def optional(self, name: str) -> Path | None:
        """The path of an input that may be left out."""
        return self.input(name) if self.paths.get(name) is not None else None

    def snapshot(self) -> Snapshot:
        """The snapshot that the run learns from."""
        return Snapshot.load(self.input("snapshot"))

    def lineage(self, config: Settings, step: int = 0) -> Lineage:
        """Where the weights of this run come from."""
        return Lineage(self.name, self._hashes, config.model_dump(mode="json"), step)

    @cached_property
    def _hashes(self) -> dict[str, dict[str, str]]:
        known: dict[str, dict[str, str]] = {}
        for name, path in sorted(self.paths.items()):
            if name == "snapshot":
                sha256 = checkpoints.hash_file(path / "manifest.json")
            else:
                sha256 = checkpoints.hash_folder(path) if path.is_dir() else hash_data(path)
            known[name] = {"path": str(path), "sha256": sha256}
        return known

    def require_same_base(self) -> None:
        """Raises CheckpointError where the policy or the reward model was trained on another base than --base."""
        base = self.input("base")
        for name in ("policy", "reward"):
            adapter = self.optional(name)
            if adapter is not None:
                checkpoints.require_same_base(adapter, base, self._hashes["base"]["sha256"])

    def journal(self, config: Settings) -> Journal:
        """What earlier attempts of this run have finished, with the same models and settings."""
        models = {name: each["sha256"] for name, each in self._hashes.items() if name != "data"}
        return Journal(self.folder / JOURNAL, {"models": models, "config": config.model_dump(mode="json")})

    def refuse(self, sentence: str, **parts: object) -> NoReturn:
        """Ends the run with a sentence that says what to do, with {places} for ``parts``."""
        raise DataError(sentence.format(**parts))

    def report_cuts(self, fitted: Sequence[Fitted]) -> None:
        """Says what was too long, so that nothing is cut in silence."""
        cut = {
            "turns_cut": sum(each.exchanges_cut > 0 for each in fitted),
            "exchanges_cut": sum(each.exchanges_cut for each in fitted),
            "responses_cut": sum(each.responses_cut for each in fitted),
        }
        if any(cut.values()):
            self.records.event("sequences cut", 0, turns=len(fitted), **cut)

    @contextmanager
    def model_folder(self) -> Iterator[Path]:
        """Gives the folder to write the finished model into; it appears as ``model`` when it is whole."""
        with checkpoints.writing(self.folder / checkpoints.MODEL) as folder:
            yield folder
