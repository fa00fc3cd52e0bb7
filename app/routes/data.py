"""Models and data sets: what runs start from."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response, UploadFile
from fastapi.responses import HTMLResponse, RedirectResponse

from annotation.refusals import Invalid
from annotation.run_tables import DataSetKind
from annotation.store import data_sets, runs
from app.deps import Admin, Reading, WebSettings, Writing
from app.render import page

router = APIRouter(prefix="/admin")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


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
    if not NAME.fullmatch(name):
        raise Invalid("A name has letters, digits, dots, dashes and underscores, 64 at most.")
    data = file.file.read()
    rows = check_rows(data, kind)
    sha256 = hashlib.sha256(data).hexdigest()
    path = keep(settings.data_sets, sha256, data)
    data_sets.add(session, name, kind, str(path), sha256, rows, actor_id=user.id)
    return RedirectResponse("/admin/data-sets", status_code=303)


def check_rows(data: bytes, kind: DataSetKind) -> int:
    """How many rows a file has; raises Invalid naming the first line that is not one of its kind."""
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise Invalid("The file is not in UTF-8: save it so.") from error
    count = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if not _fits(line, kind):
            wanted = {
                DataSetKind.CORPUS: '{"text": "…"} or {"messages": […]}',
                DataSetKind.DIALOGUES: '{"messages": […]}, the assistant last',
                DataSetKind.PROMPTS: '{"messages": […]}, the user last',
            }[kind]
            raise Invalid("Line {line}: {wanted} was expected.", line=number, wanted=wanted)
        count += 1
    if not count:
        raise Invalid("The file has no rows.")
    return count


def keep(folder: Path, sha256: str, data: bytes) -> Path:
    """Writes a file under the name of its hash."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{sha256}.jsonl"
    path.write_bytes(data)
    return path


def _fits(line: str, kind: DataSetKind) -> bool:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return False
    if not isinstance(row, dict):
        return False
    if kind is DataSetKind.CORPUS and isinstance(row.get("text"), str):
        return True
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages:
        return False
    if not all(_is_message(message) for message in messages):
        return False
    return bool(messages[-1]["role"] == ("user" if kind is DataSetKind.PROMPTS else "assistant"))


def _is_message(message: Any) -> bool:
    return isinstance(message, dict) and all(isinstance(message.get(key), str) for key in ("role", "content"))
