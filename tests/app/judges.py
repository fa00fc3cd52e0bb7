"""People who judge, a campaign in which all has happened that can, and what their browsers and programs do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from annotation.abilities import Ability
from annotation.adjudication import Answer
from annotation.formats.rows import NewDialogue, NewResponse, NewTurn
from annotation.people_tables import Role, User, UserState
from annotation.ranking import Ranking as Order
from annotation.ranking import Relation
from annotation.review_tables import Adjudication
from annotation.store import (
    audits,
    calibration,
    doubts,
    imports,
    measuring,
    places,
    rankings,
    reviews,
    turns,
)
from annotation.store.rankings import Submission
from annotation.tables import Assignment, Campaign, Purpose
from tests.conftest import hashed
from tests.material import ranked

JUDGES = ("first", "second", "third", "decider", "auditor")
ROLES = {name: Role.ADJUDICATOR if name in ("decider", "auditor") else Role.ANNOTATOR for name in JUDGES}
ONE, OTHER = ranked("A > B > C > D", 1, 2, 9, D=9), ranked("B > A > C > D", 9, 2, 9)
NONE = ranked("", none_acceptable=True)
WAITING = 3
"""So many turns of each kind wait for a third expert in the end."""


@dataclass(frozen=True)
class Judge:
    """Somebody whose number, name, login, pseudonym and words cannot be mistaken for anything else."""

    user: User
    browser: TestClient
    program: TestClient

    @property
    def tells(self) -> list[str]:
        """What gives them away."""
        return tells_of(self.user)


def tells_of(user: User) -> list[str]:
    """What gives somebody away."""
    return [user.login, user.name, str(user.id), f"zzpseudo{user.id}", words_of(user)]


def words_of(user: User) -> str:
    """What only they write: notes and reasons, which are for the admin alone."""
    return f"附言{user.login}"


def new_user(session: Session, number: int, login: str, role: Role) -> User:
    """Somebody with a password of theirs."""
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


def browser_of(web: FastAPI, user: User) -> TestClient:
    """Their browser."""
    client = TestClient(web, follow_redirects=False)
    client.cookies.set("locale", "en")
    assert client.post("/login", data={"login": user.login, "password": "a-secret-of-theirs"}).status_code == 303
    return client


def program_of(web: FastAPI, secret: str) -> TestClient:
    """A program of theirs."""
    return TestClient(web, follow_redirects=False, headers={"authorization": f"Bearer {secret}"})


def happen(session: Session, campaign: Campaign, users: dict[str, User], admin: User) -> None:
    """Turns in every state, looked at for every purpose, and a round that is revealed and one that is not."""
    for step in (_calibrated, _agreed, _decided, _rewritten, _in_review, _audited, _measured, _waiting):
        step(session, campaign, users, admin)
    session.flush()


def give(session: Session, campaign: Campaign, name: str) -> None:
    """A turn that nobody has begun."""
    responses = tuple(NewResponse(f"{name} 回答{n}", f"zzmodel-{n}", {"of": "zzmodel"}) for n in range(4))
    turn = NewTurn(1, (), f"{name} 怎么办？", responses)
    imports.add(session, campaign, [NewDialogue(1, name, (turn,), "儿科")], source="t", actor_id=None)


def rank(session: Session, campaign: Campaign, user: User, order: Order) -> Assignment:
    """Somebody ranks what comes next."""
    held = places.reserve_next(session, user, campaign)
    assert held is not None
    session.flush()
    rankings.submit(session, held, Submission(f"{user.login}-{held.id}", order, note=words_of(user)))
    return held


def opened(session: Session, user: User) -> Adjudication:
    """What an adjudicator works on next."""
    review = reviews.open_next(session, user)
    assert review is not None
    return review


def _both(session: Session, campaign: Campaign, users: dict[str, User], name: str, one: Order, other: Order) -> int:
    give(session, campaign, name)
    held = rank(session, campaign, users["first"], one)
    rank(session, campaign, users["second"], other)
    return held.turn_id


def _calibrated(session: Session, campaign: Campaign, users: dict[str, User], admin: User) -> None:
    for name in ("revealed", "blind"):
        give(session, campaign, f"calibrated {name}")
        found = calibration.begin(session, campaign, name, 1, actor_id=admin.id)
        for user in ("first", "second"):
            rank(session, campaign, users[user], ONE if user == "first" else OTHER)
        if name == "revealed":
            calibration.reveal(session, found, actor_id=admin.id)


def _agreed(session: Session, campaign: Campaign, users: dict[str, User], admin: User) -> None:
    _both(session, campaign, users, "agreed", ONE, ONE)
    give(session, campaign, "not judged")
    held = places.reserve_next(session, users["first"], campaign)
    assert held is not None
    session.flush()
    places.cannot_judge(session, held, words_of(users["first"]))
    for user in ("second", "third"):
        rank(session, campaign, users[user], ONE)


def _decided(session: Session, campaign: Campaign, users: dict[str, User], admin: User) -> None:
    _both(session, campaign, users, "decided", ONE, OTHER)
    review = opened(session, users["decider"])
    doubt = doubts.raise_doubt(session, review, Ability.SAFETY, "界限不清")
    doubts.close(session, campaign.id, doubt.id, "见新版", actor_id=admin.id)
    reviews.answer_pair(session, review, review.version, Answer((0, 1), Relation.WORSE))
    reviews.decide(session, review, review.version)


def _rewritten(session: Session, campaign: Campaign, users: dict[str, User], admin: User) -> None:
    _both(session, campaign, users, "rewritten", NONE, NONE)
    review = opened(session, users["decider"])
    reviews.answer_rewrite(session, review, review.version, "很抱歉，我不知道。")
    reviews.decide(session, review, review.version)


def _in_review(session: Session, campaign: Campaign, users: dict[str, User], admin: User) -> None:
    _both(session, campaign, users, "in review", ONE, OTHER)
    opened(session, users["decider"])


def _audited(session: Session, campaign: Campaign, users: dict[str, User], admin: User) -> None:
    campaign.audit_share = 1.0
    session.flush()
    _both(session, campaign, users, "audited", ONE, ONE)
    audit = opened(session, users["auditor"])
    for response in (1, 0, 2):
        audits.place(session, audit, audit.version, response, level=False)
    audits.fix(session, audit, audit.version)
    audits.judge(session, audit, audit.version, overturns=True, reason="甲有误")
    for number in (1, 2, 3):
        audits.name_ability(session, audit, audit.version, Ability(number))
    for number in range(WAITING):
        _both(session, campaign, users, f"in audit {number}", ONE, ONE)
    opened(session, users["auditor"])
    campaign.audit_share = 0.0


def _measured(session: Session, campaign: Campaign, users: dict[str, User], admin: User) -> None:
    """The third ranks a gold turn; what the first two have ranked comes to them again, to the second as a draft."""
    gold = _both(session, campaign, users, "gold", ONE, ONE)
    measuring.declare_gold(session, turns.get(session, gold), gold=True, actor_id=admin.id)
    campaign.gold_share, campaign.repeat_share, campaign.repeat_after_days = 1.0, 0.0, 0
    session.flush()
    assert rank(session, campaign, users["third"], OTHER).purpose is Purpose.GOLD
    campaign.gold_share, campaign.repeat_share = 0.0, 1.0
    session.flush()
    assert rank(session, campaign, users["first"], OTHER).purpose is Purpose.REPEAT
    again = places.reserve_next(session, users["second"], campaign)
    assert again is not None
    assert again.purpose is Purpose.REPEAT
    rankings.save_draft(session, again, 0, {"place-a": "1", "note": words_of(users["second"])})
    campaign.repeat_share = 0.0


def _waiting(session: Session, campaign: Campaign, users: dict[str, User], admin: User) -> None:
    """For a third expert: pairs that differ, whether none is acceptable, what to say instead. Then for annotators."""
    held = places.reserve_next(session, users["second"], campaign)
    assert held is not None
    rankings.submit(session, held, Submission("zz-again-of-the-second", ONE, note=words_of(users["second"])))
    for number in range(WAITING):
        _both(session, campaign, users, f"waiting {number}", ONE, OTHER)
        _both(session, campaign, users, f"doubtful {number}", ONE, NONE)
        _both(session, campaign, users, f"unanswered {number}", NONE, NONE)
    give(session, campaign, "one ranking")
    rank(session, campaign, users["first"], ONE)
    held = places.reserve_next(session, users["second"], campaign)
    assert held is not None
    session.flush()
    rankings.save_draft(session, held, 0, {"place-a": "1", "note": words_of(users["second"])})
    for number in range(2 * WAITING):
        give(session, campaign, f"open {number}")


Step = tuple[str, str, dict[str, Any]]
"""A method, the path with its places, and what is sent; a version or a revision is filled in as it stands."""

CALLED = {"name": "程序", "days": "9"}
RANKED = {f"place-{letter}": str(place) for place, letter in enumerate("abcd", start=1)} | {
    f"ability-{number}": str(number) for number in (1, 2, 3)
}
AT_WEB, ASKED, AUDIT = "/assignments/{assignment_id}", "/reviews/{review_id}", "/reviews/{review_id}/audit"
PAIR = {"first": "0", "second": "1", "relation": "<", "ability": "1"}


def pages_of_an_annotator() -> list[Step]:
    """A draft and a ranking, then a turn that is handed back, each with the next one opened before."""
    begin: list[Step] = [
        ("POST", "/rank/{campaign_id}/guideline", {"version": "1"}),
        ("POST", "/rank/{campaign_id}/next", {}),
        ("POST", f"{AT_WEB}/draft", RANKED),
    ]
    rank: Step = ("POST", f"{AT_WEB}/ranking", {**RANKED, "key": ""})
    give_back: Step = ("POST", f"{AT_WEB}/cannot-judge", {"reason": "缺上文"})
    change: list[Step] = [("POST", f"{AT_WEB}/draft", RANKED), ("POST", f"{AT_WEB}/draft/discard", {})]
    return [*begin, rank, *change, *begin, give_back, *begin]


def calls_of_an_annotator() -> list[Step]:
    """The same by a program."""
    at = f"/api/v1{AT_WEB}"
    order = {"groups": [["B"], ["A"], ["C"], ["D"]], "boundaries": [{"ability": number} for number in (1, 2, 3)]}
    begin: list[Step] = [
        ("POST", "/api/v1/ranking/campaigns/{campaign_id}/guideline/read", {"version": 1}),
        ("POST", "/api/v1/ranking/campaigns/{campaign_id}/next", {}),
        ("PUT", f"{at}/draft", {"fields": RANKED}),
    ]
    rank: Step = ("PUT", f"{at}/ranking", {**order, "key": ""})
    return [*begin, rank, *begin, ("POST", f"{at}/cannot-judge", {"reason": "缺上文"}), *begin]


def pages_of_an_adjudicator() -> list[Step]:
    """An audit to its end; answers, taken back and given again; a decision, taken back; a turn handed back.

    A program gives the verdict of the audit and takes it back, before the browser does so: only one is sure to be open.
    """
    answers: list[Step] = [
        ("POST", f"{ASKED}/outcome", {"none_acceptable": "true"}),
        ("POST", f"{ASKED}/pair", PAIR),
        ("POST", f"{ASKED}/rewrite", {"text": "很抱歉"}),
    ]
    places: list[Step] = [("POST", f"{AUDIT}/place", {"response": str(number)}) for number in (1, 0, 2)]
    audit: list[Step] = [
        places[0],
        ("POST", f"{AUDIT}/back", {}),
        *places,
        ("POST", f"{AUDIT}/none", {}),
        ("POST", f"{AUDIT}/fix", {}),
        ("POST", f"/api/v1{AUDIT}/answers", {"kind": "verdict", "overturns": True, "reason": "有误"}),
        ("POST", f"/api/v1{AUDIT}/back", {}),
        ("POST", f"{AUDIT}/verdict", {"overturns": "true", "reason": "有误"}),
        *[("POST", f"{AUDIT}/ability", {"ability": number}) for number in "123"],
        ("POST", f"{AUDIT}/rewrite", {"text": "很抱歉"}),
    ]
    begin: list[Step] = [
        ("POST", "/review/next", {}),
        ("POST", f"{ASKED}/renew", {}),
        ("POST", f"{ASKED}/doubt", {"ability": "1", "note": "不清楚"}),
    ]
    back: Step = ("POST", f"{ASKED}/back", {})
    decide: list[Step] = [*answers, back, *answers, ("POST", f"{ASKED}/decide", {})]
    give_back: Step = ("POST", f"{ASKED}/hand-back", {})
    unlock: Step = ("POST", f"{ASKED}/unlock", {"reason": "都看错了"})
    return [*begin, *audit, *decide, back, unlock, give_back, *begin, *decide, give_back]


def calls_of_an_adjudicator() -> list[Step]:
    """The same by a program."""
    at = f"/api/v1{ASKED}"
    answers: list[Step] = [
        ("POST", f"{at}/answers", {"kind": "outcome", "none_acceptable": True}),
        ("POST", f"{at}/answers", {"kind": "pair", "first": "A", "second": "B", "relation": "<", "ability": 1}),
        ("POST", f"{at}/answers", {"kind": "rewrite", "text": "很抱歉"}),
    ]
    begin: list[Step] = [
        ("POST", "/api/v1/review/next", {}),
        ("POST", f"{at}/renew", {}),
        ("POST", f"{at}/doubts", {"ability": 1, "note": "不清楚"}),
    ]
    decide: list[Step] = [*answers, ("POST", f"{at}/back", {}), *answers, ("POST", f"{at}/decide", {})]
    unlock: Step = ("POST", f"{at}/answers", {"kind": "unlock", "reason": "都看错了"})
    one = [*begin, *decide, ("POST", f"{at}/back", {}), *decide, unlock, ("POST", f"{at}/hand-back", {})]
    return [*one, *one, *_audits_by_a_program(at)]


def _audits_by_a_program(at: str) -> list[Step]:
    """An audit to its end and the verdict taken back, then one that ends in a rewrite."""
    begin: Step = ("POST", "/api/v1/review/next?audits=true", {})
    overturn: Step = ("POST", f"{at}/audit/answers", {"kind": "verdict", "overturns": True, "reason": "有误"})
    order: Step = ("POST", f"{at}/audit/answers", {"kind": "order", "groups": [["B"], ["A"], ["D"], ["C"]]})
    named: list[Step] = [
        ("POST", f"{at}/audit/answers", {"kind": "ability", "ability": number}) for number in (1, 2, 3)
    ]
    none: Step = ("POST", f"{at}/audit/answers", {"kind": "order", "none_acceptable": True})
    rewrite: Step = ("POST", f"{at}/audit/answers", {"kind": "rewrite", "text": "很抱歉"})
    back: Step = ("POST", f"{at}/audit/back", {})
    return [begin, order, overturn, *named, back, overturn, *named, begin, none, overturn, rewrite]


def calls_of_everybody() -> list[Step]:
    """What anybody does who is logged in."""
    return [
        ("POST", "/account/tokens", CALLED),
        ("POST", "/account/tokens/{token_id}/revoke", {}),
        ("DELETE", "/api/v1/me/tokens/{token_id}", {}),
        ("POST", "/language", {"language": "en"}),
        ("POST", "/theme", {"theme": "dark"}),
    ]


Played = Callable[[], list[Step]]
PLAYS: tuple[Played, ...] = (
    pages_of_an_annotator,
    calls_of_an_annotator,
    pages_of_an_adjudicator,
    calls_of_an_adjudicator,
    calls_of_everybody,
)
