"""The lane: a few requests at a time, in their order, and none waits for ever."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from app import lane
from app.api import ranking as api_ranking
from app.api import review as api_review
from app.lane import AT_ONCE, IN_LANE, BusyError, in_lane
from app.routes import ranking, review

laned = asynccontextmanager(in_lane)


class Counter:
    """Requests that are worked on until they are let go."""

    def __init__(self) -> None:
        self.at_work: set[int] = set()
        self.begun: list[int] = []
        self.let_go = asyncio.Event()

    async def serve(self, number: int) -> None:
        async with laned():
            self.begun.append(number)
            self.at_work.add(number)
            await self.let_go.wait()
            self.at_work.remove(number)


def test_a_few_are_worked_on_at_a_time_and_all_in_their_order() -> None:
    async def scene() -> tuple[set[int], list[int]]:
        counter = Counter()
        served = [asyncio.create_task(counter.serve(number)) for number in range(10)]
        await asyncio.sleep(0.05)
        at_once = set(counter.at_work)
        counter.let_go.set()
        await asyncio.gather(*served)
        return at_once, counter.begun

    assert asyncio.run(scene()) == (set(range(AT_ONCE)), list(range(10)))


def test_who_waits_too_long_gives_up_and_who_comes_later_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "PATIENCE_S", 0.05)

    async def scene() -> list[int]:
        counter = Counter()
        served = [asyncio.create_task(counter.serve(number)) for number in range(AT_ONCE)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await counter.serve(98)
        counter.let_go.set()
        await asyncio.gather(*served)
        await counter.serve(99)
        return counter.begun

    assert asyncio.run(scene()) == [*range(AT_ONCE), 99]


def test_a_place_is_given_back_by_who_fails() -> None:
    async def scene() -> None:
        for _ in range(AT_ONCE + 1):
            with pytest.raises(ZeroDivisionError):
                async with asyncio.timeout(10), laned():
                    raise ZeroDivisionError

    asyncio.run(scene())


@pytest.mark.parametrize("path", ["/busy", "/api/busy"])
def test_giving_up_is_told_as_what_it_is(web: FastAPI, path: str) -> None:
    def busy() -> None:
        raise BusyError

    (web.state.api if path.startswith("/api") else web).add_api_route("/busy", busy)
    answer = TestClient(web, raise_server_exceptions=False).get(path, headers={"accept-language": "en"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "Too much is going on here at the moment." in answer.text


def test_who_ranks_and_who_reviews_goes_in_the_lane() -> None:
    for each in (ranking, review, api_ranking, api_review):
        routes = [route for route in each.router.routes if isinstance(route, APIRoute)]
        assert routes
        assert all(IN_LANE in route.dependencies for route in routes)
