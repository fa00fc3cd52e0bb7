"""From the form of a run to the data sets that it learns from together, each with its weight."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.orm import Session

from annotation.refusals import Invalid
from annotation.run_tables import DataSetKind
from annotation.store import data_sets

MIXED = (DataSetKind.CORPUS, DataSetKind.DIALOGUES)
"""Kinds of data sets of which a run may take several."""


def told(session: Session, kind: DataSetKind | None, values: Mapping[str, str]) -> dict[str, float]:
    """Weight by the id of a data set, as a row keeps it; empty where no weight is given. Raises Invalid."""
    found: dict[str, float] = {}
    for each in reversed(data_sets.every(session, kind)):
        text = values.get(f"weight-{each.id}", "").strip()
        if text:
            found[str(each.id)] = _weight(text, each.name)
    return found


def _weight(text: str, name: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = 0.0
    if not 0 < weight < float("inf"):
        raise Invalid("The weight of {name} has to be a number above 0.", name=name)
    return weight
