"""The sample campaign: its people, its dialogues, and simulated experts who rank most of it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from sqlalchemy.orm import Session

from annotation import adjudication
from annotation.db import Database
from annotation.formats.reading import read_file
from annotation.formats.rows import NewDialogue
from annotation.people_tables import Role, User
from annotation.review_tables import Adjudication
from annotation.store import campaigns, imports, people, places, rankings, reviews
from annotation.store.rankings import Submission
from annotation.tables import Turn, TurnState
from app.demo.experts import ADJUDICATOR, ANNOTATORS, Expert, Severities, known_faults, say
from app.demo.guideline import GUIDELINE, REWRITE
from app.demo.people import VISITORS
from app.passwords import hash_password

NAME = "示例：十四科室"
DIALOGUES = Path(__file__).parent / "dialogues.jsonl"
LEFT_TO_RANK = 12
LEFT_CONTESTED = 8
UNTOUCHED = 12
"""Of so many dialogues one comes in when the simulated doctors are done: for a calibration round, or kept places."""


class Watch(Protocol):
    """Told what is going on, how far it is, and how far it goes."""

    def __call__(self, what: str, done: int, of: int, detail: str = "") -> None:
        """Takes it down."""


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
            people.add(session, f"simulated{number}", f"模拟医生{number}", Role.ANNOTATOR, simulated=True)
        people.add(session, "simulated-expert", "模拟专家", Role.ADJUDICATOR, simulated=True)
        campaign = campaigns.create(session, NAME, guideline=GUIDELINE, rewrite_template=REWRITE)
        imports.add(session, campaign, _dialogues(campaign.k)[0], source=DIALOGUES.name, actor_id=None)
        return campaign.id


def rank(database: Database, campaign_id: int, watch: Watch) -> None:
    """The simulated annotators rank in turn, until only what is left for the visitor is not settled or contested.

    Then the last dialogues come in, which nobody has begun.
    """
    with database.reading() as session:
        first, last = _dialogues(campaigns.get(session, campaign_id).k)
    goal = sum(len(dialogue.turns) for dialogue in first) - LEFT_TO_RANK
    while (done := _ranked_twice(database, campaign_id)) < goal:
        watch("simulated doctors rank", done, goal)
        for number, expert in enumerate(ANNOTATORS, start=1):
            with database.writing() as session:
                _rank_one(session, campaign_id, _user(session, f"simulated{number}"), expert)
    watch("simulated doctors rank", goal, goal)
    with database.writing() as session:
        imports.add(session, campaigns.get(session, campaign_id), last, source=DIALOGUES.name, actor_id=None)


def adjudicate(database: Database, campaign_id: int, watch: Watch) -> None:
    """The simulated expert decides contested turns, until only the visitor's are left."""
    goal = 0
    while True:
        with database.writing() as session:
            waiting = campaigns.progress(session, campaign_id).count(TurnState.CONTESTED, TurnState.IN_REVIEW)
            left = max(waiting - LEFT_CONTESTED, 0)
            goal = goal or left
            watch("a simulated expert settles contested turns", goal - left, goal)
            expert = _user(session, "simulated-expert")
            if waiting <= LEFT_CONTESTED:
                return
            review = reviews.open_next(session, expert)
            if review is None:
                return
            _decide(session, review)


def _dialogues(k: int) -> tuple[list[NewDialogue], list[NewDialogue]]:
    """Those that are ranked, and those that come in afterwards."""
    every = read_file(DIALOGUES.read_bytes(), k=k).dialogues
    return [each for i, each in enumerate(every) if i % UNTOUCHED], list(every[::UNTOUCHED])


def _rank_one(session: Session, campaign_id: int, user: User, expert: Expert) -> None:
    assignment = places.reserve_next(session, user, campaigns.get(session, campaign_id))
    if assignment is not None:
        ranking = expert.rank(_name(assignment.turn), _faults(assignment.turn))
        rankings.submit(session, assignment, Submission(f"{user.login}-{assignment.id}", ranking))


def _decide(session: Session, review: Adjudication) -> None:
    turn = review.turn
    seen = [ADJUDICATOR.perceive(_name(turn), i, faults) for i, faults in enumerate(_faults(turn))]
    while True:
        case, said = reviews.case_of(session, review), reviews.decisions_of(review)
        question = adjudication.next_step(case, said)
        if question.asks is adjudication.Asks.NOTHING:
            reviews.decide(session, review, review.version)
            return
        answered = None
        if question.asks is adjudication.Asks.ABILITY:
            settled = {each.pair: each.relation for each in adjudication.settle(case, said.answers)}
            answered = settled[question.pair] if question.pair else None
        answer = say(question, seen, answered, turn.campaign.rewrite_template)
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


def _name(turn: Turn) -> str:
    return f"{turn.dialogue.external_id}/{turn.number}"


def _faults(turn: Turn) -> list[Severities]:
    return known_faults()[turn.dialogue.external_id][turn.number - 1]
