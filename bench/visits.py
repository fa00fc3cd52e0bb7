"""The other side of the load: doctors with browsers, in a process of their own, each request at its appointed time.

``python -m bench.visits`` reads a ``Plan`` as JSON on standard input and writes what came of it. A doctor asks for the
next turn, opens it, saves the draft as it grows, submits, and goes on, over two connections that stay open; now and
then a submission is sent twice at once, as by an impatient finger on a bad line. A request that is due while the doctor
still waits for the answer before counts from when it was due.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle
from typing import Any
from urllib.parse import urlencode

import psutil

from bench.schedule import arrivals

KEY = re.compile(rb'name="key" value="(\w+)"')
REVISION = re.compile(rb'name="revision" value="(\d+)"')
SENT_TWICE = 0.05
DRAFTS = 2


@dataclass(frozen=True)
class Plan:
    """Whom to visit as whom, how often and for how long; the first seconds are not measured."""

    port: int
    campaign_id: int
    tokens: Sequence[str]
    web: Sequence[int]
    database: Sequence[int]
    rate: float
    warm_up: float
    seconds: float
    seed: int


@dataclass
class Seen:
    """What came of a plan: latencies in ms by kind, how late requests were sent for want of this process's time.

    The processor times, in seconds, are of the measured time alone, as ``requests`` is.
    """

    requests: int = 0
    latencies: dict[str, list[float]] = field(default_factory=dict)
    lags: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    seconds: float = 0.0
    web_cpu: float = 0.0
    database_cpu: float = 0.0
    own_cpu: float = 0.0


@dataclass(frozen=True)
class Answer:
    """An answer of the web."""

    status: int
    location: str
    body: bytes


class Connection:
    """A connection that stays open, as a browser keeps it."""

    def __init__(self, port: int, cookie: str) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.asked = 0
        self._headers = (
            f"Host: 127.0.0.1:{port}\r\nCookie: {cookie}\r\nOrigin: http://127.0.0.1:{port}\r\n"
            "Sec-Fetch-Site: same-origin\r\nAccept: text/html,application/xhtml+xml,*/*;q=0.8\r\n"
            "Accept-Language: zh-CN,zh;q=0.9,en;q=0.8\r\nAccept-Encoding: gzip, deflate, br\r\n"
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari\r\n"
        )

    async def ask(self, method: str, path: str, body: bytes = b"", kind: str = "") -> Answer:
        """One request and its answer; raises OSError or EOFError where the web hangs up."""
        if self._reader is None or self._writer is None or self._reader.at_eof():  # the web hangs up on who is idle
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self.asked += 1
        head = f"{method} {path} HTTP/1.1\r\n{self._headers}"
        if method == "POST":
            head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            head += "HX-Request: true\r\n" if body else ""
        self._writer.write(head.encode() + b"\r\n" + body)
        try:
            return await _read(self._reader)
        except (OSError, EOFError):
            self._reader = self._writer = None  # the next request opens another one
            raise


async def _read(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
    body = await reader.readexactly(int(fields.get("content-length", 0)))
    return Answer(int(head[0].split(" ", 2)[1]), fields.get("location", ""), body)


class Doctor:
    """Somebody at work: each call of ``step`` makes the next request of their day."""

    def __init__(self, plan: Plan, token: str, rng: random.Random) -> None:
        self._campaign_id, self._rng = plan.campaign_id, rng
        cookie = f"zhongjing={token}; locale=zh; theme=light"
        self._one, self._other = Connection(plan.port, cookie), Connection(plan.port, cookie)
        self.busy = asyncio.Lock()
        self.acknowledged: list[str] = []
        self._start_over()

    @property
    def asked(self) -> int:
        """How many requests they have made."""
        return self._one.asked + self._other.asked

    def _start_over(self) -> None:
        self._path, self._key, self._revision, self._drafts = "", "", 0, 0
        self._fields: list[tuple[str, str]] = []

    @property
    def next_kind(self) -> str:
        """What the next request is."""
        if not self._path:
            return "next"
        if not self._key:
            return "page"
        return "draft" if self._drafts < DRAFTS else "submit"

    async def step(self) -> str:
        """Makes the next request; returns what was wrong with its answer, or nothing."""
        kind = self.next_kind
        try:
            return str(await getattr(self, f"_{kind}")())
        except (OSError, EOFError, asyncio.IncompleteReadError) as error:
            return f"{kind}: {type(error).__name__}"

    async def _next(self) -> str:
        answer = await self._one.ask(
            "POST", f"/rank/{self._campaign_id}/next", kind="application/x-www-form-urlencoded"
        )
        if answer.status != 303 or not answer.location.startswith("/assignments/"):
            return f"next: {answer.status} {answer.location}"
        self._path = answer.location
        return ""

    async def _page(self) -> str:
        answer = await self._one.ask("GET", self._path)
        key, revision = KEY.search(answer.body), REVISION.search(answer.body)
        if answer.status != 200 or key is None or revision is None:
            self._start_over()
            return f"page: {answer.status}"
        self._key, self._revision = key[1].decode(), int(revision[1])
        self._judge()
        return ""

    def _judge(self) -> None:
        """The fields of the whole ranking, as the form sends them; a draft holds a part of their values."""
        places = self._rng.sample("1234", 4)
        self._fields = [(f"place-{letter}", place) for letter, place in zip("abcd", places, strict=True)]
        for boundary in "123":
            self._fields += [(f"ability-{boundary}", str(self._rng.randint(1, 9))), (f"strength-{boundary}", "")]

    def _form(self, done: float) -> bytes:
        """The form with this share of its values entered, as ``fetch`` sends it."""
        entered = int(len(self._fields) * done)
        values = [(name, value if i < entered else "") for i, (name, value) in enumerate(self._fields)]
        hidden = [("key", self._key), ("revision", str(self._revision)), ("active", "42"), ("acts", "9")]
        return urlencode([*hidden, *values]).encode()

    async def _draft(self) -> str:
        self._drafts += 1
        form = self._form(self._drafts / (DRAFTS + 1))
        answer = await self._one.ask("POST", f"{self._path}/draft", form, FORM)
        if answer.status != 200:
            self._start_over()
            return f"draft: {answer.status} {answer.body[:200]!r}"
        self._revision = json.loads(answer.body)["revision"]
        return ""

    async def _submit(self) -> str:
        path, key, form = f"{self._path}/ranking", self._key, self._form(1.0)
        self._start_over()
        lines = [self._one, self._other] if self._rng.random() < SENT_TWICE else [self._one]
        answers = await asyncio.gather(*(line.ask("POST", path, form, FORM) for line in lines))
        wrong = [answer for answer in answers if answer.status != 200]
        if len(wrong) < len(answers):
            self.acknowledged.append(key)
        return f"submit: {wrong[0].status} {wrong[0].body[:200]!r}" if wrong else ""


FORM = "application/x-www-form-urlencoded;charset=UTF-8"


async def visit(plan: Plan) -> Seen:
    """Makes every request of the plan at its time, doctor after doctor."""
    doctors = [Doctor(plan, token, random.Random(f"{plan.seed} {i}")) for i, token in enumerate(plan.tokens)]
    seen = Seen()
    start = time.perf_counter() + 0.2
    measured = start + plan.warm_up
    cpu: list[tuple[float, float, float]] = []
    visits = []
    for at, doctor in zip(arrivals(plan.rate, plan.warm_up + plan.seconds, plan.seed), cycle(doctors), strict=False):
        due = start + at
        await asyncio.sleep(max(due - time.perf_counter(), 0))
        if due >= measured:
            if not cpu:
                cpu.append(_cpu(plan))
            seen.lags.append(1000 * (time.perf_counter() - due))
        visits.append(asyncio.create_task(_one_visit(doctor, due, seen if due >= measured else Seen())))
    await asyncio.gather(*visits)
    seen.seconds = time.perf_counter() - measured
    seen.acknowledged = [key for doctor in doctors for key in doctor.acknowledged]
    now = _cpu(plan)
    seen.web_cpu, seen.database_cpu, seen.own_cpu = (now[i] - cpu[0][i] for i in range(3))
    return seen


async def _one_visit(doctor: Doctor, due: float, seen: Seen) -> None:
    async with doctor.busy:
        kind, before = doctor.next_kind, doctor.asked
        wrong = await doctor.step()
        seen.requests += doctor.asked - before
        seen.latencies.setdefault(kind, []).append(1000 * (time.perf_counter() - due))
        if wrong:
            seen.errors.append(wrong)


def _cpu(plan: Plan) -> tuple[float, float, float]:
    """Seconds of processor time that the web, the database and this process have used so far."""
    return _used(plan.web), _used(_family(plan.database)), time.process_time()


def _used(pids: Sequence[int]) -> float:
    total = 0.0
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):  # one of a database's workers may just have ended
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system
    return total


def _family(pids: Sequence[int]) -> list[int]:
    return [member.pid for pid in pids for root in [psutil.Process(pid)] for member in _members(root)]


def _members(root: psutil.Process) -> Iterator[psutil.Process]:
    yield root
    with contextlib.suppress(psutil.NoSuchProcess):
        yield from root.children(recursive=True)


def main() -> None:
    """Reads a plan and writes what was seen."""
    plan: dict[str, Any] = json.load(sys.stdin)
    json.dump(asdict(asyncio.run(visit(Plan(**plan)))), sys.stdout)


if __name__ == "__main__":
    main()
