"""Users, their invitations and their logins."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import bindparam, case, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from annotation.db import utcnow
from annotation.outside_tables import AccessToken
from annotation.people_tables import LoginCount, LoginSession, Role, User, UserState
from annotation.refusals import Conflict, Missing
from annotation.store import audit, campaigns, naming

INVITATION_LASTS = timedelta(days=7)
SESSION_LASTS = timedelta(hours=12)
SESSION_IDLES = timedelta(hours=4)
SEEN_EVERY = timedelta(minutes=5)

OF_TOKEN = select(LoginSession).where(LoginSession.token_hash == bindparam("token_hash"))
"""Asked with every request, so it is put together once: that costs more than to ask."""

FAILURES_COUNT = timedelta(minutes=5)
FAILURES_OF_A_LOGIN = 10
FAILURES_FROM_AN_ADDRESS = 50  # a whole hospital may come from one address
FAILURES_OF_ALL = 1000


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
    return session.scalar(select(User).where(User.login == _normal(login)))


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
        login=_normal(login),
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
        naming.withdraw_all(session, {user.id})
    audit.record(session, actor_id, f"user {user.state}", f"user {user.id}")


def set_right(session: Session, user: User, *, may_adjudicate: bool, actor_id: int) -> None:
    """Whether an annotator may adjudicate turns that are not their own."""
    user.may_adjudicate = may_adjudicate
    audit.record(session, actor_id, "right changed", f"user {user.id}", may_adjudicate=may_adjudicate)


class Attempt(Protocol):
    """What may fail only so often."""

    @property
    def bounds(self) -> dict[str, int]:
        """Under which keys it is counted, and how many failures each allows."""


@dataclass(frozen=True)
class LoginAttempt:
    """A login as it was typed, and the address that it came from."""

    login: str
    address: str

    @property
    def bounds(self) -> dict[str, int]:
        """Under which keys it is counted, and how many failures each allows; whoever locks rows keeps to this order."""
        return {
            f"login {hash_token(_normal(self.login))}": FAILURES_OF_A_LOGIN,
            f"address {self.address}"[:80]: FAILURES_FROM_AN_ADDRESS,
            "all": FAILURES_OF_ALL,
        }


def pause_after(failures: int, most: int, since: datetime, now: datetime) -> timedelta:
    """How long nobody may try again: to the end of a stretch in which as many attempts failed as may."""
    left = since + FAILURES_COUNT - now
    return max(left, timedelta()) if failures >= most else timedelta()


def login_pause(session: Session, attempt: Attempt, now: datetime | None = None) -> timedelta:
    """How long to wait before this may be attempted; nothing is counted."""
    bounds, now = attempt.bounds, now or utcnow()
    counts = session.scalars(select(LoginCount).where(LoginCount.key.in_(bounds))).all()
    pauses = (pause_after(count.failures, bounds[count.key], count.since, now) for count in counts)
    return max(pauses, default=timedelta())


def count_attempt(session: Session, attempt: Attempt, now: datetime | None = None) -> timedelta:
    """Counts an attempt as failed until it succeeds, and says how long to wait where others came first.

    It is counted before its password is looked at: else many at the same moment would all be let through.
    """
    now = now or utcnow()
    pauses = []
    for key, most in attempt.bounds.items():
        failures, since = _count(session, key, now)
        pauses.append(pause_after(failures - 1, most, since, now))
    _forget_old_counts(session, now)
    return max(pauses)


def admit(session: Session, attempt: LoginAttempt, verified: str | None) -> User | None:
    """The user whom a password lets in; None where it does not, which is audited.

    ``verified`` is the kept hash that the password matched: by now somebody may have reset it, or ended the login.
    """
    user = by_login(session, attempt.login)
    here = user is not None and user.state in (UserState.ACTIVE, UserState.PAUSED)
    if user is None or verified is None or user.password_hash != verified or not here:
        audit.record(session, None, "login failed", f"user {user.id}" if user else "", address=attempt.address)
        return None
    _take_back(session, attempt)
    return user


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
    found = session.scalar(OF_TOKEN, {"token_hash": hash_token(token)})
    if found is None or found.expires_at < now or found.seen_at + SESSION_IDLES < now:
        return None
    return found if found.user.state in (UserState.ACTIVE, UserState.PAUSED) else None


def seen(session: Session, token: str, now: datetime | None = None) -> None:
    """Notes that a login session is in use."""
    found = session.scalar(OF_TOKEN, {"token_hash": hash_token(token)})
    if found is not None:
        found.seen_at = now or utcnow()


def log_out(session: Session, token: str) -> None:
    """Ends one login session."""
    session.execute(delete(LoginSession).where(LoginSession.token_hash == hash_token(token)))


def end_sessions(session: Session, user_id: int) -> None:
    """Ends every login session of somebody, and every token: whoever has to come in anew does so in every way."""
    session.execute(delete(LoginSession).where(LoginSession.user_id == user_id))
    live = update(AccessToken).where(AccessToken.user_id == user_id, AccessToken.revoked_at.is_(None))
    session.execute(live.values(revoked_at=utcnow()))


def _normal(login: str) -> str:
    return login.strip().lower()


def _count(session: Session, key: str, now: datetime) -> tuple[int, datetime]:
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    over = LoginCount.since <= now - FAILURES_COUNT
    anew = {
        "failures": case((over, 1), else_=LoginCount.failures + 1),
        "since": case((over, now), else_=LoginCount.since),
    }
    counted = insert(LoginCount).values(key=key, failures=1, since=now)
    upserted = counted.on_conflict_do_update(index_elements=["key"], set_=anew)
    row = session.execute(upserted.returning(LoginCount.failures, LoginCount.since)).one()
    return row[0], row[1]


def _take_back(session: Session, attempt: LoginAttempt) -> None:
    """A login that succeeded clears its own count; from the others it is taken away again."""
    of_login, *others = attempt.bounds
    session.execute(delete(LoginCount).where(LoginCount.key == of_login))
    for key in others:
        fewer = update(LoginCount).where(LoginCount.key == key, LoginCount.failures > 0)
        session.execute(fewer.values(failures=LoginCount.failures - 1))


def _forget_old_counts(session: Session, now: datetime) -> None:
    """Comes last in its transaction and passes over locked rows, so that no two of them wait for each other."""
    old = select(LoginCount.key).where(LoginCount.since <= now - FAILURES_COUNT).with_for_update(skip_locked=True)
    session.execute(delete(LoginCount).where(LoginCount.key.in_(old)), execution_options={"synchronize_session": False})
