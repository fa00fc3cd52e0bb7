"""Users, their invitations and their logins."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from annotation.db import utcnow
from annotation.refusals import Conflict, Missing
from annotation.store import audit, campaigns
from annotation.tables import LoginSession, Role, User, UserState

INVITATION_LASTS = timedelta(days=7)
SESSION_LASTS = timedelta(hours=12)
SESSION_IDLES = timedelta(hours=4)
SEEN_EVERY = timedelta(minutes=5)


def hash_token(token: str) -> str:
    """What is kept of a token: its tokens have 256 bits, so a plain hash cannot be guessed."""
    return hashlib.sha256(token.encode()).hexdigest()


def everybody(session: Session) -> Sequence[User]:
    """All users, by role and name."""
    return session.scalars(select(User).order_by(User.role, User.name)).all()


def count(session: Session) -> int:
    """How many users there are."""
    return session.scalar(select(func.count(User.id))) or 0


def get(session: Session, user_id: int) -> User:
    """The user; raises Missing."""
    user = session.get(User, user_id)
    if user is None:
        raise Missing("This person does not exist.")
    return user


def by_login(session: Session, login: str) -> User | None:
    """The user with this login, whatever the case of its letters."""
    return session.scalar(select(User).where(User.login == login.strip().lower()))


def add(
    session: Session,
    login: str,
    name: str,
    role: Role,
    *,
    password_hash: str | None = None,
    simulated: bool = False,
    may_adjudicate: bool = False,
    actor_id: int | None = None,
) -> User:
    """A new user, active at once if a password is given; raises Conflict where the login is taken."""
    if by_login(session, login) is not None:
        raise Conflict("The login {login} is taken: choose another.", login=login)
    user = User(
        login=login.strip().lower(),
        name=name.strip(),
        role=role,
        may_adjudicate=may_adjudicate,
        password_hash=password_hash,
        simulated=simulated,
        state=UserState.ACTIVE if password_hash or simulated else UserState.INVITED,
    )
    session.add(user)
    session.flush()
    audit.record(session, actor_id, "user added", f"user {user.id}", login=user.login, role=user.role)
    return user


def invite(session: Session, user: User, *, actor_id: int | None, now: datetime | None = None) -> str:
    """A one-time code with which the user sets a password; ends open logins. An earlier code is void."""
    code = secrets.token_urlsafe(32)
    user.invite_hash = hash_token(code)
    user.invite_expires_at = (now or utcnow()) + INVITATION_LASTS
    if user.password_hash is not None:
        user.password_hash = None
        end_sessions(session, user.id)
    if user.state is not UserState.PAUSED:
        user.state = UserState.INVITED
    audit.record(session, actor_id, "user invited", f"user {user.id}")
    return code


def invited(session: Session, code: str, now: datetime | None = None) -> User:
    """The user whom an invitation names; raises Missing where it is unknown or has expired."""
    user = session.scalar(select(User).where(User.invite_hash == hash_token(code)))
    if user is None or user.invite_expires_at is None or user.invite_expires_at < (now or utcnow()):
        raise Missing("This invitation is unknown or has expired: ask the admin for a new one.")
    return user


def accept_invitation(session: Session, code: str, password_hash: str) -> User:
    """Sets the password, once."""
    user = invited(session, code)
    user.password_hash = password_hash
    user.invite_hash = user.invite_expires_at = None
    if user.state is UserState.INVITED:
        user.state = UserState.ACTIVE
    audit.record(session, user.id, "invitation accepted", f"user {user.id}")
    return user


def set_state(session: Session, user: User, state: UserState, *, actor_id: int) -> None:
    """Pauses, reactivates or deactivates somebody; who may not log in any more is logged out at once."""
    if user.id == actor_id:
        raise Conflict("You cannot change your own state: ask another admin.")
    reset = state is UserState.ACTIVE and user.password_hash is None and not user.simulated
    user.state = UserState.INVITED if reset else state
    campaigns.availability_changed(session, user.id)
    if state is UserState.DEACTIVATED:
        end_sessions(session, user.id)
    audit.record(session, actor_id, f"user {user.state}", f"user {user.id}")


def set_right(session: Session, user: User, *, may_adjudicate: bool, actor_id: int) -> None:
    """Whether an annotator may adjudicate turns that are not their own."""
    user.may_adjudicate = may_adjudicate
    audit.record(session, actor_id, "right changed", f"user {user.id}", may_adjudicate=may_adjudicate)


def log_in(session: Session, user: User, now: datetime | None = None) -> str:
    """Opens a login session and returns its token, which is not kept."""
    now = now or utcnow()
    token = secrets.token_urlsafe(32)
    session.execute(delete(LoginSession).where(LoginSession.expires_at < now))
    session.add(
        LoginSession(token_hash=hash_token(token), user_id=user.id, seen_at=now, expires_at=now + SESSION_LASTS)
    )
    audit.record(session, user.id, "logged in", f"user {user.id}")
    return token


def logged_in(session: Session, token: str, now: datetime | None = None) -> LoginSession | None:
    """The login session of a token, unless it has ended, idled too long, or its user may not be here any more."""
    now = now or utcnow()
    found = session.scalar(select(LoginSession).where(LoginSession.token_hash == hash_token(token)))
    if found is None or found.expires_at < now or found.seen_at + SESSION_IDLES < now:
        return None
    return found if found.user.state in (UserState.ACTIVE, UserState.PAUSED) else None


def seen(session: Session, token: str, now: datetime | None = None) -> None:
    """Notes that a login session is in use."""
    found = session.scalar(select(LoginSession).where(LoginSession.token_hash == hash_token(token)))
    if found is not None:
        found.seen_at = now or utcnow()


def log_out(session: Session, token: str) -> None:
    """Ends one login session."""
    session.execute(delete(LoginSession).where(LoginSession.token_hash == hash_token(token)))


def end_sessions(session: Session, user_id: int) -> None:
    """Ends every login session of somebody."""
    session.execute(delete(LoginSession).where(LoginSession.user_id == user_id))
