"""The pairs as a folder for ``datasets.load_from_disk``, with a card that says what they are.

The folder is laid out as ``datasets`` saves it: a list of the parts, and for each an Arrow stream with two small files
beside it. So it is made without importing ``datasets``, which would bring torch into the web.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from annotation.formats.writing import card, columns
from annotation.formats.writing.lines import write_object
from annotation.formats.writing.source import Source
from annotation.snapshot import SPLITS, TURNS

STREAM = "data-00000-of-00001.arrow"


def write(source: Source, folder: Path) -> None:
    """The parts train, validation and report, and the card."""
    write_object(folder / "dataset_dict.json", {"splits": list(SPLITS)})
    for split in SPLITS:
        _write_part(source, folder / split, split)
    (folder / "README.md").write_text(card.of(source), encoding="utf-8")


def _write_part(source: Source, folder: Path, split: str) -> None:
    folder.mkdir()
    rows = columns.batches(source.preferences(split), columns.PAIRS, columns.pair)
    with (folder / STREAM).open("wb") as file, pa.ipc.new_stream(file, columns.PAIRS) as stream:
        for batch in rows:
            stream.write_batch(batch)
    write_object(folder / "dataset_info.json", {"description": f"Snapshot of {source.manifest['campaign']}"})
    write_object(
        folder / "state.json",
        {
            "_data_files": [{"filename": STREAM}],
            "_fingerprint": f"{source.manifest['files'][TURNS]['sha256'][:12]}{SPLITS.index(split):04d}",
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": split,
        },
    )
