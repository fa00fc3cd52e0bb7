"""A seeded database with the web in front of it: built, visited, and asked afterwards what it kept."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median

import psutil
from sqlalchemy import func, select, text

from annotation.db import Database
from annotation.store import people
from annotation.tables import Assignment, AssignmentState, Purpose, Ranking, Turn, TurnOrder
from bench.schedule import percentile
from bench.seed import Size, seed
from bench.servers import Backend, NewDatabase, database, installation
from bench.visits import Plan, Seen

RATE = 100.0
MOST_LAG_MS = 20.0
"""A run in which one of a hundred requests was sent later than so is void: the generator had no time."""


class VoidError(Exception):
    """A run that says nothing; the message says why."""


@dataclass(frozen=True)
class Stretch:
    """How long the web is visited, in seconds; the first ones are not measured."""

    warm_up: float
    seconds: float


@dataclass(frozen=True)
class Site:
    """A seeded database; ``logins`` are the tokens of open login sessions, ``acknowledged`` fills with each run."""

    url: str
    backend: Backend
    size: Size
    campaign_id: int
    logins: Sequence[str]
    acknowledged: list[str] = field(default_factory=list)

    @property
    def processes(self) -> int:
        """How many web processes serve it."""
        return 2 if self.backend == "postgresql" else 1

    @property
    def conditions(self) -> str:
        """What is said with each figure."""
        processes = "two web processes" if self.processes == 2 else "one web process"
        return (
            f"{self.size.finished:,} turns with {2 * self.size.finished:,} rankings and {self.size.untouched:,} more "
            f"to rank {self.size.order.value}, {len(self.logins)} annotators, {self.backend}, {processes}, "
            f"{psutil.cpu_count()} cores with the database and the generator on them, {RATE:g} requests/s open loop "
            "(Poisson)"
        )


def build(
    new_database: NewDatabase, backend: Backend, turns: int, number: int, order: TurnOrder = TurnOrder.IMPORT
) -> Site:
    """A campaign of so many turns with two rankings each, and a tenth more, at least 3,000, to go on with."""
    size = Size(turns, max(3_000, turns // 10), order=order)
    note(f"{backend}: seeding {size.turns:,} turns with {2 * size.finished:,} rankings")
    url = new_database(f"turns{turns}")
    with database(url) as opened:
        seeded = seed(opened, size, number)
        with opened.writing() as session:
            logins = [people.log_in(session, people.get(session, user_id)) for user_id in seeded.annotators]
    return Site(url, backend, size, seeded.campaign_id, logins)


def run(site: Site, stretch: Stretch, number: int) -> Seen:
    """Starts the web, visits it and ends it; raises VoidError where the generator lagged or nothing was left."""
    with installation(site.url, site.processes) as (port, web):
        plan = Plan(
            port=port,
            campaign_id=site.campaign_id,
            tokens=site.logins,
            web=[process.pid for process in web],
            database=_server_of(site),
            rate=RATE,
            warm_up=stretch.warm_up,
            seconds=stretch.seconds,
            seed=number,
        )
        seen = _visited(plan)
    site.acknowledged.extend(seen.acknowledged)
    note(_summary(site, seen))
    lag = percentile(seen.lags, 0.99)
    if lag > MOST_LAG_MS:
        raise VoidError(f"The generator lagged by {lag:.0f} ms, so this run is void: leave the machine to it alone.")
    return seen


def _visited(plan: Plan) -> Seen:
    done = subprocess.run(
        [sys.executable, "-m", "bench.visits"],
        input=json.dumps(asdict(plan)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=plan.warm_up + plan.seconds + 300,
    )
    return Seen(**json.loads(done.stdout))


def _server_of(site: Site) -> list[int]:
    """The process above those of the database, where it is a server."""
    if site.backend == "sqlite":
        return []
    with database(site.url) as opened, opened.reading() as session:
        return [psutil.Process(session.scalar(text("SELECT pg_backend_pid()"))).ppid()]


@dataclass(frozen=True)
class Kept:
    """What the database holds afterwards: all of these are 0 where nothing went wrong."""

    lost: int
    stored_twice: int
    double_places: int


def kept(site: Site) -> Kept:
    """Looks for acknowledged rankings that are missing or there twice, and for turns given to too many."""
    with database(site.url) as opened:
        return Kept(_lost(opened, site), _stored_twice(opened), _double_places(opened))


def _lost(opened: Database, site: Site) -> int:
    with opened.reading() as session:
        found = Counter(
            key
            for i in range(0, len(site.acknowledged), 500)
            for key in session.scalars(
                select(Ranking.submission_key).where(Ranking.submission_key.in_(site.acknowledged[i : i + 500]))
            )
        )
    return sum(found[key] != 1 for key in site.acknowledged)


def _stored_twice(opened: Database) -> int:
    """Nobody corrects anything here, so a second version is the first one sent again."""
    with opened.reading() as session:
        return session.scalar(select(func.count()).where(Ranking.version > 1)) or 0


def _double_places(opened: Database) -> int:
    """Turns that more than two people work on, or one person twice, or that count their places wrongly."""
    held = (
        select(Assignment.turn_id, func.count().label("n"), func.count(Assignment.user_id.distinct()).label("people"))
        .where(
            Assignment.purpose == Purpose.LABEL,
            Assignment.state.in_((AssignmentState.RESERVED, AssignmentState.SUBMITTED)),
        )
        .group_by(Assignment.turn_id)
        .subquery()
    )
    wrong = (held.c.n > 2) | (held.c.people < held.c.n) | (held.c.n != Turn.places_taken)
    with opened.reading() as session:
        return (
            session.scalar(select(func.count()).select_from(held).join(Turn, Turn.id == held.c.turn_id).where(wrong))
            or 0
        )


def _summary(site: Site, seen: Seen) -> str:
    """For whoever watches: what stands in no figure."""
    kinds = "; ".join(
        f"{kind} n {len(each)} p50 {median(each):.1f} p99 {percentile(each, 0.99):.1f} ms"
        for kind, each in seen.latencies.items()
    )
    each = 1000 / seen.requests
    errors = ", ".join(f"{n} x {error}" for error, n in Counter(seen.errors).most_common(5)) or "no errors"
    return (
        f"{site.backend}, {site.size.finished:,} turns: {seen.requests} requests in {seen.seconds:.1f} s; {kinds}; "
        f"CPU-ms a request: web {seen.web_cpu * each:.2f}, database {seen.database_cpu * each:.2f}, generator "
        f"{seen.own_cpu * each:.2f}; lag p99 {percentile(seen.lags, 0.99):.1f} ms; {errors}"
    )


def note(line: str) -> None:
    """Says something beside the figures."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
