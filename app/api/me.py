"""Who the token acts for."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from annotation.people_tables import Role
from app.deps import CurrentUser

router = APIRouter(tags=["me"])


class TokenShape(BaseModel):
    """The token that was sent."""

    name: str
    may_write: bool = Field(description="Whether it may change something")
    expires_at: datetime


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
