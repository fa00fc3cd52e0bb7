"""The sample campaign: its people, its dialogues, and simulated experts who rank most of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from annotation import adjudication
from annotation.db import Database
from annotation.formats.reading import read_file
from annotation.store import campaigns, imports, people, places, rankings, reviews
from annotation.store.rankings import Submission
from annotation.tables import Adjudication, Assignment, Campaign, Role, TurnState, User
from app.demo.experts import ADJUDICATOR, ANNOTATORS, known_faults, say
from app.demo.guideline import GUIDELINE, REWRITE
from app.passwords import hash_password

NAME = "示例：十四科室"
DIALOGUES = Path(__file__).parent / "dialogues.jsonl"
LEFT_TO_RANK = 24
LEFT_CONTESTED = 8

Watch = Callable[[str, int, int], None]
"""Called with what is going on, how far it is, and how far it goes."""


@dataclass(frozen=True)
class Login:
    """Somebody whom the visitor may be."""

    login: str
    name: str
    role: Role

    @property
    def password(self) -> str:
        """Only the demo has passwords that anybody can know."""
        return f"demo-{self.login}-2026"


VISITORS = (
    Login("annotator", "访客医师", Role.ANNOTATOR),
    Login("adjudicator", "访客专家", Role.ADJUDICATOR),
    Login("admin", "访客管理员", Role.ADMIN),
)


def prepare(database: Database) -> int:
    """People, campaign and dialogues, where they are not there yet; returns the campaign's id."""
    with database.writing() as session:
        known = campaigns.by_name(session, NAME)
        if known is not None:
            return known.id
        for visitor in VISITORS:
            people.add(
                session, visitor.login, visitor.name, visitor.role, password_hash=hash_password(visitor.password)
            )
        for number in range(1, len(ANNOTATORS) + 1):
            people.add(session, f"simulated{number}", f"模拟医师{number}", Role.ANNOTATOR, simulated=True)
        people.add(session, "simulated-expert", "模拟专家", Role.ADJUDICATOR, simulated=True)
        campaign = campaigns.create(session, NAME, guideline=GUIDELINE, rewrite_template=REWRITE)
        reading = read_file(DIALOGUES.read_bytes(), k=campaign.k)
        imports.add(session, campaign, reading.dialogues, source=DIALOGUES.name, actor_id=None)
        return campaign.id


def rank(database: Database, campaign_id: int, watch: Watch) -> None:
    """The simulated annotators rank in turn, until only what is left for the visitor is not settled or contested."""
    with database.reading() as session:
        turns = campaigns.progress(session, campaign_id).turns
    goal = turns - LEFT_TO_RANK
    while (done := _ranked_twice(database, campaign_id)) < goal:
        watch("simulated doctors rank", done, goal)
        for number, expert in enumerate(ANNOTATORS, start=1):
            with database.writing() as session:
                _rank_one(session, campaign_id, f"simulated{number}", lambda turn, faults, e=expert: e.rank(turn, faults))
    watch("simulated doctors rank", goal, goal)


def adjudicate(database: Database, campaign_id: int, watch: Watch) -> None:
    """The simulated expert decides contested turns, until only the visitor's are left."""
    while True:
        with database.writing() as session:
            waiting = campaigns.progress(session, campaign_id).count(TurnState.CONTESTED, TurnState.IN_REVIEW)
            watch("a simulated expert settles contested turns", 0, max(waiting - LEFT_CONTESTED, 0))
            expert = _user(session, "simulated-expert")
            if waiting <= LEFT_CONTESTED:
                return
            review = reviews.open_next(session, expert)
            if review is None:
                return
            _decide(session, review)


def _rank_one(session: Session, campaign_id: int, login: str, judge: Callable[..., object]) -> None:
    campaign = campaigns.get(session, campaign_id)
    assignment = places.reserve_next(session, _user(session, login), campaign)
    if assignment is not None:
        ranking = judge(_name(assignment), known_faults()[assignment.turn.dialogue.external_id][assignment.turn.number - 1])
        rankings.submit(session, assignment, Submission(f"{login}-{assignment.id}", ranking))  # type: ignore[arg-type]


def _decide(session: Session, review: Adjudication) -> None:
    turn = review.turn
    faults = known_faults()[turn.dialogue.external_id][turn.number - 1]
    seen = [ADJUDICATOR.perceive(_name_of_turn(turn.dialogue.external_id, turn.number), i, f) for i, f in enumerate(faults)]
    while True:
        case, said = reviews.case_of(session, review), reviews.decisions_of(review)
        question = adjudication.next_step(case, said)
        if question.asks is adjudication.Asks.NOTHING:
            reviews.decide(session, review, review.version)
            return
        settled = {}
        if question.asks is adjudication.Asks.ABILITY:
            settled = {s.pair: s.relation for s in adjudication.settle(case, said.answers)}
        answer = say(question, seen, settled.get(question.pair) if question.pair else None, turn.campaign.rewrite_template)
        if isinstance(answer, bool):
            reviews.answer_outcome(session, review, review.version, none_acceptable=answer)
        elif isinstance(answer, str):
            reviews.answer_rewrite(session, review, review.version, answer)
        else:
            reviews.answer_pair(session, review, review.version, answer)


def _ranked_twice(database: Database, campaign_id: int) -> int:
    with database.reading() as session:
        states = (TurnState.CONTESTED, TurnState.IN_REVIEW, TurnState.SETTLED)
        return campaigns.progress(session, campaign_id).count(*states)


def _user(session: Session, login: str) -> User:
    user = people.by_login(session, login)
    assert user is not None
    return user


def _name(assignment: Assignment) -> str:
    return _name_of_turn(assignment.turn.dialogue.external_id, assignment.turn.number)


def _name_of_turn(dialogue: str, number: int) -> str:
    return f"{dialogue}/{number}"
