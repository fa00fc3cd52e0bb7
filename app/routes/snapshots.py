"""Freezing campaigns, what was frozen, taking it away in other formats, and bringing it back."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response, UploadFile
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse

from annotation import snapshot as files
from annotation.formats.unpacking import unpack
from annotation.formats.writing import formats
from annotation.refusals import Missing
from annotation.store import campaigns, restoring, snapshots
from app.deps import Admin, CampaignSeen, Data, Reading, SnapshotSeen, WebSettings
from app.render import page

router = APIRouter(prefix="/admin/snapshots")

CACHE = "exports"


@router.get("")
def list_snapshots(request: Request, _user: Admin, session: Reading) -> HTMLResponse:
    """Every snapshot, newest first."""
    return page(request, "admin/snapshots.html", snapshots=snapshots.every(session), campaigns=campaigns.every(session))


@router.get("/freeze/{campaign_id}")
def confirm(request: Request, campaign: CampaignSeen, session: Reading) -> HTMLResponse:
    """What a snapshot taken now would hold, before it is made for good."""
    preview = snapshots.preview(session, campaign.id)
    return page(request, "admin/freeze.html", campaign=campaign, preview=preview)


@router.post("/freeze/{campaign_id}")
def freeze(user: Admin, campaign: CampaignSeen, database: Data, settings: WebSettings) -> Response:
    """Freezes what the campaign has settled."""
    snapshot_id = snapshots.freeze(database, campaign.id, settings.snapshots, actor_id=user.id)
    return RedirectResponse(f"/admin/snapshots/{snapshot_id}", status_code=303)


@router.get("/restore")
def choose_archive(request: Request, _user: Admin) -> HTMLResponse:
    """Where an archive is chosen."""
    return page(request, "admin/restore.html")


@router.post("/restore")
def restore(user: Admin, database: Data, file: UploadFile, name: Annotated[str, Form(max_length=128)] = "") -> Response:
    """Makes a campaign of the archive of a snapshot, or nothing."""
    with tempfile.TemporaryDirectory(prefix="zhongjing-restore-") as folder:
        manifest = unpack(file.file, Path(folder))
        with database.writing() as session:
            campaign = restoring.restore(session, Path(folder), manifest, actor_id=user.id, name=name.strip())
    return RedirectResponse(f"/admin/campaigns/{campaign.id}", status_code=303)


@router.get("/{snapshot_id}")
def show(request: Request, snapshot: SnapshotSeen) -> HTMLResponse:
    """What a snapshot holds."""
    downloads = files.held(Path(snapshot.folder))
    return page(request, "admin/snapshot.html", snapshot=snapshot, downloads=downloads, formats=formats.FORMATS)


@router.get("/{snapshot_id}/files/{name}")
def download(snapshot: SnapshotSeen, name: str) -> FileResponse:
    """One of its files; the name is looked up, never followed."""
    if name not in files.held(Path(snapshot.folder)):
        raise Missing("This file does not exist.")
    return FileResponse(Path(snapshot.folder) / name, filename=f"{snapshot.name}-{name}")


@router.get("/{snapshot_id}/formats/{name}")
def download_as(snapshot: SnapshotSeen, name: str) -> FileResponse:
    """The snapshot in another format, as one zip that is made once and kept beside the snapshots."""
    folder = Path(snapshot.folder)
    packed = formats.packed(folder, name, folder.parent / CACHE / snapshots.code_version())
    return FileResponse(packed, filename=packed.name, media_type="application/zip")
