"""Freezing a campaign: a folder of files that says all of what was settled, and a manifest that seals it.

The folder is the only way rankings take into the training. docs/formats.md describes it; the same rows frozen twice
give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 2
MANIFEST = "manifest.json"
TURNS, RANKINGS, REVIEWS, GUIDELINES = "turns.jsonl", "rankings.jsonl", "reviews.jsonl", "guidelines.jsonl"
FILES = (TURNS, RANKINGS, REVIEWS, GUIDELINES)
CHUNK = 1 << 20

VALIDATION_SHARE = REPORT_SHARE = 0.1
SPLITS = ("train", "validation", "report")


@dataclass
class FileSeal:
    """A file being written, with what the manifest will say about it."""

    rows: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class Frozen:
    """A finished snapshot folder."""

    folder: Path
    sha256: str
    manifest: dict[str, Any] = field(repr=False)


def split_of(dialogue: str) -> str:
    """Which part of the data a dialogue belongs to: a tenth validates, a tenth reports, the rest trains.

    It depends on the dialogue's name alone, so it is the same in every snapshot, and all its turns stay together.
    """
    position = int.from_bytes(hashlib.sha256(f"split:{dialogue}".encode()).digest()[:8]) / 2**64
    if position < VALIDATION_SHARE:
        return "validation"
    return "report" if position < VALIDATION_SHARE + REPORT_SHARE else "train"


def write(folder: Path, about: dict[str, Any], rows: Iterable[tuple[str, dict[str, Any]]]) -> Frozen:
    """Writes (file name, row) pairs into a new folder, row by row, and the manifest last.

    The folder appears under its name only when it is complete. Raises FileExistsError where there is one already.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} exists already: a snapshot is never overwritten.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.", ignore_cleanup_errors=True) as aside:
        return _write_aside(Path(aside) / folder.name, folder, about, rows)


def _write_aside(
    aside: Path, folder: Path, about: dict[str, Any], rows: Iterable[tuple[str, dict[str, Any]]]
) -> Frozen:
    aside.mkdir()
    seals = _write_files(aside, rows)
    manifest = {
        "format": FORMAT,
        **about,
        "files": {name: {"rows": seal.rows, "sha256": seal.sha256} for name, seal in sorted(seals.items())},
    }
    content = json.dumps(manifest, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    (aside / MANIFEST).write_text(content, encoding="utf-8")
    _sync(aside / MANIFEST)
    try:
        aside.rename(folder)
    except OSError as error:  # somebody else wrote it in the meantime
        raise FileExistsError(f"{folder} exists already: a snapshot is never overwritten.") from error
    _sync(folder.parent)
    return Frozen(folder, hashlib.sha256(content.encode()).hexdigest(), manifest)


def _write_files(folder: Path, rows: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, FileSeal]:
    files = {name: (folder / name).open("wb") for name in FILES}
    try:
        seals = seal(rows, {name: file.write for name, file in files.items()})
    finally:
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
            file.close()
    return seals


def seal(rows: Iterable[tuple[str, dict[str, Any]]], write_to: dict[str, Any] | None = None) -> dict[str, FileSeal]:
    """What the manifest says about these rows; each file's lines go to its function in ``write_to``, if given."""
    hashes = {name: hashlib.sha256() for name in FILES}
    seals = {name: FileSeal() for name in FILES}
    encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode
    for name, row in rows:
        line = (encode(row) + "\n").encode()
        hashes[name].update(line)
        seals[name].rows += 1
        if write_to is not None:
            write_to[name](line)
    for name in FILES:
        seals[name].sha256 = hashes[name].hexdigest()
    return seals


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def held(folder: Path) -> list[str]:
    """The names of the files in a snapshot's folder: older ones hold fewer."""
    return [name for name in (MANIFEST, *FILES) if (folder / name).is_file()]


def read_manifest(folder: Path) -> dict[str, Any]:
    """What the manifest says."""
    found: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return found


def broken_file(folder: Path, manifest: dict[str, Any]) -> str | None:
    """The name of the first file that is not what the manifest sealed; None where the folder is whole."""
    for name, sealed in sorted(manifest["files"].items()):
        file = folder / name
        if not file.is_file() or hash_file(file) != sealed["sha256"]:
            return str(name)
    return None


def hash_file(file: Path) -> str:
    """The sha256 of a file, read in pieces."""
    found = hashlib.sha256()
    with file.open("rb") as content:
        while piece := content.read(CHUNK):
            found.update(piece)
    return found.hexdigest()


def read_rows(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of one of the files. Only a newline ends a line: a text may hold other separators (U+2028)."""
    with file.open(encoding="utf-8", newline="\n") as lines:
        yield from map(json.loads, lines)
