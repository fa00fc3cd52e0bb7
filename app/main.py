"""The web: puts the routes together and says how refusals and errors look."""

from __future__ import annotations

import gc
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import quote, urlsplit

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from annotation.adjudication import CannotFollowError
from annotation.db import Database, collided
from annotation.refusals import Conflict, Invalid, Missing, Refused
from app import words
from app.api.document import document_of
from app.api.main import make_api
from app.bell import Bell
from app.deps import LoginRequiredError, submitted_form
from app.lane import BusyError
from app.render import STATIC, page, wants_fragment
from app.routes import ROUTERS
from app.security import Guard, TooLargeError
from app.settings import Settings
from workers.queue import make_app, wake_teller

log = logging.getLogger(__name__)

LARGEST_ID = 2**31 - 1

STATUS: dict[type[Refused], int] = {Missing: 404, Conflict: 409, Invalid: 422}


def create_app(settings: Settings | None = None) -> FastAPI:
    """The web for these settings, by default those of the environment."""
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        app.state.database.dispose()

    app = FastAPI(title="Zhongjing", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.state.settings = settings
    app.state.database = Database(settings.database_url)
    app.state.queue = make_app(settings)
    app.state.bell = Bell(partial(wake_teller, app.state.queue))
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    for router in ROUTERS:
        app.include_router(router, dependencies=[Depends(submitted_form)])
    app.mount("/api", make_api(settings, app.state))
    _handle_refusals(app)
    app.add_middleware(Guard, https=settings.https, most_bytes=settings.most_upload_mb * 2**20)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*settings.hosts, "127.0.0.1"])
    return app


def serve() -> FastAPI:
    """The web in a process of its own.

    The API is described before anybody asks anything: describing it finishes models that requests are checked with.
    What was loaded to begin with stays: looking through all of it for rubbish holds up every request meanwhile.
    """
    app = create_app()
    document_of(app.state.api)
    gc.collect()
    gc.freeze()
    return app


def _handle_refusals(app: FastAPI) -> None:
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(CannotFollowError, _cannot_follow)
    app.add_exception_handler(LoginRequiredError, _login_required)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(TooLargeError, _too_large)
    app.add_exception_handler(DataError, _beyond_the_database)
    app.add_exception_handler(OverflowError, _beyond_the_database)
    app.add_exception_handler(BusyError, _busy)
    app.add_exception_handler(OperationalError, _database_away)
    app.add_exception_handler(PoolTimeoutError, _database_away)
    app.add_exception_handler(Exception, _failed)


def _refusal(request: Request, status: int, message: str, **parts: object) -> HTMLResponse:
    name = "_refusal.html" if wants_fragment(request) else "refusal.html"
    came_from = _came_from(request)
    return page(request, name, status=status, message=message, parts=parts, code=status, came_from=came_from)


def _came_from(request: Request) -> str | None:
    """The page of ours from which a form was sent, where the browser says so."""
    found = urlsplit(request.headers.get("referer", ""))
    ours = request.method == "POST" and found.netloc == request.headers.get("host")
    return found._replace(scheme="", netloc="", fragment="").geturl() if ours else None


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _refusal(request, STATUS[type(error)], error.message, **error.parts)


def _cannot_follow(request: Request, error: Exception) -> Response:
    return _refusal(request, 409, str(error))


def _login_required(request: Request, _error: Exception) -> Response:
    if wants_fragment(request):
        return page(request, "_login.html", status=401, headers={"HX-Trigger": "session-expired"})
    target = request.url.path if request.method == "GET" else "/"
    return RedirectResponse(f"/login?next={quote(target)}", status_code=303)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _refusal(request, 404, words.N_("This page does not exist."))
    return PlainTextResponse(str(error.detail), status_code=error.status_code)


def _not_understood(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    places = [problem["loc"] for problem in error.errors()]
    if any(place[0] == "path" for place in places):
        return _refusal(request, 404, words.N_("This page does not exist."))
    fields = ", ".join(str(place[-1]) for place in places)
    return _refusal(request, 422, words.N_("These fields are missing or not as expected: {fields}."), fields=fields)


def _too_large(request: Request, _error: Exception) -> Response:
    return _refusal(request, 413, words.N_("The upload is too large."))


def _beyond_the_database(request: Request, error: Exception) -> Response:
    """PostgreSQL refuses what a column cannot hold, SQLite's driver what 64 bits cannot: no row has such a number."""
    log.warning("more than the database holds, at %s %s", request.method, request.url.path, exc_info=error)
    if any(_no_id(str(part)) for part in request.path_params.values()):
        return _refusal(request, 404, words.N_("This page does not exist."))
    return _refusal(request, 422, words.N_("A number or a text is too large to be kept: make it smaller."))


def _no_id(part: str) -> bool:
    number = part.lstrip("-")
    return number.isdecimal() and (len(number) > 10 or int(number) > LARGEST_ID)


def _busy(request: Request, _error: Exception) -> Response:
    stays = words.N_("Too much is going on here at the moment. What you entered stays in the page: try again.")
    again = words.N_("Too much is going on here at the moment: go back and try again in a few seconds.")
    return _later(_refusal(request, 503, stays if wants_fragment(request) else again), seconds=5)


def _database_away(request: Request, error: Exception) -> Response:
    if collided(error):
        log.warning("others wrote at the same moment as %s %s", request.method, request.url.path, exc_info=error)
        message = words.N_("Others wrote here at the same moment, so nothing of yours was kept: try again.")
        return _later(_refusal(request, 503, message), seconds=1)
    log.error("the database is away: %s", type(error).__name__)
    stays = words.N_("The database cannot be reached at the moment. What you entered stays in the page: try again.")
    again = words.N_("The database cannot be reached at the moment: go back and try again in a few seconds.")
    return _later(_refusal(request, 503, stays if wants_fragment(request) else again), seconds=5)


def _later(answer: Response, *, seconds: int) -> Response:
    answer.headers["retry-after"] = str(seconds)
    return answer


def _failed(request: Request, error: Exception) -> Response:
    number = secrets.token_hex(4)
    log.error("error %s at %s %s", number, request.method, request.url.path, exc_info=error)
    message = words.N_("Something went wrong here. It is noted under number {number}; tell it to your admin.")
    return _refusal(request, 500, message, number=number)
