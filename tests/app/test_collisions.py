"""Others who write at the same moment: what was undone for their sake is said so, and can be sent again."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import select, text
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from annotation.db import Database
from annotation.review_tables import Adjudication
from annotation.store import imports, places, rankings, reviews, tokens
from annotation.store.rankings import Submission
from annotation.tables import Campaign, Turn
from tests.app.conftest import Browse
from tests.conftest import Cast, wait_for
from tests.material import dialogue, ranked


@dataclass(frozen=True)
class Asked:
    """Handing a review back: by page or by program, and what either is answered where others were in the way."""

    send: Callable[[], Any]
    sentence: str


@pytest.fixture
def review(database: Database, cast: Cast, campaign: Campaign) -> Adjudication:
    """A review that Zhao has open."""
    with database.writing() as session:
        imports.add(session, session.merge(campaign), [dialogue("d1")], source="t", actor_id=None)
        for user, order in ((cast.li, "A > B > C > D"), (cast.wang, "B > A > C > D")):
            held = places.reserve_next(session, session.merge(user), session.merge(campaign))
            assert held is not None
            rankings.submit(session, held, Submission(f"key-{user.login}", ranked(order)))
        opened = reviews.open_next(session, session.merge(cast.zhao))
        assert opened is not None
        return opened


@pytest.fixture(params=["page", "program"])
def asked(
    request: pytest.FixtureRequest, web: FastAPI, database: Database, cast: Cast, browse: Browse, review: Adjudication
) -> Asked:
    """The request, by both ways in."""
    path = f"/reviews/{review.id}/hand-back"
    if request.param == "page":
        page = browse("zhao")
        said = "nothing of yours was kept: try again."
        return Asked(lambda: page.post(path, data={"version": str(review.version)}), said)
    with database.writing() as session:
        _, secret = tokens.create(session, session.merge(cast.zhao), "t", may_write=True, days=9)
    program = TestClient(web, follow_redirects=False, headers={"authorization": f"Bearer {secret}"})
    assert program.get("/api/v1/me").status_code == 200  # the use of a token is noted, which is a change by itself
    said = "Nothing was changed: send the same again in a second."
    return Asked(lambda: program.post(f"/api/v1{path}", json={"version": review.version}), said)


def waits(database: Database) -> bool:
    """Whether a transaction waits for another."""
    with database.reading() as session:
        return bool(session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))


def take_both(session: Session, review: Adjudication, database: Database) -> None:
    """Takes the turn while somebody who has it waits for the review, which this transaction has."""
    session.execute(text("SET LOCAL deadlock_timeout = '1h'"))  # so that it is the other that finds the deadlock
    wait_for(lambda: waits(database))
    session.execute(select(Turn.id).where(Turn.id == review.turn_id).with_for_update())


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_who_is_undone_by_a_deadlock_is_told_so_and_succeeds_with_the_same_again(
    database: Database, review: Adjudication, asked: Asked
) -> None:
    with ThreadPoolExecutor(1) as thread, database.writing() as session:
        session.execute(select(Adjudication.id).where(Adjudication.id == review.id).with_for_update())
        sent = thread.submit(asked.send)
        take_both(session, review, database)
        answer = sent.result(20)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert asked.sentence in answer.text
    assert asked.send().status_code in (204, 303)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_who_waits_too_long_for_another_who_writes_is_told_so_and_succeeds_with_the_same_again(
    web: FastAPI, database: Database, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annotation.db.BUSY_TIMEOUT_MS", 100)
    web.state.database.dispose()
    with database.writing() as session:
        session.execute(select(Adjudication.id))
        answer = asked.send()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert asked.sentence in answer.text
    assert asked.send().status_code in (204, 303)
