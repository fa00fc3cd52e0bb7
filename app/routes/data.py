"""Models and data sets: what runs start from."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response, UploadFile
from fastapi.responses import HTMLResponse, RedirectResponse

from annotation.run_tables import DataSetKind
from annotation.store import data_sets, runs
from app import registering
from app.deps import Admin, Reading, WebSettings, Writing
from app.render import page

router = APIRouter(prefix="/admin")


@router.get("/models")
def list_models(request: Request, _user: Admin, session: Reading) -> HTMLResponse:
    """Every model, newest first."""
    return page(request, "admin/models.html", models=runs.checkpoints(session))


@router.get("/data-sets")
def list_data_sets(request: Request, _user: Admin, session: Reading) -> HTMLResponse:
    """Every registered data set."""
    return page(request, "admin/data_sets.html", data_sets=data_sets.every(session), kinds=list(DataSetKind))


@router.post("/data-sets")
def register(
    user: Admin,
    session: Writing,
    settings: WebSettings,
    file: UploadFile,
    name: Annotated[str, Form()],
    kind: Annotated[DataSetKind, Form()],
) -> Response:
    """Keeps a file of rows under its hash."""
    kept = registering.keep_data(settings.data_sets, name, file.file.read(), kind)
    data_sets.add(session, name, kind, str(kept.path), kept.sha256, kept.rows, actor_id=user.id)
    return RedirectResponse("/admin/data-sets", status_code=303)
