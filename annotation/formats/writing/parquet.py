"""The snapshot as Parquet: a file of pairs, of turns, of rankings and of votes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
from pyarrow.parquet import ParquetWriter

from annotation.formats.writing import columns
from annotation.formats.writing.source import Source


def write(source: Source, folder: Path) -> None:
    """Four files, written some rows at a time."""
    write_file(
        folder / "pairs.parquet", columns.PAIRS, columns.batches(source.preferences(), columns.PAIRS, columns.pair)
    )
    write_file(folder / "turns.parquet", columns.TURNS, columns.batches(source.turns(), columns.TURNS, columns.turn))
    write_file(
        folder / "rankings.parquet",
        columns.RANKINGS,
        columns.batches(source.rankings(), columns.RANKINGS, columns.ranking),
    )
    write_file(
        folder / "reviews.parquet", columns.REVIEWS, columns.batches(source.reviews(), columns.REVIEWS, columns.review)
    )


def write_file(file: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """One file."""
    with ParquetWriter(file, schema, compression="zstd") as table:
        for batch in batches:
            table.write_batch(batch)
