"""Who the token acts for, and with which tokens their programs come in."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from annotation.people_tables import Role
from annotation.store import tokens
from app.deps import CurrentUser, Reading, Writing

router = APIRouter(tags=["me"])


class TokenShape(BaseModel):
    """The token that was sent."""

    name: str
    may_write: bool = Field(description="Whether it may change something")
    expires_at: datetime


class OwnToken(TokenShape):
    """One of your access tokens; what a program sends is not kept, so it is not told."""

    id: int
    created_at: datetime
    used_at: datetime | None = Field(description="To the minute; null where it never was")
    revoked_at: datetime | None
    sent: bool = Field(description="Whether it is the one by which you ask")


class Me(BaseModel):
    """The person in whose name the program works."""

    id: int
    login: str
    name: str
    role: Role
    adjudicates: bool = Field(description="Whether the review queue is open to them")
    token: TokenShape


@router.get("/me")
def me(request: Request, user: CurrentUser) -> Me:
    """Whom the token acts for, and until when"""
    token = request.state.token
    shown = TokenShape(name=token.name, may_write=token.may_write, expires_at=token.expires_at)
    return Me(id=user.id, login=user.login, name=user.name, role=user.role, adjudicates=user.adjudicates, token=shown)


@router.get("/me/tokens")
def list_tokens(request: Request, user: CurrentUser, session: Reading) -> list[OwnToken]:
    """Your access tokens, newest first, those that have ended too"""
    names, sent = set(OwnToken.model_fields) - {"sent"}, request.state.token.id
    return [
        OwnToken(**{name: getattr(each, name) for name in names}, sent=each.id == sent)
        for each in tokens.of_user(session, user.id)
    ]


@router.delete("/me/tokens/{token_id}", status_code=204)
def revoke_token(token_id: int, user: CurrentUser, session: Writing) -> None:
    """End one of your access tokens

    A new one is made in the browser alone: a token that was stolen cannot outlive itself.
    """
    tokens.revoke(session, user, token_id)
