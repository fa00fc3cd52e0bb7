"""Folders of weights that can be trusted: written aside, marked last, and saying where they come from."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

MARKER = "COMPLETE"
LINEAGE = "lineage.json"
CHECKPOINTS = "checkpoints"
MODEL = "model"
LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "zhongjing-feedback")


class CheckpointError(ValueError):
    """A folder that cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Lineage:
    """Where weights come from, enough to make them again.

    ``inputs`` maps what the run started from (snapshot, base, policy, reward, data) to path and sha256.
    """

    stage: str
    inputs: dict[str, dict[str, str]]
    config: dict[str, Any]
    step: int = 0
    versions: dict[str, str] = field(default_factory=lambda: {name: _version(name) for name in LIBRARIES})

    def write(self, folder: Path) -> None:
        """Writes lineage.json into the folder."""
        text = json.dumps(asdict(self), ensure_ascii=False, indent=2, sort_keys=True)
        (folder / LINEAGE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Lineage:
        """Reads lineage.json; raises CheckpointError where there is none."""
        if not (folder / LINEAGE).exists():
            raise CheckpointError(f"{folder} has no {LINEAGE}: it is not a checkpoint of this system.")
        return cls(**json.loads((folder / LINEAGE).read_text(encoding="utf-8")))


def is_complete(folder: Path) -> bool:
    """Whether the folder was written to its end."""
    return (folder / MARKER).exists()


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """Gives a folder to write into, which takes its name only when everything in it is on the disk."""
    aside = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    yield aside
    seal(aside, folder)


def seal(aside: Path, folder: Path) -> None:
    """Puts a folder that was written aside in its place, marked; replaces one that stood there."""
    for file in aside.rglob("*"):
        if file.is_file():
            _sync(file)
    (aside / MARKER).touch()
    _sync(aside / MARKER)
    _sync(aside)
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)
    _sync(folder.parent)


def step_folder(run: Path, step: int) -> Path:
    """Where the checkpoint of a step stands."""
    return run / CHECKPOINTS / f"step-{step:07d}"


def step_of(folder: Path) -> int:
    """The step of a checkpoint's folder."""
    return int(folder.name.removeprefix("step-"))


def complete_ones(run: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    return sorted(folder for folder in (run / CHECKPOINTS).glob("step-*") if is_complete(folder))


def sweep(run: Path) -> None:
    """Removes what a killed run left half-written."""
    for folder in (run / CHECKPOINTS).glob("*"):
        if folder.name.startswith(".") or not is_complete(folder):
            shutil.rmtree(folder, ignore_errors=True)


def rotate(run: Path, *, keep: int, best: Path | None) -> None:
    """Removes all but the newest ``keep`` checkpoints and the best."""
    for folder in complete_ones(run)[:-keep]:
        if folder != best:
            shutil.rmtree(folder)


def hash_folder(folder: Path) -> str:
    """The sha256 of what a model folder says: its weights, its configuration and its tokenizer, by name and content."""
    total = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.suffix in {".safetensors", ".json", ".jinja", ".model"} and file.name != LINEAGE:
            total.update(file.relative_to(folder).as_posix().encode() + b"\0" + bytes.fromhex(hash_file(file)))
    return total.hexdigest()


def require_same_base(adapter: Path, base: Path, base_sha256: str) -> None:
    """Raises CheckpointError where an adapter was trained on another base model, or with another tokenizer.

    ``base_sha256`` is what ``hash_folder`` gives for ``base``; its tokenizer is part of it. An adapter made elsewhere,
    which names no base, passes.
    """
    named = Lineage.read(adapter).inputs.get("base") if (adapter / LINEAGE).exists() else None
    if named is not None and named["sha256"] != base_sha256:
        raise CheckpointError(
            f"{adapter} was trained on the base {named['path']} (sha256 {named['sha256'][:12]}), and {base} is another "
            f"or has changed since (sha256 {base_sha256[:12]}): name the base that it was trained on."
        )


def trained_from(adapter: Path) -> Path | None:
    """The adapter whose training a policy went on with, as its lineage names it; None where it started as the base.

    Raises CheckpointError where that adapter is not there as it was.
    """
    named = Lineage.read(adapter).inputs.get("policy") if (adapter / LINEAGE).exists() else None
    if named is None:
        return None
    path = Path(named["path"])
    if not path.exists() or hash_folder(path) != named["sha256"]:
        raise CheckpointError(f"{adapter} was trained from {path}, which is not there as it was: put it back first.")
    return path


def hash_file(file: Path) -> str:
    """The sha256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
