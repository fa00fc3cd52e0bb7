"""How the API refuses: problem details (RFC 9457), each with a sentence that says what to do."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from annotation.adjudication import CannotFollowError
from annotation.db import collided
from annotation.refusals import Conflict, Invalid, Missing, Refused
from app import i18n
from app.api.shapes import AbilityNumber, Letter, OrderShape
from app.lane import BusyError
from app.misfits import NO_TEXT_AT_ALL, sentence
from app.security import TooLargeError
from app.words import N_

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
LARGEST_ID = 2**31 - 1
STATUS: dict[type[Refused], int] = {Missing: 404, Conflict: 409, Invalid: 422}

NO_PLACE = N_("There is nothing at this address, or it is not yours to see. The addresses are listed at /api.")
NOT_SO = N_("This cannot be asked for in this way. The operations of each address are listed at /api.")
AWAY = N_("The database cannot be reached at the moment. Nothing was changed: send the same again in a few seconds.")
BUSY = N_("Too much is going on here at the moment. Nothing was changed: send the same again in a few seconds.")
COLLIDED = N_("Others wrote here at the same moment. Nothing was changed: send the same again in a second.")
FAILED = N_("Something went wrong here. It is noted under number {number}; tell it to your admin.")
MISFIT = N_("The request does not fit what this operation takes: mend what is listed under errors.")
TOO_LARGE = N_("The body is too large: send a smaller file, or ask the admin to raise the limit.")
BEYOND = N_("A number or a text is too large to be kept: make it smaller.")


class RowProblem(BaseModel):
    """What does not fit in a row of a file."""

    where: str = Field(description="The field, as a path such as `body.groups.0`, or a row of a file")
    message: str = Field(description="What was expected there")


class FieldProblem(RowProblem):
    """One thing to mend."""

    type: str | None = Field(None, description="Which kind of misfit it is, such as `missing`, for programs")
    loc: list[str | int] | None = Field(None, description="The path of the field, part by part")
    pair: tuple[Letter, Letter] | None = Field(
        None, description="Which two responses contradict what is marked, as the order has them"
    )
    ability: AbilityNumber | None = Field(None, description="The ability that is marked on one of the two")
    mended: OrderShape | None = Field(None, description="The ranking with this contradiction taken out")


class Problem(BaseModel):
    """A refusal (RFC 9457)."""

    type: str = Field("about:blank", description="A URI that names the kind of problem")
    title: str = Field(description="The status in words")
    status: int = Field(description="The HTTP status")
    detail: str = Field(description="What is wrong and what to do, in the language of Accept-Language, else English")
    errors: list[FieldProblem] = Field(default_factory=list, description="What to mend, field by field")
    mended: OrderShape | None = Field(
        None,
        description="The ranking with all contradictions taken out, to be sent back with a `key`; where a boundary of "
        "it names no ability, say what decides there",
    )


class ProblemError(Exception):
    """Something the API itself refuses, before or instead of the rules."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[FieldProblem] = (),
        parts: Mapping[str, object] | None = None,
        mended: OrderShape | None = None,
    ) -> None:
        """Takes an English sentence with {places} for ``parts``."""
        super().__init__(message)
        self.status, self.message, self.parts = status, message, dict(parts or {})
        self.headers, self.errors, self.mended = dict(headers or {}), list(errors), mended


def install(api: FastAPI) -> None:
    """Gives every error of the API its problem document."""
    handlers: dict[Any, Any] = {
        ProblemError: _own,
        Refused: _refused,
        CannotFollowError: _cannot_follow,
        HTTPException: _http_error,
        RequestValidationError: _misfit,
        TooLargeError: _too_large,
        DataError: _beyond_the_database,
        OverflowError: _beyond_the_database,
        BusyError: _busy,
        OperationalError: _database_away,
        PoolTimeoutError: _database_away,
        Exception: _failed,
    }
    for kind, handler in handlers.items():
        api.add_exception_handler(kind, handler)


def language(request: Request) -> str:
    """The language that the program accepts; English where it accepts neither of ours."""
    return i18n.accepted(request.headers.get("accept-language", "")) or "en"


