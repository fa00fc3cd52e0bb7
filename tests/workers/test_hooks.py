"""Messages to hooks go out over a real connection, signed, and only to where they may."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from annotation.db import Database
from annotation.outside_tables import Delivery, DeliveryState, Event, Webhook
from annotation.store import hooks
from annotation.store.hooks import Message
from workers import outward
from workers.hooks import send, send_some, sign


@dataclass
class Receiver:
    """The other side: what it was sent, and what it answers."""

    url: str = ""
    status: int = 204
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A server on this machine."""
    told = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            told.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(told.status)
            self.send_header("location", f"{told.url}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    told.url = f"http://127.0.0.1:{server.server_port}"
    yield told
    server.shutdown()
    server.server_close()


@pytest.fixture
def hook(database: Database, receiver: Receiver) -> Webhook:
    """A hook at the receiver."""
    with database.writing() as session:
        return hooks.create(session, f"{receiver.url}/hook?a=1", [Event.RUN_FINISHED], actor_id=None)


def ping(database: Database, hook: Webhook) -> int:
    """Writes a test message; returns its number."""
    with database.writing() as session:
        return hooks.ping(session, session.merge(hook)).id


def delivery(database: Database, number: int) -> Delivery:
    """The message as it stands."""
    with database.reading() as session:
        found = session.get(Delivery, number)
        assert found is not None
        return found


def due_now(database: Database, number: int) -> None:
    """Lets the time pass until the next attempt."""
    with database.writing() as session:
        found = session.get(Delivery, number)
        assert found is not None
        found.next_attempt_at = found.created_at


def verified(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """What docs/api.md tells receivers to do."""
    parts = dict(part.split("=", 1) for part in headers["x-zhongjing-signature"].split(","))
    expected = hmac.new(secret.encode(), parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, parts["v1"]) and abs(time.time() - int(parts["t"])) < 300


def test_a_message_arrives_signed_and_is_not_sent_twice(database: Database, receiver: Receiver, hook: Webhook) -> None:
    number = ping(database, hook)
    assert send_some(database, to_private=True) == 1
    assert send_some(database, to_private=True) == 0
    [(headers, body)] = receiver.got
    found = delivery(database, number)
    assert verified(hook.secret, headers, body)
    assert not verified("another secret", headers, body)
    assert not verified(hook.secret, headers, body + b" ")
    assert headers["x-zhongjing-delivery"] == json.loads(body)["id"] == found.key
    assert headers["x-zhongjing-event"] == json.loads(body)["event"] == "ping"
    assert (found.state, found.tries[0]["status"]) == (DeliveryState.DELIVERED, 204)


def test_a_refused_message_is_sent_again_with_the_same_bytes(
    database: Database, receiver: Receiver, hook: Webhook
) -> None:
    number = ping(database, hook)
    receiver.status = 503
    send_some(database, to_private=True)
    assert delivery(database, number).state is DeliveryState.WAITING
    assert send_some(database, to_private=True) == 0
    receiver.status = 200
    due_now(database, number)
    send_some(database, to_private=True)
    (first, body), (second, again) = receiver.got
    assert body == again
    assert first["x-zhongjing-delivery"] == second["x-zhongjing-delivery"]
    assert [each["status"] for each in delivery(database, number).tries] == [503, 200]
    assert delivery(database, number).state is DeliveryState.DELIVERED


def test_a_redirect_is_not_followed_and_is_no_success(database: Database, receiver: Receiver, hook: Webhook) -> None:
    number = ping(database, hook)
    receiver.status = 302
    send_some(database, to_private=True)
    assert len(receiver.got) == 1
    assert delivery(database, number).state is DeliveryState.WAITING


def test_nothing_is_sent_to_a_private_address_unless_it_is_allowed(
    database: Database, receiver: Receiver, hook: Webhook
) -> None:
    number = ping(database, hook)
    send_some(database, to_private=False)
    assert receiver.got == []
    assert "private address" in delivery(database, number).tries[0]["error"]


def message(url: str) -> Message:
    """A message to somewhere."""
    return Message(1, "key", "ping", url, "secret", b"{}", 1)


@pytest.mark.parametrize("host", ["localhost", "127.1", "0x7f000001", "2130706433", "[::1]", "[::ffff:127.0.0.1]"])
def test_other_spellings_of_this_machine_are_private_too(receiver: Receiver, host: str) -> None:
    port = receiver.url.rpartition(":")[2]
    attempt = send(message(f"http://{host}:{port}/"), to_private=False)
    assert attempt.status is None
    assert receiver.got == []


def test_a_name_is_resolved_once_so_that_it_cannot_change_its_meaning(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = socket.getaddrinfo

    def first_public_then_private(host: str, port: int, *args: object, **more: object) -> object:
        if host != "rebinding.example":
            return real(host, port, *args, **more)  # type: ignore[arg-type]
        asked.append(host)
        address = "203.0.113.1" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", first_public_then_private)
    monkeypatch.setattr(outward, "is_public", lambda address: address == "203.0.113.1")
    went_to: list[str] = []

    def connect(address: tuple[str, int], *_args: object, **_more: object) -> socket.socket:
        went_to.append(address[0])
        raise OSError("not here")

    monkeypatch.setattr(socket, "create_connection", connect)
    port = receiver.url.rpartition(":")[2]
    assert send(message(f"http://rebinding.example:{port}/"), to_private=False).status is None
    assert went_to == ["203.0.113.1"]
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("1.1.1.1", True),
        ("2606:4700:4700::1111", True),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104
        ("224.0.0.1", False),
        ("::", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:1.1.1.1", True),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert outward.is_public(address) is public


def test_one_who_answers_drop_by_drop_is_left_when_the_time_is_over() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        done = threading.Event()

        def drip() -> None:
            taken, _ = listening.accept()
            with taken:
                for byte in b"HTTP/1.1 200 OK\r\nx-slow: " + b"a" * 1000:
                    if done.wait(0.05):
                        return
                    taken.send(bytes([byte]))

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        began = time.monotonic()
        with pytest.raises(outward.httpcore2.TimeoutException):
            outward.post(f"http://127.0.0.1:{listening.getsockname()[1]}/", {}, b"{}", to_private=True, seconds=0.5)
        assert time.monotonic() - began < 3
        done.set()
        thread.join(5)


def test_one_that_hangs_does_not_keep_the_others_waiting(database: Database, receiver: Receiver, hook: Webhook) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        with database.writing() as session:
            dead = hooks.create(
                session, f"http://127.0.0.1:{silent.getsockname()[1]}/", [Event.RUN_FINISHED], actor_id=None
            )
            for number in range(5):
                hooks.tell(session, Event.RUN_FINISHED, run_id=number, state="failed")
        while send_some(database, to_private=True):
            pass
    assert len(receiver.got) == 5
    with database.reading() as session:
        states = {each.state for each in session.query(Delivery).filter(Delivery.webhook_id == dead.id)}
    assert states == {DeliveryState.WAITING}


def test_the_signature_is_the_one_that_the_documentation_names() -> None:
    said = sign("secret", 1700000000, b'{"a":1}')
    assert said == hmac.new(b"secret", b'1700000000.{"a":1}', hashlib.sha256).hexdigest()
