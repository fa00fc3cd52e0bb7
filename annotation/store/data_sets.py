"""Registered files of rows: corpora, dialogues to learn from, prompts."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from annotation.refusals import Conflict, Missing
from annotation.run_tables import DataSet, DataSetKind, Run
from annotation.store import audit

MIXTURE = "mixture"
"""In a run's config: weight by the id of a data set."""


def every(session: Session, kind: DataSetKind | None = None) -> Sequence[DataSet]:
    """Registered data sets, newest first."""
    wanted = select(DataSet).order_by(DataSet.id.desc())
    return session.scalars(wanted if kind is None else wanted.where(DataSet.kind == kind)).all()


def get(session: Session, data_set_id: int) -> DataSet:
    """The data set; raises Missing."""
    found = session.get(DataSet, data_set_id)
    if found is None:
        raise Missing("This data set does not exist.")
    return found


def mixture_of(session: Session, run: Run) -> list[tuple[DataSet, float]]:
    """The data sets that a run learns from together, each with its weight; none where it takes one or none."""
    return [(get(session, int(number)), weight) for number, weight in run.config.get(MIXTURE, {}).items()]


def add(
    session: Session, name: str, kind: DataSetKind, path: str, sha256: str, rows: int, *, actor_id: int | None
) -> DataSet:
    """Registers a file; the same content under the same name is registered once, other content raises Conflict."""
    known = session.scalar(select(DataSet).where(DataSet.name == name))
    if known is not None:
        if known.sha256 == sha256 and known.kind is kind:
            return known
        raise Conflict("There is a data set named {name} with other content: choose another name.", name=name)
    data_set = DataSet(name=name, kind=kind, path=path, sha256=sha256, rows=rows)
    session.add(data_set)
    session.flush()
    audit.record(session, actor_id, "data set registered", f"data set {data_set.id}", sha256=sha256, rows=rows)
    return data_set
