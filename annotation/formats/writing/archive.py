"""A snapshot as one file that comes back in unchanged, and any folder of files as one to take away."""

from __future__ import annotations

import shutil
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from annotation.formats.writing.source import Source
from annotation.snapshot import MANIFEST

BEGINNING_OF_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip can say: the same files make the same archive, whenever it is made."""


def write(source: Source, folder: Path) -> None:
    """The files of the snapshot as they are."""
    for name in (*source.manifest["files"], MANIFEST):
        shutil.copyfile(source.folder / name, folder / name)


def pack(folder: Path, file: Path) -> Path:
    """Packs a folder, piece by piece, into a zip that depends on nothing but its content, and returns the zip."""
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        for each in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = ZipInfo(each.relative_to(folder).as_posix(), BEGINNING_OF_TIME)
            entry.compress_type, entry.external_attr = ZIP_DEFLATED, 0o644 << 16
            with each.open("rb") as content, archive.open(entry, "w", force_zip64=True) as target:
                shutil.copyfileobj(content, target, 1 << 20)
    return file
