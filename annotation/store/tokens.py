"""Access tokens: with which programs act as the person who made them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from annotation.db import utcnow
from annotation.outside_tables import AccessToken
from annotation.people_tables import User, UserState
from annotation.refusals import Invalid, Missing
from annotation.store import audit
from annotation.store.people import FAILURES_FROM_AN_ADDRESS, FAILURES_OF_ALL, hash_token

PREFIX = "zj_"
LENGTH = len(PREFIX) + 43
MOST_DAYS = 365
USED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class TokenAttempt:
    """A token that opened nothing, and the address that it came from; counted apart from logins.

    A token has 256 bits, so the bound is not against guessing: it keeps a broken program from writing at every call.
    """

    address: str

    @property
    def bounds(self) -> dict[str, int]:
        """Under which keys it is counted, and how many failures each allows."""
        return {f"token address {self.address}"[:80]: FAILURES_FROM_AN_ADDRESS, "token all": FAILURES_OF_ALL}


def create(
    session: Session, user: User, name: str, *, may_write: bool, days: int, now: datetime | None = None
) -> tuple[AccessToken, str]:
    """A token for somebody's programs, and what they send: that is not kept, so it is shown this once."""
    if not name.strip():
        raise Invalid("The token needs a name that says what it is for.")
    if not 1 <= days <= MOST_DAYS:
        raise Invalid("A token lasts 1 to {most} days.", most=MOST_DAYS)
    now = now or utcnow()
    secret = PREFIX + secrets.token_urlsafe(32)
    token = AccessToken(
        user_id=user.id,
        name=name.strip()[:64],
        token_hash=hash_token(secret),
        may_write=may_write,
        created_at=now,
        expires_at=now + timedelta(days=days),
    )
    session.add(token)
    session.flush()
    audit.record(session, user.id, "token created", f"token {token.id}", may_write=may_write, days=days)
    return token, secret


def of_user(session: Session, user_id: int) -> Sequence[AccessToken]:
    """Somebody's tokens, newest first."""
    return session.scalars(
        select(AccessToken).where(AccessToken.user_id == user_id).order_by(AccessToken.id.desc())
    ).all()


def revoke(session: Session, user: User, token_id: int, now: datetime | None = None) -> None:
    """Ends one of somebody's own tokens; raises Missing for another's."""
    token = session.get(AccessToken, token_id)
    if token is None or token.user_id != user.id:
        raise Missing("There is no such token of yours.")
    if token.revoked_at is None:
        token.revoked_at = now or utcnow()
        audit.record(session, user.id, "token revoked", f"token {token.id}")


def found(session: Session, secret: str, now: datetime | None = None) -> AccessToken | None:
    """The token that was sent, unless it is unknown, revoked or expired, or its user is not at work any more."""
    if not secret.startswith(PREFIX) or len(secret) != LENGTH:
        return None
    token = session.scalar(select(AccessToken).where(AccessToken.token_hash == hash_token(secret)))
    if token is None or token.revoked_at is not None or token.expires_at <= (now or utcnow()):
        return None
    return token if token.user.state is UserState.ACTIVE else None


def use_is_old(token: AccessToken, now: datetime | None = None) -> bool:
    """Whether the last use that is noted is so long ago that this one should be."""
    return token.used_at is None or token.used_at + USED_EVERY <= (now or utcnow())


def note_use(session: Session, token_id: int, now: datetime | None = None) -> None:
    """Notes that a token was used."""
    session.execute(update(AccessToken).where(AccessToken.id == token_id).values(used_at=now or utcnow()))
