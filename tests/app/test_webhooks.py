"""The admin's page of webhooks, and the bell that wakes who sends."""

from __future__ import annotations

import re
import threading

import pytest
from fastapi import FastAPI

from annotation.db import Database
from annotation.outside_tables import Delivery, DeliveryState
from annotation.store import hooks
from app.bell import Bell
from tests.app.conftest import Browse
from tests.conftest import Cast, wait_for

FORM = {"url": "https://hook.example/x", "event": ["turn.settled", "run.finished"]}


def test_a_webhook_is_made_with_a_secret_that_is_shown_once(browse: Browse, database: Database) -> None:
    client = browse("sun")
    made = client.post("/admin/webhooks", data=FORM).text
    [secret] = re.findall(r'id="secret">([\w-]{43})<', made)
    with database.reading() as session:
        assert hooks.get(session, 1).secret == secret
        assert hooks.get(session, 1).events == ["turn.settled", "run.finished"]
    for path in ("/admin/webhooks", "/admin/webhooks/1"):
        page = client.get(path).text
        assert "https://hook.example/x" in page
        assert secret not in page


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.7:8443", "[::1]", "localhost", "hook.localhost"])
def test_a_webhook_into_a_private_network_is_refused_with_the_setting(browse: Browse, host: str) -> None:
    refused = browse("sun").post("/admin/webhooks", data={**FORM, "url": f"https://{host}/x"})
    assert refused.status_code == 422
    assert "ZHONGJING_WEBHOOKS_TO_PRIVATE" in refused.text


def test_what_kept_a_message_from_arriving_is_said_in_words(browse: Browse, database: Database) -> None:
    client = browse("sun")
    client.post("/admin/webhooks", data=FORM)
    client.post("/admin/webhooks/1/test")
    with database.writing() as session:
        delivery = session.get_one(Delivery, 1)
        attempt = {"at": "2026-01-01T00:00:00+00:00", "seconds": 0.1, "status": None}
        delivery.tries = [{**attempt, "error": "private address: hook.example"}, {**attempt, "error": "not sent"}]
    page = client.get("/admin/webhooks/1").text
    assert "ZHONGJING_WEBHOOKS_TO_PRIVATE is true" in page
    assert "(hook.example)" in page
    assert "the worker&#39;s log says why" in page


def test_a_test_message_is_listed_with_its_attempts_and_can_be_sent_again(browse: Browse, database: Database) -> None:
    client = browse("sun")
    client.post("/admin/webhooks", data=FORM)
    assert client.post("/admin/webhooks/1/test").status_code == 303
    with database.writing() as session:
        delivery = session.get(Delivery, 1)
        assert delivery is not None
        delivery.state, delivery.attempts = DeliveryState.GIVEN_UP, 1
        delivery.tries = [{"at": "2026-01-01T00:00:00+00:00", "seconds": 0.1, "status": 503, "error": ""}]
    page = client.get("/admin/webhooks/1").text
    assert "503" in page
    assert "given up" in page
    assert client.post("/admin/webhooks/1/deliveries/1/retry").status_code == 303
    assert client.post("/admin/webhooks/1/deliveries/9/retry").status_code == 404
    with database.reading() as session:
        assert hooks.is_due(session)


def test_a_webhook_that_is_ended_sends_nothing_more(browse: Browse, database: Database) -> None:
    client = browse("sun")
    client.post("/admin/webhooks", data=FORM)
    client.post("/admin/webhooks/1/test")
    assert client.post("/admin/webhooks/1/deactivate").status_code == 303
    with database.reading() as session:
        assert not hooks.is_due(session)
    assert client.post("/admin/webhooks/1/test").status_code == 409


def test_an_address_that_is_none_is_refused_in_words(browse: Browse) -> None:
    client = browse("sun")
    assert client.post("/admin/webhooks", data={**FORM, "url": "ftp://x"}).status_code == 422
    assert client.post("/admin/webhooks", data={"url": FORM["url"]}).status_code == 422


def test_only_the_admin_knows_of_webhooks(browse: Browse, cast: Cast) -> None:
    for login in ("li", "zhao"):
        client = browse(login)
        for path in ("/admin/webhooks", "/admin/webhooks/1"):
            assert client.get(path).status_code == 404


def test_the_bell_is_rung_once_the_message_is_committed(web: FastAPI, browse: Browse, database: Database) -> None:
    due: list[bool] = []

    def look() -> None:
        with database.reading() as session:
            due.append(hooks.is_due(session))

    web.state.bell = Bell(look)
    client = browse("sun")
    client.post("/admin/webhooks", data=FORM)
    assert due == []
    client.post("/admin/webhooks/1/test")
    wait_for(lambda: bool(due))
    assert due == [True]


def test_a_bell_that_is_rung_keeps_nobody_waiting() -> None:
    goes_on, calls = threading.Event(), []

    def slow() -> None:
        calls.append(1)
        goes_on.wait(10)

    bell = Bell(slow)
    for _ in range(100):
        bell.ring()
    wait_for(lambda: bool(calls))
    assert len(calls) == 1
    goes_on.set()
