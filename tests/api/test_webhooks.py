"""The admin's programs make webhooks and see what became of each message."""

from __future__ import annotations

from annotation.db import Database
from annotation.outside_tables import Delivery, DeliveryState
from annotation.tables import Campaign
from tests.api.conftest import Program, contest
from tests.api.test_access import is_problem
from tests.api.test_ranking import pages
from tests.conftest import Cast

GIVEN = {"url": "https://hook.example/x", "events": ["turn.contested"]}


def test_a_webhook_tells_its_secret_once(program: Program, cast: Cast) -> None:
    client = program("sun")
    made = client.post("/api/v1/webhooks", json=GIVEN)
    assert made.status_code == 201
    assert len(made.json()["secret"]) == 43
    for path in ("/api/v1/webhooks", f"/api/v1/webhooks/{made.json()['id']}"):
        assert "secret" not in client.get(path).text


def test_what_happens_is_written_for_the_webhook_and_listed(program: Program, imported: Campaign) -> None:
    client = program("sun")
    client.post("/api/v1/webhooks", json=GIVEN)
    contest(program, imported)
    client.post("/api/v1/webhooks/1/test")
    said = pages(client, "/api/v1/webhooks/1/deliveries", 1)
    assert [each["event"] for each in said] == ["ping", "turn.contested"]
    assert said[1]["data"] == {"campaign_id": imported.id, "turn_id": 1}
    assert said[1]["state"] == "waiting"


def test_a_message_that_was_given_up_is_sent_again(program: Program, database: Database, cast: Cast) -> None:
    client = program("sun")
    client.post("/api/v1/webhooks", json=GIVEN)
    client.post("/api/v1/webhooks/1/test")
    with database.writing() as session:
        delivery = session.get(Delivery, 1)
        assert delivery is not None
        delivery.state = DeliveryState.GIVEN_UP
    assert client.post("/api/v1/webhooks/1/deliveries/1/retry").json()["state"] == "waiting"
    is_problem(client.post("/api/v1/webhooks/1/deliveries/2/retry"), 404)


def test_an_ended_webhook_stays_in_the_list_and_takes_no_test(program: Program, cast: Cast) -> None:
    client = program("sun")
    client.post("/api/v1/webhooks", json=GIVEN)
    assert client.delete("/api/v1/webhooks/1").json()["active"] is False
    assert [each["active"] for each in client.get("/api/v1/webhooks").json()["items"]] == [False]
    is_problem(client.post("/api/v1/webhooks/1/test"), 409)


def test_an_event_that_is_none_is_refused(program: Program, cast: Cast) -> None:
    for wrong in ({"events": ["ping"]}, {"events": []}, {"events": ["x"]}, {"url": "ftp://x/"}):
        is_problem(program("sun").post("/api/v1/webhooks", json={**GIVEN, **wrong}), 422)
