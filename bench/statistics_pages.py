"""How long an admin waits for figures: the overview and every part of the statistics of a campaign of 20,000 turns.

Each page is asked for by a process of its own that has computed nothing before (cold), then again with nothing changed
(warm), then after one more ranking of that campaign (again). The write lock that a change of policy holds is timed too.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated

import psutil
import typer
from sqlalchemy import insert, select, update
from starlette.testclient import TestClient

from annotation.db import Database, utcnow
from annotation.people_tables import Role, User
from annotation.ranking import Ranking as Order
from annotation.review_policy import Policy, ReviewPolicy
from annotation.review_tables import Adjudication
from annotation.store import campaigns, people, places, policies, rankings, review_queue, statistics
from annotation.store.rankings import Submission
from annotation.tables import Assignment, Ranking, SettledBy, Turn, TurnState
from app.launch import environment_of
from app.main import serve
from app.settings import Settings
from bench.figures import say
from bench.freeze import strict, vote
from bench.seed import Seeded, Size, seed
from bench.servers import Backend, database, databases
from bench.site import note

DECIDED = 0.6
"""So much of what was contested is decided."""

TIMES = 5
COLD_S, WARM_MS, LOCK_S = 1.0, 100.0, 1.0
OVERVIEW = ("", "/campaigns/{id}/glance", "/campaigns/{id}/review-policy")
PARTS = tuple(f"/campaigns/{{id}}/statistics/{name}" for name in statistics.SECTIONS)


def main(
    number: Annotated[int, typer.Option("--seed", help="Draws the campaign and the rankings")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="2,000 turns instead of 20,000")] = False,
    visit: Annotated[tuple[str, str, str, int] | None, typer.Option(hidden=True)] = None,
) -> None:
    """The pages on PostgreSQL and on SQLite."""
    if visit is not None:
        sys.stdout.write(json.dumps(visited(*visit)))
        return
    size = Size(2_000 if quick else 20_000, 3_000, agreed=0.4)
    for backend in ("postgresql", "sqlite"):
        with databases(backend) as new_database:
            measure(backend, new_database("statistics"), size, number)


def measure(backend: Backend, url: str, size: Size, number: int) -> None:
    """Says how long everything takes on one kind of database."""
    with database(url) as opened:
        seeded = seed(opened, size, number)
        waiting = decide(opened, random.Random(number))
        with opened.writing() as session:
            admin = session.scalars(select(User).where(User.role == Role.ADMIN)).one()
            token = people.log_in(session, admin)
    told = (
        f"{size.finished:,} turns with {2 * size.finished:,} rankings by {size.annotators} annotators, {waiting:,} "
        f"contested, {backend}, {psutil.cpu_count()} cores with the database on them, a process a page, seed {number}"
    )
    suffix = "" if backend == "postgresql" else f"_{backend}"
    for name, pages in (("overview", OVERVIEW), ("statistics", PARTS)):
        found = {page: _visit(url, token, page.format(id=seeded.campaign_id), seeded) for page in pages}
        for page, times in found.items():
            note(f"{backend} /admin{page}: " + ", ".join(f"{each:.3f}" for each in times) + " s cold, warm, again")
        cold, warm, again = (max(each) for each in zip(*found.values(), strict=True))
        tell = partial(say, better="lower", conditions=f"{told}; the slowest of {len(pages)} pages")
        tell(f"{name}.cold_s{suffix}", round(cold, 3), "s", target=COLD_S)
        tell(f"{name}.warm_ms{suffix}", round(1000 * warm, 1), "ms", target=WARM_MS)
        tell(f"{name}.after_a_ranking_s{suffix}", round(again, 3), "s", target=COLD_S)
    _measure_queue(url, seeded, told, suffix)


def _measure_queue(url: str, seeded: Seeded, told: str, suffix: str) -> None:
    with database(url) as opened:
        with opened.writing() as session:
            expert = session.scalars(select(User).where(User.role == Role.ADJUDICATOR)).one()
            next_one = median(_timed(lambda: review_queue.find(session, expert, audits=True)) for _ in range(TIMES))
        lock = _timed(lambda: _change(opened, seeded.campaign_id))
    say(f"review.next_ms{suffix}", round(1000 * next_one, 2), "ms", better="lower", conditions=told)
    said = f"{told}; beyond a distance of 1; from the first statement to the commit, nothing remembered"
    say(f"policy.change_s{suffix}", round(lock, 3), "s", better="lower", target=LOCK_S, conditions=said)


def _change(opened: Database, campaign_id: int) -> None:
    with opened.writing() as session:
        campaign, chosen = campaigns.get(session, campaign_id), Policy(ReviewPolicy.BEYOND_DISTANCE, 1)
        policies.change(session, campaign, chosen, audit_share=0.05, actor_id=None)


def decide(opened: Database, rng: random.Random) -> int:
    """An adjudicator has sided with the first ranking in most of what was contested; returns what still waits."""
    with opened.writing() as session:
        third = people.add(session, "third", "专家", Role.ADJUDICATOR).id
        given = session.execute(
            select(Assignment.turn_id, Assignment.id, Assignment.user_id, Ranking.body)
            .join(Ranking, Ranking.assignment_id == Assignment.id)
            .join(Turn, Turn.id == Assignment.turn_id)
            .where(Turn.state == TurnState.CONTESTED)
            .order_by(Assignment.turn_id, Assignment.place)
        ).all()
        both = list(zip(given[::2], given[1::2], strict=True))
        chosen = [each for each in both if rng.random() < DECIDED]
        votes = [
            vote(one[0], third, (one[1], two[1]), (one[2], two[2]), (Order.from_json(one[3]), Order.from_json(two[3])))
            for one, two in chosen
        ]
        session.execute(insert(Adjudication), votes)
        done = {"state": TurnState.SETTLED, "settled_by": SettledBy.ADJUDICATED, "settled_at": utcnow()}
        session.execute(update(Turn), [{"id": each["turn_id"], **done} for each in votes])
        return len(both) - len(chosen)


def _visit(url: str, token: str, page: str, seeded: Seeded) -> list[float]:
    with tempfile.TemporaryDirectory(prefix="zhongjing-bench-home-") as home:
        settings = Settings(home=Path(home), DATABASE_URL=url)
        command = [sys.executable, "-m", "bench.statistics_pages", "--visit", url, token, page, str(seeded.campaign_id)]
        done = subprocess.run(command, env=environment_of(settings), check=True, stdout=subprocess.PIPE, text=True)
    found: list[float] = json.loads(done.stdout)
    return found


def visited(url: str, token: str, page: str, campaign_id: int) -> list[float]:
    """What the process of its own does: seconds at first, with nothing changed, and after one more ranking."""
    settings = Settings()
    with TestClient(serve(), base_url=f"http://127.0.0.1:{settings.port}") as web:
        web.cookies.set(settings.cookie, token)

        def look() -> None:
            assert web.get(f"/admin{page}").status_code == 200

        web.get("/login")  # what every page needs is loaded
        cold, warm = _timed(look), median(_timed(look) for _ in range(TIMES))
        with database(url) as opened:
            _rank_one(opened, campaign_id)
        return [cold, warm, _timed(look)]


def _rank_one(opened: Database, campaign_id: int) -> None:
    with opened.writing() as session:
        doctor = campaigns.members(session, campaign_id)[0]
        held = places.reserve_next(session, doctor, campaigns.get(session, campaign_id))
        assert held is not None
        order = strict([0, 1, 2, 3], random.Random(0))
        rankings.submit(session, held, Submission(f"one-more-{held.id}", order, active_seconds=60.0))


def _timed(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


if __name__ == "__main__":
    typer.run(main)
