"""The archive of a snapshot comes back: unpacked by the names it must hold, whole, and as it was sealed.

Nothing of what an archive says about itself is believed: neither names nor sizes.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Literal
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from annotation import snapshot
from annotation.refusals import Invalid
from annotation.review_policy import ReviewPolicy
from annotation.tables import PriorityRule

MOST_BYTES = 2 * 2**30
MOST_BYTES_OF_MANIFEST = 2**20
ENCRYPTED = 1
CHUNK = 1 << 20


class Seal(BaseModel):
    """What the manifest says about a file."""

    model_config = ConfigDict(extra="forbid")
    rows: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """The manifest of an archive that can be restored."""

    model_config = ConfigDict(extra="forbid", strict=False)
    format: Literal[2]
    campaign: str = Field(min_length=1, max_length=128)
    k: int = Field(ge=2, le=5)
    ties_allowed: bool
    priority_rule: PriorityRule
    rewrite_template: str
    review_policy: ReviewPolicy
    review_distance: int = Field(ge=0, le=10)
    audit_share: float = Field(ge=0, le=1)
    guideline_version: int = Field(ge=1)
    code_version: str
    files: dict[str, Seal]


def unpack(archive: BinaryIO, folder: Path) -> Manifest:
    """Unpacks an archive into an empty folder and checks its seals; raises Invalid where it is not whole."""
    try:
        with ZipFile(archive) as opened:
            for entry in _entries(opened):
                _copy(opened, entry, folder / entry.filename)
    except BadZipFile as error:
        raise Invalid("This file is no archive of a snapshot: choose the one that was downloaded as such.") from error
    return checked(folder)


def checked(folder: Path) -> Manifest:
    """The manifest of an unpacked archive; raises Invalid where it or any file is not what was sealed."""
    file = folder / snapshot.MANIFEST
    try:
        if file.stat().st_size > MOST_BYTES_OF_MANIFEST:
            raise Invalid("The manifest of the archive is too large to be one.")
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        found = Manifest.model_validate(manifest)
    except (OSError, ValueError, RecursionError) as error:
        where = _first_place(error) if isinstance(error, ValidationError) else snapshot.MANIFEST
        message = "The manifest of the archive is not one that this version can restore: see {where}."
        raise Invalid(message, where=where) from error
    if set(found.files) != set(snapshot.FILES):
        raise Invalid("The manifest of the archive names other files than a snapshot has.")
    broken = snapshot.broken_file(folder, manifest)
    if broken is not None:
        raise Invalid("{name} in the archive is not the file that was frozen: download the archive again.", name=broken)
    return found


def _entries(archive: ZipFile) -> list[ZipInfo]:
    """The files of the archive: those of a snapshot, each once, and nothing else."""
    entries = archive.infolist()
    wanted = {snapshot.MANIFEST, *snapshot.FILES}
    names = [entry.filename for entry in entries]
    if set(names) != wanted or len(names) != len(wanted):
        raise Invalid("An archive holds {names}, each once, and nothing else.", names=", ".join(sorted(wanted)))
    for entry in entries:
        if entry.flag_bits & ENCRYPTED or entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise Invalid("{name} in the archive is packed in a way that is not read here.", name=entry.filename)
    if sum(entry.file_size for entry in entries) > MOST_BYTES:
        raise Invalid("The archive would unpack to more than {most} MiB.", most=MOST_BYTES // 2**20)
    return entries


def _copy(archive: ZipFile, entry: ZipInfo, file: Path) -> None:
    """Unpacks one file, and no more of it than the archive announced."""
    left = entry.file_size
    try:
        with archive.open(entry) as content, file.open("wb") as target:
            while piece := content.read(CHUNK):
                left -= len(piece)
                if left < 0:
                    raise Invalid("{name} in the archive is larger than announced.", name=entry.filename)
                target.write(piece)
    except (BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        raise Invalid("{name} in the archive is damaged: download the archive again.", name=entry.filename) from error


def _first_place(error: ValidationError) -> str:
    return ".".join(map(str, error.errors()[0]["loc"])) or snapshot.MANIFEST
