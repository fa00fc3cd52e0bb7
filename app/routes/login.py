"""Logging in and out, accepting an invitation, choosing a language."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse

from annotation.refusals import Invalid
from annotation.store import people
from annotation.tables import Role, UserState
from app import i18n, passwords
from app.demo.people import VISITORS
from app.deps import CurrentUser, Data, Reading, WebSettings, Writing, settings_of, token_of
from app.render import page
from app.settings import Settings
from app.words import N_

router = APIRouter()

HOME = {Role.ANNOTATOR: "/rank", Role.ADJUDICATOR: "/review", Role.ADMIN: "/admin"}
WRONG = N_("Login or password is wrong.")


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
    session: Writing,
    settings: WebSettings,
    login: Annotated[str, Form()],
    password: Annotated[str, Form()],
    next: Annotated[str, Form()] = "/",
) -> Response:
    """Opens a login session; an earlier one of this browser ends."""
    user = people.by_login(session, login)
    kept = user.password_hash if user is not None else None
    right = passwords.password_matches(password, kept)
    if user is None or not right or user.state not in (UserState.ACTIVE, UserState.PAUSED):
        return _login_page(request, local(next), problem=WRONG, login=login, status=422)
    if kept is not None and passwords.outdated(kept):
        user.password_hash = passwords.hash_password(password)
    people.log_out(session, token_of(request))
    response = RedirectResponse(local(next), status_code=303)
    _set_cookie(response, settings, people.log_in(session, user))
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
    request: Request, code: str, session: Writing, settings: WebSettings, password: Annotated[str, Form()]
) -> Response:
    """Sets the password and logs in."""
    user = people.invited(session, code)
    problem = passwords.weakness(password, user.login, user.name)
    if problem is not None:
        return page(request, "invitation.html", status=422, invited=user, code=code, problem=problem)
    people.accept_invitation(session, code, passwords.hash_password(password))
    response = RedirectResponse("/", status_code=303)
    _set_cookie(response, settings, people.log_in(session, user))
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


def _login_page(
    request: Request, target: str, *, problem: str | None = None, login: str = "", status: int = 200
) -> HTMLResponse:
    visitors = VISITORS if settings_of(request).demo else ()
    return page(request, "login.html", status=status, target=target, problem=problem, login=login, visitors=visitors)


def _set_cookie(response: Response, settings: Settings, token: str) -> None:
    response.set_cookie(settings.cookie, token, path="/", secure=settings.https, httponly=True, samesite="lax")
