"""Snapshots, for the admin's programs: frozen, listed, downloaded."""

from __future__ import annotations

import io
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from annotation import snapshot as files
from annotation.formats.unpacking import unpack
from annotation.formats.writing import formats
from annotation.refusals import Missing
from annotation.run_tables import Snapshot
from annotation.store import listing, restoring, snapshots
from annotation.tables import SettledBy
from app.api.campaigns import file_sent
from app.api.paging import Cursor, Limit, Page, number_in, page_of
from app.api.shapes import Words
from app.deps import Admin, CampaignSeen, Data, Reading, SnapshotSeen, WebSettings
from app.routes.snapshots import CACHE

router = APIRouter(tags=["snapshots"])


class SnapshotShape(BaseModel):
    """All that a campaign had settled at one moment."""

    id: int
    campaign_id: int
    name: str
    sha256: str = Field(description="That of its manifest, which seals the files")
    counts: dict[str, Any]
    files: list[str]
    formats: list[str] = Field(description="In which it can be downloaded as one archive")
    created_at: datetime


class Restored(BaseModel):
    """What an archive became."""

    campaign_id: int


class SnapshotPreview(BaseModel):
    """What a snapshot taken now would hold."""

    turns: int = Field(description="Settled turns, which are frozen")
    settled: dict[SettledBy, int] = Field(description="Of those, by how they were settled")
    left_out: int = Field(description="Turns that are not settled yet")


ARCHIVE_BODY = {
    "requestBody": {
        "required": True,
        "description": "The archive of a snapshot, as it was downloaded",
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    }
}


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


@router.get("/campaigns/{campaign_id}/snapshots/preview")
def preview(campaign: CampaignSeen, session: Reading) -> SnapshotPreview:
    """What a snapshot of a campaign would hold if it were frozen now."""
    found = snapshots.preview(session, campaign.id)
    return SnapshotPreview(turns=found.turns, settled=found.settled, left_out=found.left_out)


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


@router.get(
    "/snapshots/{snapshot_id}/formats/{name}",
    response_class=FileResponse,
    responses={200: {"content": {"application/zip": {}}, "description": "The files in one archive"}},
)
def download_as(snapshot: SnapshotSeen, name: str) -> FileResponse:
    """A snapshot in another format, as one archive."""
    folder = Path(snapshot.folder)
    packed = formats.packed(folder, name, folder.parent / CACHE / snapshots.code_version())
    return FileResponse(packed, filename=packed.name, media_type="application/zip")


@router.post("/snapshots/restore", status_code=201, openapi_extra=ARCHIVE_BODY)
def restore(
    user: Admin,
    database: Data,
    data: Annotated[bytes, Depends(file_sent)],
    name: Annotated[Words, Query(max_length=128, description="Of the campaign; left out: the one that it had")] = "",
) -> Restored:
    """Make a campaign of the archive of a snapshot, or nothing."""
    with tempfile.TemporaryDirectory(prefix="zhongjing-restore-") as folder:
        manifest = unpack(io.BytesIO(data), Path(folder))
        with database.writing() as session:
            campaign = restoring.restore(session, Path(folder), manifest, actor_id=user.id, name=name.strip())
            return Restored(campaign_id=campaign.id)


def _shown(snapshot: Snapshot) -> SnapshotShape:
    names = set(SnapshotShape.model_fields) - {"files", "formats"}
    facts = {name: getattr(snapshot, name) for name in names}
    return SnapshotShape(**facts, files=files.held(Path(snapshot.folder)), formats=list(formats.FORMATS))
