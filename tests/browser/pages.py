"""Every page of the web by the rules that a machine can check, and which of them nobody has looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import get_type_hints
from urllib.parse import urlsplit

from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse
from fastapi.routing import APIRoute
from playwright.sync_api import Page

from app.routes import ROUTERS
from tests.browser.test_accessible import broken

NO_PAGES = (FileResponse, JSONResponse, PlainTextResponse, RedirectResponse)
PARTS = {
    "/admin/campaigns/{campaign_id}/glance",
    "/admin/campaigns/{campaign_id}/review-policy/cost",
    "/admin/campaigns/{campaign_id}/statistics/{name}.csv",
    "/admin/campaigns/{campaign_id}/statistics/{name}/live",
    "/admin/live",
    "/admin/plan/{kind}",
    "/admin/runs/{run_id}/live",
    "/assignments/{assignment_id}/compare",
}
"""What script puts into a page, with which it is looked at, and a table for spreadsheets."""


def every_page() -> set[str]:
    """The path of each route that answers a page."""
    return {
        route.path
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and "GET" in route.methods and route.path not in PARTS
        if not issubclass(get_type_hints(route.endpoint)["return"], NO_PAGES)
    }


def route_of(url: str) -> str:
    """The path of the route that answers an address; the address itself where there is none."""
    path = urlsplit(url).path
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute) and "GET" in route.methods and route.path_regex.match(path):
                return route.path
    return path


@dataclass
class Findings:
    """What is wrong with the pages that were looked at, and which those were."""

    complaints: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def look(self, page: Page, name: str) -> None:
        """At the page as it stands, in both themes."""
        page.emulate_media(reduced_motion="reduce")  # else the colours are still on their way
        for theme in ("light", "dark"):
            page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
            self.complaints += [f"{theme}, {name}: {each}" for each in broken(page)]
        self.seen.add(route_of(page.url))
