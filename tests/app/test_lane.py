"""The lane: a few requests at a time, in their order, and none waits for ever."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from sqlalchemy import text
from starlette.testclient import TestClient

from annotation.db import BUSY_TIMEOUT_MS, POOL_TIMEOUT_S
from annotation.store import campaigns, people, places
from app import lane
from app.api.main import ROUTERS as API_ROUTERS
from app.deps import adjudicator, annotator
from app.lane import AT_ONCE, BusyError, in_lane
from app.routes import ROUTERS
from tests.browser.desk import Desk, a_desk, two_turns

laned = asynccontextmanager(in_lane)


class Counter:
    """Requests that are worked on until they are let go."""

    def __init__(self, method: str = "POST") -> None:
        self.request = Request({"type": "http", "method": method, "path": "/assignments/7"})
        self.at_work: set[int] = set()
        self.begun: list[int] = []
        self.let_go = asyncio.Event()

    async def serve(self, number: int) -> None:
        async with laned(self.request):
            self.begun.append(number)
            self.at_work.add(number)
            await self.let_go.wait()
            self.at_work.remove(number)


async def until(holds: Callable[[], bool]) -> None:
    """Waits for what other tasks do."""
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0)


def test_a_few_are_worked_on_at_a_time_and_all_in_their_order() -> None:
    async def scene() -> tuple[set[int], list[int]]:
        counter = Counter()
        served = [asyncio.create_task(counter.serve(number)) for number in range(10)]
        await until(lambda: len(counter.at_work) >= AT_ONCE)
        for _ in range(100):  # whatever else could begin has its chance
            await asyncio.sleep(0)
        at_once = set(counter.at_work)
        counter.let_go.set()
        await asyncio.gather(*served)
        return at_once, counter.begun

    assert asyncio.run(scene()) == (set(range(AT_ONCE)), list(range(10)))


def test_who_only_looks_waits_for_nobody_who_writes() -> None:
    async def scene() -> None:
        writing, looking = Counter(), Counter("GET")
        served = [asyncio.create_task(writing.serve(number)) for number in range(10)]
        await until(lambda: len(writing.at_work) == AT_ONCE)
        looking.let_go.set()
        async with asyncio.timeout(20):
            await looking.serve(0)
        assert len(writing.begun) == AT_ONCE
        writing.let_go.set()
        await asyncio.gather(*served)

    asyncio.run(scene())


def test_who_waits_too_long_gives_up_and_who_comes_later_is_served(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lane, "PATIENCE_S", 0.05)

    async def scene() -> list[int]:
        counter = Counter()
        served = [asyncio.create_task(counter.serve(number)) for number in range(AT_ONCE)]
        await until(lambda: len(counter.at_work) == AT_ONCE)
        with pytest.raises(BusyError):
            await counter.serve(98)
        counter.let_go.set()
        await asyncio.gather(*served)
        await counter.serve(99)
        return counter.begun

    assert asyncio.run(scene()) == [*range(AT_ONCE), 99]
    assert caplog.messages == ["too much at once: POST /assignments/7 waited in vain"]


def test_who_is_given_up_in_the_moment_of_their_turn_takes_nobodys_place() -> None:
    async def scene() -> None:
        counter = Counter()
        for _ in range(3 * AT_ONCE):
            served = [asyncio.create_task(counter.serve(number)) for number in range(AT_ONCE)]
            await until(lambda: len(counter.at_work) == AT_ONCE)
            next_one = asyncio.create_task(counter.serve(99))
            await asyncio.sleep(0)
            counter.let_go.set()
            await asyncio.sleep(0)
            next_one.cancel()
            await asyncio.gather(*served, next_one, return_exceptions=True)
            counter.let_go.clear()
            assert counter.at_work <= {99}
            counter.at_work.clear()

    asyncio.run(asyncio.wait_for(scene(), 20))


def test_a_place_is_given_back_by_who_fails() -> None:
    async def scene() -> None:
        for _ in range(AT_ONCE + 1):
            with pytest.raises(ZeroDivisionError):
                async with asyncio.timeout(10), laned(Counter().request):
                    raise ZeroDivisionError

    asyncio.run(scene())


def test_nobody_waits_longer_for_the_database_than_for_their_turn() -> None:
    assert max(BUSY_TIMEOUT_MS / 1000, POOL_TIMEOUT_S) < lane.PATIENCE_S


def test_a_page_is_shown_while_drafts_wait_to_be_written(tmp_path: Path, sqlite_template: Path) -> None:
    """On SQLite, where one writes at a time: here somebody who takes long."""
    file = tmp_path / "zhongjing.sqlite3"
    file.write_bytes(sqlite_template.read_bytes())
    with a_desk(tmp_path / "home", f"sqlite:///{file}") as desk:
        two_turns(desk)
        with desk.database.writing() as session:
            li = people.by_login(session, "li")
            assert li is not None
            token = people.log_in(session, li)
            held = places.reserve_next(session, li, campaigns.get(session, 1))
            assert held is not None
        path = f"/assignments/{held.id}"
        with ThreadPoolExecutor(AT_ONCE + 1) as pool, desk.database.writing() as session:
            session.execute(text("UPDATE campaigns SET name = name"))  # from here on nobody else writes
            drafts = [pool.submit(asked, desk, token, "POST", f"{path}/draft") for _ in range(AT_ONCE + 1)]
            assert asked(desk, token, "GET", path) == 200
            assert not any(draft.done() for draft in drafts)
        assert {draft.result() for draft in drafts} <= {200, 409}


def asked(desk: Desk, token: str, method: str, path: str) -> int:
    """The status of an answer."""
    body = b"revision=0" if method == "POST" else None
    headers = {"Cookie": f"zhongjing={token}", "Origin": desk.url, "HX-Request": "true"}
    request = urllib.request.Request(desk.url + path, body, headers, method=method)  # noqa: S310  (this machine's own)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("path", ["/busy", "/api/busy"])
def test_giving_up_is_told_as_what_it_is(web: FastAPI, path: str) -> None:
    def busy() -> None:
        raise BusyError

    (web.state.api if path.startswith("/api") else web).add_api_route("/busy", busy)
    answer = TestClient(web, raise_server_exceptions=False).get(path, headers={"accept-language": "en"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "Too much is going on here at the moment" in answer.text


def test_who_ranks_and_who_reviews_goes_in_a_lane_and_nobody_else() -> None:
    routes = [route for router in (*ROUTERS, *API_ROUTERS) for route in router.routes if isinstance(route, APIRoute)]
    laned_ones = [route for route in routes if in_lane in calls(route.dependant)]
    assert len(laned_ones) > 30
    for route in routes:
        working = {annotator, adjudicator} & calls(route.dependant)
        assert bool(working) == (route in laned_ones), route.path


def calls(dependant: Dependant) -> set[object]:
    """All that a route depends on."""
    return {dependant.call}.union(*(calls(each) for each in dependant.dependencies))
