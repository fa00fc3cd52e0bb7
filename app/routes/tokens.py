"""One's own access tokens: made, shown once, revoked."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from annotation.store import tokens
from app.deps import CurrentUser, Reading, Writing
from app.render import page

router = APIRouter(prefix="/account/tokens")


@router.get("")
def list_tokens(request: Request, user: CurrentUser, session: Reading) -> HTMLResponse:
    """One's own tokens, newest first."""
    return _page(request, session, user.id)


@router.post("")
def create(
    request: Request,
    user: CurrentUser,
    session: Writing,
    name: Annotated[str, Form(max_length=64)],
    days: Annotated[int, Form()],
    may_write: Annotated[bool, Form()] = False,
) -> HTMLResponse:
    """Makes a token and shows it, this once."""
    _, secret = tokens.create(session, user, name, may_write=may_write, days=days)
    return _page(request, session, user.id, secret=secret)


@router.post("/{token_id}/revoke")
def revoke(token_id: int, user: CurrentUser, session: Writing) -> Response:
    """Ends a token."""
    tokens.revoke(session, user, token_id)
    return RedirectResponse("/account/tokens", status_code=303)


def _page(request: Request, session: Reading, user_id: int, secret: str | None = None) -> HTMLResponse:
    own = tokens.of_user(session, user_id)
    return page(request, "account/tokens.html", tokens=own, secret=secret, most_days=tokens.MOST_DAYS)
