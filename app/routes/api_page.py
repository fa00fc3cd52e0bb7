"""What programs can do here, for people to read; drawn from the same description that programs read."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from app.api.document import REFUSALS, TAGS, document_of
from app.api.listed import groups, shapes
from app.deps import CurrentUser
from app.render import page

router = APIRouter()


@router.get("/api")
def show(request: Request, _user: CurrentUser) -> HTMLResponse:
    """Every operation by group, and every object that is sent or answered."""
    document = document_of(request.app.state.api)
    return page(
        request,
        "account/api.html",
        groups=groups(document),
        shapes=shapes(document),
        about=TAGS,
        refusals=REFUSALS,
        version=document["info"]["version"],
    )
