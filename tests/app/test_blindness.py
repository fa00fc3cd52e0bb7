"""Who judges learns nothing of anybody else, and no model's name: every answer they can get is searched for it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import InstrumentedAttribute, Session
from starlette.testclient import TestClient

from annotation.db import Database
from annotation.measure_tables import CalibrationRound, Pseudonym
from annotation.outside_tables import AccessToken
from annotation.people_tables import Role, User
from annotation.ranking import LETTERS
from annotation.review_tables import Adjudication
from annotation.store import campaigns, tokens
from annotation.tables import Assignment, Draft
from app import deps, watching
from app.api.main import ROUTERS as OF_THE_API
from app.routes import ROUTERS
from tests.app.judges import JUDGES, PLAYS, ROLES, Judge, browser_of, happen, new_user, program_of, tells_of

LEFT_OUT = {"/logout", "/login", "/invitation/{code}"}
"""What strangers do as well, who have nothing to be told."""

METHODS = ("POST", "PUT", "PATCH", "DELETE")
ANYTHING = {"version": "0", "key": "0123456789abcdef0123", "reason": "说明", "text": "x", "name": "x", "ability": "1"}
QUERIES = {"/assignments/{assignment_id}/compare": "?of=ab"}
AT_WORK = "at work"
"""The token with which the scan itself asks, which therefore is not revoked."""

Ids = dict[str, Sequence[int]]


@pytest.fixture
def backend() -> str:
    """One is enough: what is told does not hang on where it is kept."""
    return "sqlite"


@pytest.fixture
def judges(web: FastAPI, database: Database) -> dict[str, Judge]:
    """The people, a campaign in which everything happened that can, and their browsers and programs."""
    with database.writing() as session:
        admin = new_user(session, 999, "chief", Role.ADMIN)
        users = {name: new_user(session, n, name, ROLES[name]) for n, name in enumerate(JUDGES, start=1)}
        session.flush()
        campaign = campaigns.create(session, "试点", guideline="先看安全。", rewrite_template="很抱歉。")
        for user in users.values():
            session.add(Pseudonym(campaign_id=campaign.id, user_id=user.id, name=f"zzpseudo{user.id}"))
        happen(session, campaign, users, admin)
        secrets = {name: _token_of(session, user) for name, user in users.items()}
    return {name: Judge(user, browser_of(web, user), program_of(web, secrets[name])) for name, user in users.items()}


def _token_of(session: Session, user: User) -> str:
    return tokens.create(session, user, AT_WORK, may_write=True, days=9)[1]


@dataclass
class Scan:
    """All that one judge is answered, searched for what gives others away."""

    judge: Judge
    database: Database
    hidden: re.Pattern[str]
    leaks: list[str] = field(default_factory=list)
    answered: set[tuple[str, str]] = field(default_factory=set)

    def ask(self, method: str, template: str, ids: Ids, sent: dict[str, Any]) -> None:
        """Sends a request to every path that the template can be."""
        for path, numbers in paths_of(template, ids):
            body = self._filled(sent, numbers)
            is_api = path.startswith("/api/")
            client: TestClient = self.judge.program if is_api else self.judge.browser
            how = {} if method == "GET" else {"json" if is_api else "data": body}
            answer = client.request(method, path + QUERIES.get(template, ""), **how)  # type: ignore[arg-type]
            assert answer.status_code < 500, (method, path, answer.text)
            told = self.hidden.findall(answer.text + str(answer.headers))
            self.leaks += [f"{self.judge.user.login} {method} {path}: {each}" for each in told]
            if answer.status_code < 400:
                self.answered.add((method, template))

    def _filled(self, sent: dict[str, Any], numbers: dict[str, int]) -> dict[str, Any]:
        """With the version or revision that stands, and a key of the place's own."""
        filled = dict(sent)
        with self.database.reading() as session:
            if "review_id" in numbers and "note" not in sent:
                review = session.get(Adjudication, numbers["review_id"])
                filled.setdefault("version", review.version if review else 0)
                if review is not None and sent.get("kind") == "pair":
                    filled |= {"first": letter_of(review, 0), "second": letter_of(review, 1)}
            if sent.get("key") == "":
                filled["key"] = f"key-of-assignment-{numbers['assignment_id']}"
            if "fields" in sent or ("place-a" in sent and "key" not in sent):
                draft = session.get(Draft, numbers["assignment_id"])
                filled["revision"] = draft.revision if draft else 0
        return filled

    def ids(self, *, newest: int = 100) -> Ids:
        """The newest of what is theirs, and one that is not."""
        mine = self.judge.user.id
        with self.database.reading() as session:
            return {
                "campaign_id": [1],
                "assignment_id": _some(session, Assignment.id, Assignment.user_id == mine, newest),
                "review_id": _some(session, Adjudication.id, Adjudication.adjudicator_id == mine, newest),
                "token_id": _some(session, AccessToken.id, AccessToken.user_id == mine, newest, IDLE),
                "round_id": session.scalars(select(CalibrationRound.id)).all(),
            }


