"""The OpenAPI document is whole, and says what the routes do."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from app import main
from app.api.document import TAGS, document_of
from app.api.main import ROUTERS
from app.api.problems import MEDIA_TYPE
from app.main import create_app
from app.settings import Settings
from tests.api.conftest import Program
from tests.api.test_access import is_problem
from tests.conftest import Cast, password_of

METHODS = {"get", "put", "post", "delete", "patch"}


@pytest.fixture
def document(web: FastAPI) -> dict[str, Any]:
    """The description of the API."""
    return document_of(web.state.api)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each operation with its path and its method."""
    for path, item in document["paths"].items():
        assert item.keys() <= METHODS
        yield from ((path, method, operation) for method, operation in item.items())


def test_the_web_serves_with_the_document_made(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made beside requests it would take models apart that they are being checked with."""
    monkeypatch.setattr(main, "create_app", lambda: create_app(settings))
    monkeypatch.setattr(gc, "freeze", lambda: None)
    app = main.serve()
    assert app.state.api.openapi_schema["openapi"].startswith("3.1")
    assert document_of(app.state.api) is app.state.api.openapi_schema
    app.state.database.dispose()


def test_every_route_is_described_and_nothing_else(document: dict[str, Any]) -> None:
    routes = {
        (f"/api/v1{route.path}", method.lower())
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods
    }
    assert {(path, method) for path, method, _ in operations(document)} == routes
    assert len(routes) > 40


def test_every_operation_has_a_summary_a_group_a_name_and_its_answers(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)
    for path, method, operation in operations(document):
        assert re.match(r"[A-Z].*[^.]$", operation["summary"]), path
        assert operation["tags"][0] in TAGS, path
        assert [status for status in operation["responses"] if status.startswith("2")], path
        assert {"401", "404", "422", "429", "503"} <= operation["responses"].keys(), path
        assert ("403" in operation["responses"]) == (method != "get"), path
        in_path = set(re.findall(r"{(\w+)}", path))
        assert in_path == {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}, path


def test_every_object_and_every_field_of_a_body_is_explained(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        if "properties" in schema:
            assert schema.get("description"), name


def test_refusals_are_problem_documents_and_the_token_is_required(document: dict[str, Any]) -> None:
    for refusal in document["components"]["responses"].values():
        assert refusal["content"].keys() == {MEDIA_TYPE}
    assert document["security"] == [{"token": []}]
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert document["openapi"].startswith("3.1")


def references(node: Any) -> Iterator[str]:
    """Every reference in the document."""
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "$ref")
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_reference_leads_somewhere_and_no_schema_is_left_over(document: dict[str, Any]) -> None:
    seen = set(references(document))
    for reference in seen:
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert known <= seen


def test_the_document_is_for_whoever_has_a_token_or_is_logged_in(
    web: FastAPI, stranger: TestClient, program: Program, cast: Cast
) -> None:
    is_problem(stranger.get("/api/openapi.json"), 401)
    said = program("li").get("/api/openapi.json").json()
    browser = TestClient(web, follow_redirects=False)
    browser.post("/login", data={"login": "li", "password": password_of("li")})
    assert browser.get("/api/openapi.json").json() == said


def test_the_page_lists_every_operation_and_every_object(
    web: FastAPI, stranger: TestClient, document: dict[str, Any], cast: Cast
) -> None:
    assert stranger.get("/api").status_code == 303
    browser = TestClient(web, follow_redirects=False)
    browser.post("/login", data={"login": "li", "password": password_of("li")})
    page = browser.get("/api").text
    for path, _, operation in operations(document):
        assert path in page
        assert f'id="{operation["operationId"]}"' in page
    identities = re.findall(r'\bid="([^"]+)"', page)
    assert len(set(identities)) == len(identities)
    for anchor in re.findall(r'href="#([^"]+)"', page):
        assert anchor in identities, anchor