def say(request: Request, message: str, **parts: object) -> str:
    """A sentence in the language of the program."""
    return i18n.translate(language(request), message, **parts)


def problem(
    request: Request,
    status: int,
    message: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[FieldProblem] = (),
    parts: Mapping[str, object] | None = None,
    mended: OrderShape | None = None,
) -> JSONResponse:
    """The answer that refuses; what does not apply is left out of it."""
    detail, title = say(request, message, **dict(parts or {})), HTTPStatus(status).phrase
    said = Problem(title=title, status=status, detail=detail, errors=list(errors), mended=mended)
    return JSONResponse(_told(said), status_code=status, headers=headers, media_type=MEDIA_TYPE)


def _told(said: Problem) -> dict[str, Any]:
    """Without fields that say nothing, but for those of a ranking, which is whole."""
    whole = said.model_dump(mode="json")
    whole["errors"] = [{name: value for name, value in each.items() if value is not None} for each in whole["errors"]]
    return {name: value for name, value in whole.items() if value is not None}


def _own(request: Request, error: ProblemError) -> Response:
    told: dict[str, Any] = {
        "headers": error.headers,
        "errors": error.errors,
        "parts": error.parts,
        "mended": error.mended,
    }
    return problem(request, error.status, error.message, **told)


def _refused(request: Request, error: Refused) -> Response:
    return problem(request, STATUS[type(error)], error.message, parts=error.parts)


def _cannot_follow(request: Request, error: CannotFollowError) -> Response:
    return problem(request, 409, str(error))


def _http_error(request: Request, error: HTTPException) -> Response:
    if error.status_code == 404:
        return problem(request, 404, NO_PLACE)
    if error.status_code == 400:  # the body could not be read as JSON at all
        wrong = FieldProblem(where="body", message=say(request, NO_TEXT_AT_ALL), type="json_invalid", loc=["body"])
        return problem(request, 422, MISFIT, errors=[wrong])
    return problem(request, error.status_code, NOT_SO, headers=error.headers)


def _misfit(request: Request, error: RequestValidationError) -> Response:
    if any(each["loc"][0] == "path" for each in error.errors()):
        return problem(request, 404, NO_PLACE)
    return problem(request, 422, MISFIT, errors=misfitting(request, error.errors()))


def misfitting(request: Request, errors: Iterable[Mapping[str, Any]], *inside: str) -> list[FieldProblem]:
    """What pydantic found, in our words; ``inside`` is the path of the object that it looked at."""
    said = partial(say, request)
    paths = [(each, [*inside, *each["loc"]]) for each in errors]
    return [
        FieldProblem(where=".".join(map(str, path)), message=sentence(said, each), type=each["type"], loc=path)
        for each, path in paths
    ]


def _too_large(request: Request, _error: TooLargeError) -> Response:
    return problem(request, 413, TOO_LARGE)


def _beyond_the_database(request: Request, error: Exception) -> Response:
    log.warning("more than the database holds, at %s %s", request.method, request.url.path, exc_info=error)
    if any(_no_id(str(part)) for part in request.path_params.values()):
        return problem(request, 404, NO_PLACE)
    return problem(request, 422, BEYOND)


def _no_id(part: str) -> bool:
    number = part.lstrip("-")
    return number.isdecimal() and (len(number) > 10 or int(number) > LARGEST_ID)


def _busy(request: Request, _error: Exception) -> Response:
    return problem(request, 503, BUSY, headers={"retry-after": "5"})


def _database_away(request: Request, error: Exception) -> Response:
    if collided(error):
        log.warning("others wrote at the same moment as %s %s", request.method, request.url.path, exc_info=error)
        return problem(request, 503, COLLIDED, headers={"retry-after": "1"})
    log.error("the database is away: %s", type(error).__name__)
    return problem(request, 503, AWAY, headers={"retry-after": "5"})


def _failed(request: Request, error: Exception) -> Response:
    number = secrets.token_hex(4)
    log.error("error %s at %s %s", number, request.method, request.url.path, exc_info=error)
    return problem(request, 500, FAILED, parts={"number": number})
