"""Tables for a spreadsheet, in which no cell is ever taken for a formula."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from annotation.abilities import Ability
from annotation.formats.writing.source import Preference, Row, Source
from annotation.ranking import LETTERS, format_order

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""With which a program may begin to calculate; some take the full-width signs for the same."""


def write(source: Source, folder: Path) -> None:
    """One table with a row a pair, one with a row a ranking, one with a row a vote."""
    _write_table(folder / "pairs.csv", map(pair_row, source.preferences()), PAIR_COLUMNS)
    _write_table(folder / "rankings.csv", map(ranking_row, source.rankings()), RANKING_COLUMNS)
    _write_table(folder / "reviews.csv", map(review_row, source.reviews()), REVIEW_COLUMNS)


PAIR_COLUMNS = (
    *("dialogue", "number", "split", "department", "in_distribution", "safety", "history", "message"),
    *("better", "worse", "chosen", "rejected", "ability", "ability_name", "strength", "provenance"),
)
RANKING_COLUMNS = (
    *("dialogue", "number", "annotator", "purpose", "outcome", "counts", "late", "version", "order", "abilities"),
    *("strengths", "marks", "reason", "note", "active_seconds", "submitted_at", "guideline_version"),
)
REVIEW_COLUMNS = (
    *("dialogue", "number", "adjudicator", "kind", "answers", "suggestions_hidden", "unlocked_because"),
    *("opened_at", "decided_at"),
)


def pair_row(preference: Preference) -> Row:
    """A preference as a row of cells."""
    turn, pair = preference.turn, preference.pair
    ability = pair["ability"]
    return {
        **{key: turn[key] for key in PAIR_COLUMNS[:6]},
        "history": "\n".join(f"患者：{patient}\n医生：{doctor}" for patient, doctor in turn["history"]),
        "message": turn["message"],
        "better": _letter(preference.better, turn),
        "worse": _letter(preference.worse, turn),
        "chosen": preference.chosen,
        "rejected": preference.rejected,
        "ability": ability,
        "ability_name": ability and Ability(ability).name.lower().replace("_", " "),
        "strength": pair.get("strength"),
        "provenance": pair["provenance"],
    }


def ranking_row(ranking: Row) -> Row:
    """What one annotator said, as a row of cells."""
    return {
        **{key: ranking.get(key) for key in RANKING_COLUMNS},
        "order": format_order(tuple(map(tuple, ranking["groups"]))),
        "abilities": _joined(boundary["ability"] for boundary in ranking["boundaries"]),
        "strengths": _joined(boundary["strength"] for boundary in ranking["boundaries"]),
        "marks": "; ".join(f"{LETTERS[int(r)]}: {_joined(marks)}" for r, marks in ranking["marks"].items()),
    }


def review_row(review: Row) -> Row:
    """What one adjudicator decided, as a row of cells."""
    said = review["decisions"]
    answers = said.get("answers", [])
    return {
        **{key: review.get(key) for key in REVIEW_COLUMNS},
        "answers": "; ".join(f"{LETTERS[a['pair'][0]]} {a['relation']} {LETTERS[a['pair'][1]]}" for a in answers),
        "suggestions_hidden": sum(bool(answer.get("suggestion_hidden")) for answer in answers),
        "unlocked_because": said.get("unlocked_because"),
    }


def guarded(cell: Any) -> Any:
    """The cell; a text that a spreadsheet could take for a formula is put behind an apostrophe."""
    if isinstance(cell, str) and cell.lstrip(" ").startswith(FORMULA_SIGNS):
        return f"'{cell}"
    return "" if cell is None else cell


def _write_table(file: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """A byte order mark goes first, by which spreadsheets know that the text is in UTF-8."""
    with file.open("w", encoding="utf-8-sig", newline="") as cells:
        table = csv.writer(cells)
        table.writerow(columns)
        table.writerows([guarded(row[column]) for column in columns] for row in rows)


def _letter(number: int, turn: Row) -> str:
    return LETTERS[number] if number < len(turn["responses"]) else "rewrite"


def _joined(values: Iterable[Any]) -> str:
    return ", ".join("" if value is None else str(value) for value in values)
