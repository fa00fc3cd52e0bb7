"""Freezing campaigns, and what was frozen."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse

from annotation import snapshot as files
from annotation.refusals import Missing
from annotation.store import campaigns, snapshots
from app.deps import Admin, CampaignSeen, Data, Reading, SnapshotSeen, WebSettings
from app.render import page

router = APIRouter(prefix="/admin/snapshots")

DOWNLOADS = (files.MANIFEST, files.TURNS, files.RANKINGS)


@router.get("")
def list_snapshots(request: Request, _user: Admin, session: Reading) -> HTMLResponse:
    """Every snapshot, newest first."""
    return page(request, "admin/snapshots.html", snapshots=snapshots.every(session), campaigns=campaigns.every(session))


@router.post("/freeze/{campaign_id}")
def freeze(user: Admin, campaign: CampaignSeen, database: Data, settings: WebSettings) -> Response:
    """Freezes what the campaign has settled."""
    snapshot_id = snapshots.freeze(database, campaign.id, settings.snapshots, actor_id=user.id)
    return RedirectResponse(f"/admin/snapshots/{snapshot_id}", status_code=303)


@router.get("/{snapshot_id}")
def show(request: Request, snapshot: SnapshotSeen) -> HTMLResponse:
    """What a snapshot holds."""
    return page(request, "admin/snapshot.html", snapshot=snapshot, downloads=DOWNLOADS)


@router.get("/{snapshot_id}/files/{name}")
def download(snapshot: SnapshotSeen, name: str) -> FileResponse:
    """One of its files; the name is looked up, never followed."""
    if name not in DOWNLOADS:
        raise Missing("This file does not exist.")
    return FileResponse(Path(snapshot.folder) / name, filename=f"{snapshot.name}-{name}")
