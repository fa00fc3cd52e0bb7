"""Who asks: the API takes access tokens and nothing else, least of all the cookie of a browser."""

from __future__ import annotations

from datetime import timedelta
from math import ceil

from fastapi import Request

from annotation.db import Database
from annotation.outside_tables import AccessToken
from annotation.people_tables import User
from annotation.store import people, tokens
from app.api.problems import ProblemError
from app.deps import address_of, database_of
from app.security import SAFE_METHODS
from app.words import N_

NO_TOKEN = N_("Send an access token, as in “Authorization: Bearer zj_…”. You make one at /account/tokens.")
NO_LONGER = N_("This access token is unknown, revoked or expired, or its owner is paused: make one at /account/tokens.")
TOO_OFTEN = N_("Unknown access tokens have come from here too often: mend the program and try again in {seconds} s.")
ONLY_READS = N_("This access token may only read: make one that may change something at /account/tokens.")
TOKENS = "/api/v1/me/tokens"
CHALLENGE = {"www-authenticate": 'Bearer realm="zhongjing"'}


def identify(request: Request) -> User:
    """The owner of the token that was sent; raises ProblemError."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise ProblemError(401, NO_TOKEN, headers=CHALLENGE)
    database = database_of(request)
    with database.reading() as session:
        token = tokens.found(session, secret.strip())
    if token is None:
        raise _refusal(database, tokens.TokenAttempt(address_of(request)))
    if not token.may_write and request.method not in SAFE_METHODS and not _ends_itself(request, token):
        raise ProblemError(403, ONLY_READS)
    if tokens.use_is_old(token):
        with database.writing() as session:
            tokens.note_use(session, token.id)
    request.state.token = token
    return token.user


def _ends_itself(request: Request, token: AccessToken) -> bool:
    """Whether a token is put out of use by itself, which takes rights away and gives none."""
    return request.method == "DELETE" and request.url.path == f"{TOKENS}/{token.id}"


def _refusal(database: Database, attempt: tokens.TokenAttempt) -> ProblemError:
    """Counts what did not open, and tells whoever tries too often to wait; a good token passes all the same."""
    pause = _count(database, attempt)
    if not pause:
        return ProblemError(401, NO_LONGER, headers=CHALLENGE)
    seconds = ceil(pause.total_seconds())
    return ProblemError(429, TOO_OFTEN, headers={"retry-after": str(seconds)}, parts={"seconds": seconds})


def _count(database: Database, attempt: tokens.TokenAttempt) -> timedelta:
    with database.reading() as session:
        pause = people.login_pause(session, attempt)
    if pause:
        return pause
    with database.writing() as session:
        return people.count_attempt(session, attempt)