IDLE = AccessToken.name != AT_WORK


def _some(
    session: Session,
    wanted: InstrumentedAttribute[int],
    own: ColumnElement[bool],
    newest: int,
    *only: ColumnElement[bool],
) -> list[int]:
    mine = session.scalars(select(wanted).where(own, *only).order_by(wanted.desc()).limit(newest))
    return [*mine, *session.scalars(select(wanted).where(~own, *only).order_by(wanted).limit(1))]


def letter_of(review: Adjudication, response: int) -> str:
    """Under which letter an adjudicator sees a response."""
    return LETTERS[review.response_order.index(response)]


def paths_of(template: str, ids: Ids) -> Iterator[tuple[str, dict[str, int]]]:
    """The path with every number that its places can take; 1 where nothing is known of the place."""
    names = re.findall(r"{(\w+)}", template)
    for numbers in product(*(ids.get(name, [1]) for name in names)):
        path = template
        for name, number in zip(names, numbers, strict=True):
            path = path.replace(f"{{{name}}}", str(number))
        yield path, dict(zip(names, numbers, strict=True))


def every_route() -> list[tuple[str, str, bool]]:
    """Method and path of every page and every operation, and whether it is for the admin alone."""
    return [
        (method, prefix + route.path, for_the_admin(route.dependant))
        for prefix, routers in (("", ROUTERS), ("/api/v1", OF_THE_API))
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute) and route.path not in LEFT_OUT
        for method in sorted(route.methods)
    ]


def for_the_admin(needs: Dependant) -> bool:
    """Whether a route asks for an admin."""
    return needs.call in (deps.admin, watching.watching_admin) or any(map(for_the_admin, needs.dependencies))


def look_at_everything(scan: Scan) -> None:
    """Asks for every page and every operation that only looks."""
    ids = scan.ids()
    for method, path, _ in every_route():
        if method == "GET":
            scan.ask(method, path, ids, {})


def play(scan: Scan) -> None:
    """Does all that a judge can do, each step on everything that is theirs by then."""
    for steps in PLAYS:
        for method, template, sent in steps():
            scan.ask(method, template, scan.ids(newest=2), sent)


def send_anything(scan: Scan) -> None:
    """Sends to everything, also to what is for the admin, what may fit or not."""
    ids = scan.ids(newest=1)
    for method, path, _ in every_route():
        if method in METHODS:
            scan.ask(method, path, ids, ANYTHING)


def test_no_answer_tells_who_else_ranks_or_decides_nor_which_model_answered(
    web: FastAPI, database: Database, judges: dict[str, Judge]
) -> None:
    with database.reading() as session:
        chief = session.scalars(select(User).where(User.role == Role.ADMIN)).one()
    leaks, answered = [], set()
    for judge in judges.values():
        others = [each for other in judges.values() if other is not judge for each in other.tells]
        scan = Scan(judge, database, re.compile("|".join(map(re.escape, [*others, *tells_of(chief), "zzmodel"]))))
        look_at_everything(scan)
        play(scan)
        look_at_everything(scan)
        send_anything(scan)
        assert judge.program.get("/api/v1/me").status_code == 200, "what was looked at last was told to nobody"
        leaks += scan.leaks
        answered |= scan.answered
    assert leaks == []
    open_to_judges = {(method, path) for method, path, admin in every_route() if not admin}
    assert open_to_judges - answered == set()
    assert not {(method, path) for method, path, admin in every_route() if admin} & answered


def test_the_scan_finds_what_is_told(web: FastAPI, database: Database, judges: dict[str, Judge]) -> None:
    """The same scan over the same answers, looking for what is theirs to see: their own words and the responses."""
    scan = Scan(judges["first"], database, re.compile(re.escape(judges["first"].user.name) + "|回答0"))
    look_at_everything(scan)
    where = {leak.split()[2].split("?")[0] for leak in scan.leaks}
    assert {"/history:", "/calibration/1:", "/api/v1/me:"} <= where
