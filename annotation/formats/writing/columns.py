"""The rows of a snapshot as columns of a fixed type, for Parquet and Arrow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import pyarrow as pa

from annotation.formats.writing.source import Preference, Row, answer, prompt
from annotation.formats.writing.trl import ranks

BATCH = 1000
CHAT = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
TURN_NAMED = [("dialogue", pa.string()), ("number", pa.int32())]
TURN_KIND = [("department", pa.string()), ("in_distribution", pa.bool_()), ("safety", pa.bool_())]

PAIRS = pa.schema([
    *(("prompt", CHAT), ("chosen", CHAT), ("rejected", CHAT)),
    *TURN_NAMED,
    *(("better", pa.int8()), ("worse", pa.int8()), ("ability", pa.int8())),
    *(("strength", pa.string()), ("provenance", pa.string()), ("split", pa.string())),
    *TURN_KIND,
])  # fmt: skip
TURNS = pa.schema([
    *TURN_NAMED,
    *(("split", pa.string()), ("source", pa.string())),
    *TURN_KIND,
    ("prompt", CHAT),
    ("responses", pa.list_(pa.struct([("text", pa.string()), ("model", pa.string()), ("sampling", pa.string())]))),
    *(("rewrite", pa.string()), ("settled_by", pa.string()), ("settled_at", pa.string()), ("order", pa.string())),
    *(("ranks", pa.list_(pa.int8())), ("unlocked_because", pa.string())),
])  # fmt: skip
RANKINGS = pa.schema([
    *TURN_NAMED,
    *(("annotator", pa.string()), ("purpose", pa.string()), ("outcome", pa.string()), ("reason", pa.string())),
    *(("version", pa.int32()), ("counts", pa.bool_()), ("late", pa.bool_()), ("guideline_version", pa.int32())),
    ("groups", pa.list_(pa.list_(pa.int8()))),
    ("boundaries", pa.list_(pa.struct([("ability", pa.int8()), ("strength", pa.string())]))),
    ("marks", pa.list_(pa.struct([("response", pa.int8()), ("abilities", pa.list_(pa.int8()))]))),
    *(("shown_order", pa.list_(pa.int8())), ("active_seconds", pa.float64()), ("note", pa.string())),
    *(("given_at", pa.string()), ("submitted_at", pa.string()), ("selection_probability", pa.float64())),
])  # fmt: skip
REVIEWS = pa.schema([
    *TURN_NAMED,
    *(("adjudicator", pa.string()), ("kind", pa.string()), ("annotators", pa.list_(pa.string()))),
    *(("decisions", pa.string()), ("result", pa.string())),
    *(("opened_at", pa.string()), ("decided_at", pa.string()), ("rewritten_at", pa.string())),
])  # fmt: skip


def batches(
    rows: Iterable[Any], schema: pa.Schema, as_columns: Callable[[Any], dict[str, Any]]
) -> Iterator[pa.RecordBatch]:
    """The rows, some at a time, as columns of the schema; a field that a row lacks is null."""
    rest = iter(rows)
    while some := [as_columns(row) for row in islice(rest, BATCH)]:
        yield pa.RecordBatch.from_pylist(some, schema=schema)


def pair(preference: Preference) -> dict[str, Any]:
    """A row of PAIRS."""
    return {
        **preference.turn,
        **preference.pair,
        "prompt": prompt(preference.turn),
        "chosen": [answer(preference.chosen)],
        "rejected": [answer(preference.rejected)],
    }


def turn(row: Row) -> dict[str, Any]:
    """A row of TURNS; how a response was sampled is JSON."""
    responses = [{**each, "sampling": _json(each["sampling"])} for each in row["responses"]]
    return {**row, "prompt": prompt(row), "responses": responses, "ranks": ranks(row["order"])}


def ranking(row: Row) -> dict[str, Any]:
    """A row of RANKINGS."""
    return {**row, "marks": [{"response": int(r), "abilities": marks} for r, marks in row["marks"].items()]}


def review(row: Row) -> dict[str, Any]:
    """A row of REVIEWS; what was asked and answered is JSON."""
    return {**row, "decisions": _json(row["decisions"]), "result": _json(row["result"])}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
