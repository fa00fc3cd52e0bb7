"""Snapshots, for the admin's programs: frozen, listed, downloaded."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from annotation import snapshot as files
from annotation.refusals import Missing
from annotation.run_tables import Snapshot
from annotation.store import listing, snapshots
from app.api.paging import Cursor, Limit, Page, number_in, page_of
from app.deps import Admin, CampaignSeen, Data, Reading, SnapshotSeen, WebSettings

router = APIRouter(tags=["snapshots"])


class SnapshotShape(BaseModel):
    """All that a campaign had settled at one moment."""

    id: int
    campaign_id: int
    name: str
    sha256: str = Field(description="That of its manifest, which seals the files")
    counts: dict[str, Any]
    files: list[str]
    created_at: datetime


@router.get("/snapshots")
def list_snapshots(
    _user: Admin,
    session: Reading,
    campaign_id: Annotated[int | None, Query(description="Only those of this campaign")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[SnapshotShape]:
    """Every snapshot, newest first."""
    rows = listing.snapshots(session, campaign_id, number_in(cursor), limit + 1)
    return page_of(rows, limit, _shown, lambda row: (row.id,))


@router.post("/campaigns/{campaign_id}/snapshots", status_code=201)
def freeze(user: Admin, campaign: CampaignSeen, database: Data, settings: WebSettings) -> SnapshotShape:
    """Freeze what a campaign has settled."""
    snapshot_id = snapshots.freeze(database, campaign.id, settings.snapshots, actor_id=user.id)
    with database.reading() as session:
        return _shown(snapshots.get(session, snapshot_id))


@router.get("/snapshots/{snapshot_id}")
def get_snapshot(snapshot: SnapshotSeen) -> SnapshotShape:
    """One snapshot."""
    return _shown(snapshot)


@router.get(
    "/snapshots/{snapshot_id}/files/{name}",
    response_class=FileResponse,
    responses={200: {"content": {"application/octet-stream": {}}, "description": "The file"}},
)
def download(snapshot: SnapshotSeen, name: str) -> FileResponse:
    """One of its files."""
    if name not in files.held(Path(snapshot.folder)):
        raise Missing("This file does not exist.")
    return FileResponse(
        Path(snapshot.folder) / name, filename=f"{snapshot.name}-{name}", media_type="application/octet-stream"
    )


def _shown(snapshot: Snapshot) -> SnapshotShape:
    names = set(SnapshotShape.model_fields) - {"files"}
    return SnapshotShape(**{name: getattr(snapshot, name) for name in names}, files=files.held(Path(snapshot.folder)))
