"""Importing dialogues: every problem at once, and nothing until they are mended or skipped."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, UploadFile
from fastapi.responses import HTMLResponse

from annotation.formats.reading import read_file
from annotation.formats.rows import Problem, Reading
from annotation.store import campaigns, foreign_rankings, imports
from annotation.store.imports import Imported
from annotation.tables import Campaign
from app.deps import Admin, CampaignSeen, Data
from app.render import page

router = APIRouter(prefix="/admin/campaigns")


@router.get("/{campaign_id}/import")
def show(request: Request, campaign: CampaignSeen) -> HTMLResponse:
    """Where a file is chosen."""
    return _page(request, campaign)


@router.post("/{campaign_id}/import")
def upload(
    request: Request,
    user: Admin,
    campaign: CampaignSeen,
    database: Data,
    file: UploadFile,
    seed: Annotated[int, Form(ge=0)] = 0,
    skip: Annotated[bool, Form()] = False,
) -> HTMLResponse:
    """Reads the file and adds what is new; with problems only if they are to be skipped."""
    reading = read_file(file.file.read(), k=campaign.k, seed=seed)
    if reading.problems and not skip:
        return _page(request, campaign, reading=reading, problems=reading.problems, status=422)
    with database.writing() as session:
        found = campaigns.get(session, campaign.id)
        done = imports.add(session, found, reading.dialogues, source=file.filename or "upload", actor_id=user.id)
    if done.problems:
        return _page(request, campaign, reading=reading, problems=done.problems, status=422)
    return _page(request, campaign, reading=reading, done=done, skipped=reading.problems)


@router.get("/{campaign_id}/import/rankings")
def show_rankings(request: Request, campaign: CampaignSeen) -> HTMLResponse:
    """Where a table of the RLHF-Label-Tool is chosen."""
    return page(request, "admin/import_rankings.html", campaign=campaign, done=None, problems=[])


@router.post("/{campaign_id}/import/rankings")
def upload_rankings(
    request: Request,
    user: Admin,
    campaign: CampaignSeen,
    database: Data,
    file: UploadFile,
    annotator: Annotated[str, Form()],
    asked: UploadFile | None = None,
    mend: Annotated[bool, Form()] = False,
) -> HTMLResponse:
    """Adds the rankings of a table, mended or as it says, or nothing of it."""
    done = foreign_rankings.bring(
        database,
        campaign,
        file.file.read(),
        asked.file.read() if asked else b"",
        annotator=annotator,
        mend=mend,
        source=file.filename or "upload",
        actor_id=user.id,
    )
    status = 422 if done.problems else 200
    return page(
        request,
        "admin/import_rankings.html",
        status=status,
        campaign=campaign,
        done=done,
        problems=done.problems,
    )


def _page(
    request: Request,
    campaign: Campaign,
    *,
    reading: Reading | None = None,
    done: Imported | None = None,
    problems: list[Problem] | None = None,
    skipped: list[Problem] | None = None,
    status: int = 200,
) -> HTMLResponse:
    return page(
        request,
        "admin/import.html",
        status=status,
        campaign=campaign,
        reading=reading,
        done=done,
        problems=problems or [],
        skipped=skipped or [],
    )
