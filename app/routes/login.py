"""Logging in and out, accepting an invitation, choosing a language."""

from __future__ import annotations

from datetime import timedelta
from math import ceil
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse

from annotation.db import Database
from annotation.people_tables import Role
from annotation.refusals import Invalid
from annotation.store import people
from app import i18n, passwords
from app.demo.people import VISITORS
from app.deps import CurrentUser, Data, Reading, WebSettings, Writing, address_of, settings_of, token_of
from app.render import page
from app.settings import Settings
from app.words import N_

router = APIRouter()

HOME = {Role.ANNOTATOR: "/rank", Role.ADJUDICATOR: "/review", Role.ADMIN: "/admin"}
WRONG = N_("Login or password is wrong.")
TOO_OFTEN = N_("Logging in has failed too often: try again in {minutes} min.")


@router.get("/")
def home(user: CurrentUser) -> RedirectResponse:
    """To where somebody's work is."""
    return RedirectResponse(HOME[user.role], status_code=303)


@router.get("/healthz")
def healthz(database: Data) -> PlainTextResponse:
    """Whether the web runs and reaches its database."""
    with database.reading() as session:
        people.count(session)
    return PlainTextResponse("ok")


@router.get("/login")
def show_login(request: Request, next: str = "/") -> HTMLResponse:
    """The login page."""
    return _login_page(request, local(next))


@router.post("/login")
def log_in(
    request: Request,
    database: Data,
    settings: WebSettings,
    login: Annotated[str, Form()],
    password: Annotated[str, Form()],
    next: Annotated[str, Form()] = "/",
) -> Response:
    """Opens a login session; an earlier one of this browser ends."""
    attempt = people.LoginAttempt(login, address_of(request))
    pause = _count(database, attempt)
    if pause:
        return _too_often(request, local(next), login, pause)
    token = _open_session(database, attempt, password, ends=token_of(request))
    if token is None:
        return _login_page(request, local(next), problem=WRONG, login=login, status=422)
    response = RedirectResponse(local(next), status_code=303)
    _set_cookie(response, settings, token)
    return response


@router.post("/logout")
def log_out(request: Request, session: Writing, settings: WebSettings) -> Response:
    """Ends the login session."""
    people.log_out(session, token_of(request))
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(settings.cookie, path="/", secure=settings.https, httponly=True, samesite="lax")
    return response


@router.get("/invitation/{code}")
def show_invitation(request: Request, code: str, session: Reading) -> HTMLResponse:
    """Where an invited person chooses a password."""
    return page(request, "invitation.html", invited=people.invited(session, code), code=code, problem=None)


@router.post("/invitation/{code}")
def accept_invitation(
    request: Request, code: str, database: Data, settings: WebSettings, password: Annotated[str, Form()]
) -> Response:
    """Sets the password and logs in."""
    with database.reading() as session:
        invited = people.invited(session, code)
    problem = passwords.weakness(password, invited.login, invited.name)
    if problem is not None:
        return page(request, "invitation.html", status=422, invited=invited, code=code, problem=problem)
    hashed = passwords.hash_password(password)
    with database.writing() as session:
        token = people.log_in(session, people.accept_invitation(session, code, hashed))
    response = RedirectResponse("/", status_code=303)
    _set_cookie(response, settings, token)
    return response


@router.post("/language")
def choose_language(language: Annotated[str, Form()], next: Annotated[str, Form()] = "/") -> Response:
    """Remembers a language in the browser."""
    if language not in i18n.LOCALES:
        raise Invalid("This language is not known here.")
    response = RedirectResponse(local(next), status_code=303)
    response.set_cookie(i18n.COOKIE, language, max_age=365 * 86400, path="/", samesite="lax", httponly=True)
    return response


@router.post("/theme")
def choose_theme(theme: Annotated[str, Form()], next: Annotated[str, Form()] = "/") -> Response:
    """Remembers light or dark in the browser."""
    if theme not in ("light", "dark"):
        raise Invalid("Choose light or dark.")
    response = RedirectResponse(local(next), status_code=303)
    response.set_cookie("theme", theme, max_age=365 * 86400, path="/", samesite="lax", httponly=True)
    return response


def local(target: str) -> str:
    """A path of this web, whatever was asked for."""
    parts = urlsplit(target)
    safe = not parts.scheme and not parts.netloc and parts.path.startswith("/") and not target.startswith("//")
    return target if safe and "\\" not in target else "/"


def _count(database: Database, attempt: people.LoginAttempt) -> timedelta:
    """How long to wait before this attempt; what has to wait is not counted, and writes nothing."""
    with database.reading() as session:
        pause = people.login_pause(session, attempt)
    if pause:
        return pause
    with database.writing() as session:
        return people.count_attempt(session, attempt)


def _open_session(database: Database, attempt: people.LoginAttempt, password: str, *, ends: str) -> str | None:
    """The token of a new login session, None where login or password is wrong.

    The hash is worked out between two transactions: it takes long, and SQLite lets nobody else write meanwhile.
    """
    with database.reading() as session:
        found = people.by_login(session, attempt.login)
    kept = found.password_hash if found is not None else None
    verified = kept if passwords.password_matches(password, kept) else None
    fresh = passwords.hash_password(password) if verified and passwords.outdated(verified) else verified
    with database.writing() as session:
        user = people.admit(session, attempt, verified)
        if user is None:
            return None
        user.password_hash = fresh
        people.log_out(session, ends)
        return people.log_in(session, user)


def _login_page(
    request: Request, target: str, *, problem: str | None = None, login: str = "", status: int = 200, **parts: object
) -> HTMLResponse:
    told: dict[str, Any] = {"target": target, "problem": problem, "parts": parts, "login": login}
    visitors = VISITORS if settings_of(request).demo else ()
    return page(request, "login.html", status=status, visitors=visitors, **told)


def _too_often(request: Request, target: str, login: str, pause: timedelta) -> HTMLResponse:
    seconds = ceil(pause.total_seconds())
    answer = _login_page(request, target, problem=TOO_OFTEN, login=login, status=429, minutes=ceil(seconds / 60))
    answer.headers["retry-after"] = str(seconds)
    return answer


def _set_cookie(response: Response, settings: Settings, token: str) -> None:
    response.set_cookie(settings.cookie, token, path="/", secure=settings.https, httponly=True, samesite="lax")
