"""Who judges learns nothing of anybody else, and no model's name: every answer they can get is searched for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from annotation.abilities import Ability
from annotation.adjudication import Answer
from annotation.db import Database
from annotation.formats.rows import NewDialogue, NewResponse, NewTurn
from annotation.measure_tables import Pseudonym
from annotation.ranking import Ranking as Order
from annotation.ranking import Relation
from annotation.store import audits, campaigns, doubts, imports, places, rankings, reviews, tokens
from annotation.store.rankings import Submission
from annotation.tables import Adjudication, Assignment, Campaign, Role, User, UserState
from app.routes import ROUTERS
from tests.conftest import hashed
from tests.material import ranked

JUDGES = ("first", "second", "third", "decider", "auditor")
ROLES = {name: Role.ADJUDICATOR if name in ("decider", "auditor") else Role.ANNOTATOR for name in JUDGES}
FORM = {
    "version": "0",
    "first": "0",
    "second": "1",
    "relation": "<",
    "response": "0",
    "none_acceptable": "false",
    "overturns": "false",
    "reason": "说明",
    "text": "很抱歉",
    "note": "不清楚",
    "ability": "1",
    "revision": "0",
    "name": "程序",
    "key": "0123456789abcdef0123",
    "place-a": "1",
}
LEFT_OUT = {"/logout", "/login", "/invitation/{code}"}


@dataclass(frozen=True)
class Judge:
    """Somebody whose number, name, login and pseudonym cannot be mistaken for anything else."""

    user: User
    browser: TestClient
    program: TestClient

    @property
    def tells(self) -> list[str]:
        """What gives them away."""
        return tells_of(self.user)


def tells_of(user: User) -> list[str]:
    return [user.login, user.name, str(user.id), f"zzpseudo{user.id}"]


def new_user(session: Session, number: int, login: str, role: Role) -> User:
    user = User(
        id=777_000 + number,
        login=f"zzlogin-{login}",
        name=f"氏名{login}甚明",
        role=role,
        state=UserState.ACTIVE,
        may_adjudicate=login == "third",
        password_hash=hashed("a-secret-of-theirs"),
    )
    session.add(user)
    return user


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
        secrets = {name: tokens.create(session, user, "t", may_write=True, days=9)[1] for name, user in users.items()}
    return {name: Judge(user, browser_of(web, user), program_of(web, secrets[name])) for name, user in users.items()}


def browser_of(web: FastAPI, user: User) -> TestClient:
    client = TestClient(web, follow_redirects=False)
    client.cookies.set("locale", "en")
    assert client.post("/login", data={"login": user.login, "password": "a-secret-of-theirs"}).status_code == 303
    return client


def program_of(web: FastAPI, secret: str) -> TestClient:
    return TestClient(web, follow_redirects=False, headers={"authorization": f"Bearer {secret}"})


def happen(session: Session, campaign: Campaign, users: dict[str, User], admin: User) -> None:
    """Turns that were agreed, decided, rewritten, audited, that are open with somebody, or have one ranking."""
    first, second, decider, auditor = (users[name] for name in ("first", "second", "decider", "auditor"))
    one, other = ranked("A > B > C > D", 1, 2, 9, D=9), ranked("B > A > C > D", 9, 2, 9)
    none = ranked("", none_acceptable=True)

    def both(name: str, a: Order, b: Order) -> None:
        give(session, campaign, name)
        for user, order in ((first, a), (second, b)):
            rank(session, campaign, user, order, name)

    both("agreed", one, one)
    both("contested", one, other)
    review = opened(session, decider)
    doubt = doubts.raise_doubt(session, review, Ability.SAFETY, "界限不清")
    doubts.close(session, campaign.id, doubt.id, "见新版", actor_id=admin.id)
    reviews.answer_pair(session, review, review.version, Answer((0, 1), Relation.WORSE))
    reviews.decide(session, review, review.version)
    both("rewritten", none, none)
    review = opened(session, decider)
    reviews.answer_rewrite(session, review, review.version, "很抱歉，我不知道。")
    reviews.decide(session, review, review.version)
    both("in review", one, other)
    opened(session, decider)
    campaign.audit_share = 1.0
    session.flush()
    both("audited", one, one)
    audit = opened(session, auditor)
    for response in (1, 0, 2):
        audits.place(session, audit, audit.version, response, level=False)
    audits.fix(session, audit, audit.version)
    audits.judge(session, audit, audit.version, overturns=True, reason="甲有误")
    for number in (1, 2, 3):
        audits.name_ability(session, audit, audit.version, Ability(number))
    both("in audit", one, one)
    opened(session, auditor)
    both("waiting", one, other)
    give(session, campaign, "one ranking")
    rank(session, campaign, first, one, "one ranking")
    held = places.reserve_next(session, second, campaign)
    assert held is not None
    rankings.save_draft(session, held, 0, {"place-a": "1"})


def give(session: Session, campaign: Campaign, name: str) -> None:
    responses = tuple(NewResponse(f"{name} 回答{n}", f"zzmodel-{n}") for n in range(4))
    turn = NewTurn(1, (), f"{name} 怎么办？", responses)
    imports.add(session, campaign, [NewDialogue(1, name, (turn,), "儿科")], source="t", actor_id=None)


def rank(session: Session, campaign: Campaign, user: User, order: Order, name: str) -> None:
    held = places.reserve_next(session, user, campaign)
    assert held is not None
    rankings.submit(session, held, Submission(f"{user.login}-{name}", order, note="备注"))


def opened(session: Session, user: User) -> Adjudication:
    review = reviews.open_next(session, user)
    assert review is not None
    return review


def paths_of(template: str, ids: dict[str, Iterable[int]]) -> Iterator[str]:
    """The path with every number that its places can take; 1 where nothing is known of the place."""
    names = re.findall(r"{(\w+)}", template)
    for numbers in product(*(ids.get(name, [1]) for name in names)):
        path = template
        for name, number in zip(names, numbers, strict=True):
            path = path.replace(f"{{{name}}}", str(number))
        yield path


def routes(web: FastAPI, method: str) -> list[tuple[str, bool]]:
    """Every route with this method, of the pages and of the API; whether it is one of the API."""
    pages = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    found = [(route.path, False) for route in pages if method in route.methods and route.path not in LEFT_OUT]
    described = web.state.api.openapi()["paths"]
    return found + [(f"/api{path}", True) for path, how in described.items() if method.lower() in how]


def visit(web: FastAPI, judge: Judge, ids: dict[str, Iterable[int]], told: Callable[[str, str, str], None]) -> set[str]:
    """Asks for everything, sends everything, asks again; returns which routes answered well at least once."""
    answered = set()
    for method in ("GET", "POST", "GET"):
        for template, is_api in routes(web, method):
            client = judge.program if is_api else judge.browser
            for path in paths_of(template, ids):
                body = {"json" if is_api else "data": FORM} if method == "POST" else {}
                answer = client.request(method, path, **body)  # type: ignore[arg-type]
                assert answer.status_code < 500, (method, path, answer.text)
                told(f"{method} {path}", answer.text, str(answer.headers))
                if answer.status_code < 400:
                    answered.add(f"{method} {template}")
    return answered


def test_no_answer_tells_who_else_ranks_or_decides_nor_which_model_answered(
    web: FastAPI, database: Database, judges: dict[str, Judge]
) -> None:
    with database.reading() as session:
        ids: dict[str, Iterable[int]] = {
            "assignment_id": session.scalars(select(Assignment.id)).all(),
            "review_id": session.scalars(select(Adjudication.id)).all(),
        }
        chief = session.scalars(select(User).where(User.role == Role.ADMIN)).one()
    leaks: list[str] = []
    answered: set[str] = set()
    for name, judge in judges.items():
        others = [each for other in judges.values() if other is not judge for each in other.tells]
        hidden = re.compile("|".join(map(re.escape, [*others, *tells_of(chief), "zzmodel"])))

        def told(where: str, text: str, headers: str, name: str = name, hidden: re.Pattern[str] = hidden) -> None:
            leaks.extend(f"{name} {where}: {found}" for found in hidden.findall(text + headers))

        answered |= visit(web, judge, ids, told)
    assert leaks == []
    assert answered >= {
        "GET /assignments/{assignment_id}",
        "GET /history",
        "GET /history/{assignment_id}",
        "GET /review",
        "GET /reviews/{review_id}",
        "POST /assignments/{assignment_id}/draft",
        "POST /reviews/{review_id}/renew",
        "POST /reviews/{review_id}/doubt",
    }
    assert {"GET /api/v1/me", "GET /api/v1/reviews/{review_id}", "POST /api/v1/review/next"} <= answered
