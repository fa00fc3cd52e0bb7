"""The API as an application of its own beside the pages: own refusals, own proof of who asks, no cookies."""

from __future__ import annotations

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.datastructures import State

from annotation.store import people as people_store
from app.api import (
    blind_audit,
    calibration,
    campaigns,
    foreign_rankings,
    history,
    me,
    people,
    places,
    policy,
    problems,
    ranking,
    revealed,
    review,
    runs,
    scores,
    snapshots,
    statistics,
    turns,
    webhooks,
)
from app.api.access import identify
from app.api.document import document_of
from app.api.guard import ApiGuard
from app.deps import current_user, database_of, token_of
from app.settings import Settings

PREFIX = "/v1"
ROUTERS = [
    module.router
    for module in (
        me,
        ranking,
        history,
        revealed,
        review,
        blind_audit,
        campaigns,
        foreign_rankings,
        places,
        calibration,
        policy,
        turns,
        scores,
        statistics,
        snapshots,
        runs,
        people,
        webhooks,
    )
]


def make_api(settings: Settings, shared: State) -> FastAPI:
    """The API over the same database and queue as the pages."""
    api = FastAPI(title="Zhongjing", docs_url=None, redoc_url=None, openapi_url=None, generate_unique_id_function=_name)
    api.state.settings, api.state.database = settings, shared.database
    api.state.queue, api.state.bell = shared.queue, shared.bell
    api.state.identify, shared.api = identify, api
    for router in ROUTERS:
        api.include_router(router, prefix=PREFIX, dependencies=[Depends(current_user)])
    api.add_api_route("/openapi.json", _document, include_in_schema=False)
    problems.install(api)
    api.add_middleware(ApiGuard, https=settings.https, most_bytes=settings.most_upload_mb * 2**20)
    return api


def _document(request: Request) -> JSONResponse:
    """The description, for whoever has a token or is logged in: strangers learn nothing of an installation."""
    with database_of(request).reading() as session:
        browsing = people_store.logged_in(session, token_of(request))
    if browsing is None:
        identify(request)
    return JSONResponse(document_of(request.app))


def _name(route: object) -> str:
    return str(getattr(route, "name", ""))
