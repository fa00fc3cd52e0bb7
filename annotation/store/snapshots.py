"""Snapshots: what a campaign has settled, frozen as a folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from annotation import snapshot
from annotation.db import Database
from annotation.outside_tables import Event
from annotation.refusals import Conflict, Missing
from annotation.run_tables import Snapshot
from annotation.store import audit, campaigns, frozen_rows, hooks, pseudonyms
from annotation.tables import SettledBy, Turn, TurnState


@dataclass(frozen=True)
class Preview:
    """What a snapshot taken now would hold: settled turns by how they were settled, and the turns it leaves out."""

    settled: dict[SettledBy, int]
    left_out: int

    @property
    def turns(self) -> int:
        """All turns that would be frozen."""
        return sum(self.settled.values())


def every(session: Session, campaign_id: int | None = None) -> Sequence[Snapshot]:
    """All snapshots, or those of one campaign, newest first."""
    wanted = select(Snapshot).order_by(Snapshot.id.desc())
    return session.scalars(wanted if campaign_id is None else wanted.where(Snapshot.campaign_id == campaign_id)).all()


def get(session: Session, snapshot_id: int) -> Snapshot:
    """The snapshot; raises Missing."""
    found = session.get(Snapshot, snapshot_id)
    if found is None:
        raise Missing("This snapshot does not exist.")
    return found


def named(session: Session, name: str) -> Snapshot:
    """The snapshot with this name; raises Missing."""
    found = session.scalar(select(Snapshot).where(Snapshot.name == name))
    if found is None:
        raise Missing("There is no snapshot named {name}.", name=name)
    return found


def preview(session: Session, campaign_id: int) -> Preview:
    """What freezing the campaign now would keep."""
    of_campaign = select(Turn.settled_by, func.count()).where(*frozen_rows.settled(campaign_id))
    settled = {how: number for how, number in session.execute(of_campaign.group_by(Turn.settled_by)) if how}
    others = select(func.count(Turn.id)).where(
        Turn.campaign_id == campaign_id, Turn.state.not_in((TurnState.SETTLED, TurnState.WITHDRAWN))
    )
    return Preview(settled, session.scalar(others) or 0)


def freeze(database: Database, campaign_id: int, root: Path, *, actor_id: int | None) -> int:
    """Writes all that the campaign has settled to a new folder under ``root`` and returns the snapshot's id.

    Everything is read in one transaction, so the folder shows one moment; raises Conflict where nothing is settled.
    """
    with _one_moment(database, campaign_id) as session:
        campaign = campaigns.get(session, campaign_id)
        name = _free_name(session, campaign_id, root)
        counts: Counter[str] = Counter(pairs=0, ties=0)
        guideline = campaigns.guideline(session, campaign_id)
        about = frozen_rows.about(campaign, guideline.version, code_version())
        if session.scalar(select(Turn.id).where(*frozen_rows.settled(campaign_id)).limit(1)) is None:
            raise Conflict("No turn is settled yet, so there is nothing to freeze.")
        rows = frozen_rows.rows(session, campaign, pseudonyms.names(session, campaign_id), counts)
        try:
            frozen = snapshot.write(root / name, about, rows)
        except FileExistsError as error:
            raise Conflict("Somebody else freezes this campaign at this moment: look at its snapshots.") from error
    with database.writing() as session:
        row = Snapshot(
            campaign_id=campaign_id,
            name=name,
            folder=str(frozen.folder),
            sha256=frozen.sha256,
            counts=dict(sorted(counts.items())),
            created_by_id=actor_id,
        )
        session.add(row)
        session.flush()
        hooks.tell(session, Event.SNAPSHOT_FROZEN, campaign_id=campaign_id, snapshot_id=row.id, sha256=row.sha256)
        audit.record(session, actor_id, "snapshot frozen", f"snapshot {row.id}", sha256=frozen.sha256, **row.counts)
        return row.id


@contextmanager
def _one_moment(database: Database, campaign_id: int) -> Iterator[Session]:
    """A transaction that only looks, at a moment at which everybody has a pseudonym."""
    while True:
        with database.writing() as session:
            campaigns.get(session, campaign_id)
            pseudonyms.draw(session, campaign_id)
        with database.reading() as session:
            if not pseudonyms.unnamed(session, campaign_id):  # else somebody came in between
                yield session
                return


def _free_name(session: Session, campaign_id: int, root: Path) -> str:
    """The next number that neither a snapshot has nor a folder that a crash left behind."""
    known = {snapshot.name for snapshot in every(session, campaign_id)}
    names = (f"{campaign_id}-{number}" for number in count(len(known) + 1))
    return next(name for name in names if name not in known and not (root / name).exists())


def code_version() -> str:
    """The version of this software, for the manifest."""
    try:
        return version("zhongjing-feedback")
    except PackageNotFoundError:
        return "unknown"
