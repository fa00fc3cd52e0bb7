"""The API's description of itself (OpenAPI 3.1): what the routes say, and what holds for all of them."""

from __future__ import annotations

from threading import Lock
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.api.paging import Page
from app.api.problems import MEDIA_TYPE, Problem

TAGS = {
    "me": "Who the token acts for.",
    "ranking": "For annotators: the next turn, its draft and its ranking. Responses come in an order of your own.",
    "review": "For adjudicators: a contested turn, one question at a time.",
    "campaigns": "For the admin: rules, guideline, members, dialogues, progress.",
    "places": "For the admin: who is given which turns, and how many.",
    "turns": "For the admin: each turn with all that was said about it.",
    "statistics": "For the admin: agreement, bias, pace and more, with intervals.",
    "snapshots": "For the admin: what is settled, frozen into files.",
    "runs": "For the admin: trainings, and the models and data sets that they start from.",
    "people": "For the admin: who works here, and who did what.",
    "webhooks": "For the admin: addresses that are told of events.",
}
ABOUT = (
    "All that the web does, for programs. Send an access token (made at /account/tokens) as a bearer token; cookies "
    "are not taken. What is not yours to see does not exist (404). Lists come in pages: send `next` of one as `cursor` "
    "of the following. Refusals are problem details (RFC 9457) with a sentence that says what to do. docs/api.md has a "
    "complete example."
)
REFUSALS = {
    "401": "No access token, or one that is unknown, revoked or expired.",
    "403": "The access token may only read.",
    "404": "It does not exist, or is not yours to see.",
    "409": "Somebody or something else was first; what they did is kept.",
    "413": "The body is too large.",
    "422": "What was sent does not fit the rules; `errors` says what to mend.",
    "429": "Unknown tokens came too often; `Retry-After` says how many seconds to wait.",
    "500": "Something went wrong here; it is noted under the number that is told.",
    "503": "The database is away, or others wrote at the same moment; nothing was changed.",
}
ALWAYS = ("401", "404", "422", "429", "500", "503")
ON_CHANGE = ("403", "409", "413")
_DESCRIBING = Lock()


def document_of(api: FastAPI) -> dict[str, Any]:
    """The document of this API, kept once it is made: a third of a second of work, done before the web serves."""
    with _DESCRIBING:
        if api.openapi_schema is None:
            api.openapi_schema = describe(api, api.state.settings.public_url)
        return api.openapi_schema


def describe(api: FastAPI, server: str) -> dict[str, Any]:
    """The document, with addresses as they stand under ``server``."""
    document = get_openapi(
        title="Zhongjing",
        version="1",
        summary="Expert feedback for a medical language model",
        description=ABOUT,
        routes=api.routes,
        tags=[{"name": name, "description": said} for name, said in TAGS.items()],
        servers=[{"url": server}],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for name, schema in schemas.items():
        if name.startswith("Page_"):
            schema["description"] = Page.__doc__
    schemas |= _problem_schemas()
    document["components"]["responses"] = {_name(status): _refusal(said) for status, said in REFUSALS.items()}
    document["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "An access token, such as zj_…"}
    }
    document["security"] = [{"token": []}]
    document["paths"] = {f"/api{path}": _finished(item) for path, item in document["paths"].items()}
    return document


def _problem_schemas() -> dict[str, Any]:
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    inner = schema.pop("$defs")
    return {"Problem": schema, **inner}


def _finished(item: dict[str, Any]) -> dict[str, Any]:
    return {method: _operation(method, operation) for method, operation in item.items()}


def _operation(method: str, operation: dict[str, Any]) -> dict[str, Any]:
    """An operation with its docstring's first line as summary, and every refusal that it may answer with."""
    statuses = ALWAYS if method == "get" else ALWAYS + ON_CHANGE
    refusals = {status: {"$ref": f"#/components/responses/{_name(status)}"} for status in sorted(statuses)}
    summary, _, more = operation.pop("description").strip().partition("\n\n")
    return {
        **operation,
        "summary": summary.removesuffix("."),
        **({"description": more} if more else {}),
        "responses": {**operation["responses"], **refusals},
    }


def _name(status: str) -> str:
    return f"Refused{status}"


def _refusal(said: str) -> dict[str, Any]:
    return {"description": said, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
