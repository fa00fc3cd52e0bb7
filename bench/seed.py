"""A campaign as it stands after months of work: turns with responses, rankings of months, a backlog to go on with.

Written by bulk inserts into a migrated database, the same for the same seed. What the product keeps twice (places
taken, who holds one, how many turns two annotators share) is written as the product would have left it.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy.orm import Session

from annotation.abilities import Ability
from annotation.agreement import contested_pairs
from annotation.db import Database, utcnow
from annotation.formats.rows import NewTurn
from annotation.people_tables import Role
from annotation.ranking import Boundary, Ranking
from annotation.store import campaigns, people
from annotation.store.rankings import Submission
from annotation.tables import (
    Assignment,
    AssignmentState,
    AuditEvent,
    Dialogue,
    PairCount,
    Purpose,
    Response,
    SettledBy,
    Turn,
    TurnOrder,
    TurnState,
)
from annotation.tables import Ranking as RankingRow

K = 4
BATCH = 500
DAYS = 60
ALIKE = 0.2
"""In so many turns two responses are nearly the same text, whose differences the page marks."""

RANDOM_SHARE = 0.1
"""Where the most informative turns come first, so many are drawn at random."""

ENTITIES = (Dialogue, Turn, Response, Assignment, RankingRow, AuditEvent)
PHRASES = (
    "根据您的描述，", "这种情况多见于", "首先建议您", "到消化内科就诊，", "完善血常规和肝功能检查，",
    "请及时前往急诊。", "如果疼痛持续加重，", "平时注意清淡饮食，", "避免熬夜和饮酒，", "不要自行服用抗生素。",
    "您的血压是否稳定？",
    "有没有发热、咳嗽或者胸闷？", "可以先口服蒙脱石散对症处理，", "具体用药请遵医嘱。", "孕期用药需要格外谨慎，",
    "一般一到两周可以缓解，", "必要时复查胃镜。", "很抱歉，我无法仅凭这些信息判断，", "请问症状持续多久了？",
    "以前有过类似的病史吗？", "我最近总是头晕，", "晚上睡不好，", "吃了三天药也没有好转，", "孩子反复低烧，",
    "需要做哪些检查？", "严重不严重？",
)  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How much there is: turns ranked by two, of which a share agrees, and untouched ones behind them."""

    finished: int
    untouched: int
    annotators: int = 24
    agreed: float = 0.73
    order: TurnOrder = TurnOrder.IMPORT

    @property
    def turns(self) -> int:
        """All turns."""
        return self.finished + self.untouched


@dataclass(frozen=True)
class Seeded:
    """What was written, and the people by whom: the ids of the annotators."""

    campaign_id: int
    annotators: tuple[int, ...]


@dataclass(frozen=True)
class _Couple:
    """Two rankings of one turn, and what becomes of it."""

    rankings: tuple[dict[str, Any], dict[str, Any]]
    agreed: bool
    ability: int | None


@dataclass
class _Writer:
    """What all rows are drawn from."""

    seeded: Seeded
    guideline_id: int
    now: datetime
    rng: random.Random
    texts: Sequence[str]
    couples: Sequence[_Couple]
    pairs: Sequence[tuple[int, int]]
    order: TurnOrder
    shared: dict[tuple[int, int], int]
    rows: dict[type, list[dict[str, Any]]] = field(default_factory=lambda: {kind: [] for kind in ENTITIES})


def seed(database: Database, size: Size, number: int = 0) -> Seeded:
    """Fills a migrated, empty database."""
    rng = random.Random(number)
    with database.writing() as session:
        writer = _prepare(session, size, rng)
    with database.engine.begin() as connection:
        for dialogue in _dialogues(writer, size):
            if len(writer.rows[Turn]) >= BATCH or dialogue is None:
                _flush(connection, writer)
        connection.execute(insert(PairCount), _pair_counts(writer))
    _settle_down(database)
    _check(database, writer, size)
    return writer.seeded


def _prepare(session: Session, size: Size, rng: random.Random) -> _Writer:
    doctors = [
        people.add(session, f"doctor{i}", f"医生{i}", Role.ANNOTATOR, password_hash="of nobody")  # noqa: S106
        for i in range(size.annotators)
    ]
    people.add(session, "admin", "管理员", Role.ADMIN, password_hash="of nobody")  # noqa: S106
    campaign = campaigns.create(session, "门诊对话", guideline="先看安全，再看专业，最后看表达。" * 20)
    campaign.turn_order = size.order
    campaign.random_share = RANDOM_SHARE if size.order is TurnOrder.INFORMATIVE else 0.0
    ids = tuple(doctor.id for doctor in doctors)
    return _Writer(
        Seeded(campaign.id, ids),
        campaigns.guideline(session, campaign.id).id,
        utcnow(),
        rng,
        texts=["".join(rng.choices(PHRASES, k=rng.randint(10, 30))) for _ in range(4000)],
        couples=[_couple(rng, agreed=i < size.agreed * 1000) for i in range(1000)],
        pairs=(pairs := list(itertools.combinations(ids, 2))),
        order=size.order,
        shared=dict.fromkeys(pairs, 0),
    )


def _couple(rng: random.Random, *, agreed: bool) -> _Couple:
    first = _ranking(rng)
    second = first
    while not agreed and second.groups == first.groups:
        second = _ranking(rng)
    sides = (first, second)
    named = [side.deciding_ability(pair) for pair in contested_pairs(first, second) for side in sides]
    ability = min((each for each in named if each is not None), default=None)
    return _Couple((_content(first), _content(second)), agreed, ability)


def _content(ranking: Ranking) -> dict[str, Any]:
    return {"content_hash": Submission("", ranking).content_hash(), "body": ranking.to_json()}


def _ranking(rng: random.Random) -> Ranking:
    groups = tuple((response,) for response in rng.sample(range(K), K))
    return Ranking(groups, tuple(Boundary(Ability(rng.randint(1, 9))) for _ in groups[1:]))


def _dialogues(writer: _Writer, size: Size) -> Iterator[int | None]:
    """Writes dialogue after dialogue into the rows, several turns each; a last None says that all are there."""
    number, dialogue_id = 1, 0
    while number <= size.turns:
        dialogue_id += 1
        length = min(writer.rng.randint(1, 8), size.turns - number + 1)
        writer.rows[Dialogue].append(
            {"id": dialogue_id, "campaign_id": writer.seeded.campaign_id, "external_id": f"d{dialogue_id}",
             "department": "消化内科", "source": "bench"}
        )  # fmt: skip
        exchanges = [[writer.rng.choice(writer.texts)[:80], writer.rng.choice(writer.texts)] for _ in range(length)]
        for depth in range(length):
            _turn(writer, number + depth, dialogue_id, exchanges[: depth + 1], finished=number + depth <= size.finished)
        number += length
        yield dialogue_id
    yield None


def _turn(writer: _Writer, turn_id: int, dialogue_id: int, told: list[list[str]], *, finished: bool) -> None:
    *history, (message, reply) = told
    row = {
        "id": turn_id,
        "campaign_id": writer.seeded.campaign_id,
        "dialogue_id": dialogue_id,
        "number": len(told),
        "fingerprint": NewTurn(len(told), tuple((p, d) for p, d in history), message).fingerprint(None),
        "history": history,
        "message": message,
        "reference_reply": reply,
        "department": "消化内科",
        "state": TurnState.OPEN,
        "places_taken": 0,
        "settled_by": None,
        "settled_at": None,
        "contested_ability": None,
        "score_spread": None,
        "best_score": None,
    }
    if writer.order is TurnOrder.INFORMATIVE:
        row |= {"score_spread": writer.rng.expovariate(1.0), "best_score": writer.rng.gauss(0.0, 1.0)}
    if finished:
        row |= _rankings(writer, turn_id, _pair_of(writer, turn_id, dialogue_id, first=len(told) == 1))
    writer.rows[Turn].append(row)
    writer.rows[Response] += [
        {"turn_id": turn_id, "number": i, "text": said, "model": f"model {i}"}
        for i, said in enumerate(_responses(writer))
    ]


def _responses(writer: _Writer) -> list[str]:
    """K texts, of which at times the last says what the first does but for a phrase."""
    said = writer.rng.sample(writer.texts, K)
    if writer.rng.random() < ALIKE:
        replaced, by = writer.rng.sample(PHRASES, 2)
        said[-1] = said[0].replace(replaced, by, 1) if replaced in said[0] else said[0] + by
    return said


def _rankings(writer: _Writer, turn_id: int, pair: tuple[int, int]) -> dict[str, Any]:
    """Writes the two rankings of a turn; returns what that makes of the turn."""
    couple = writer.rng.choice(writer.couples)
    at = writer.now - timedelta(seconds=writer.rng.uniform(60, DAYS * 86400))
    for place, user_id in enumerate(pair, start=1):
        _one_ranking(writer, turn_id, place, user_id, couple.rankings[place - 1], at)
    if couple.agreed:
        return {"places_taken": 2, "state": TurnState.SETTLED, "settled_by": SettledBy.AGREED, "settled_at": at}
    return {"places_taken": 2, "state": TurnState.CONTESTED, "contested_ability": couple.ability}


def _pair_of(writer: _Writer, turn_id: int, dialogue_id: int, *, first: bool) -> tuple[int, int]:
    """Who ranks a turn. Turns are shared evenly or, where dialogues stay together, dialogues."""
    together = writer.order is TurnOrder.DIALOGUE
    pair = writer.pairs[(dialogue_id if together else turn_id) % len(writer.pairs)]
    if first or not together:
        writer.shared[pair] += 1
    return pair


def _one_ranking(
    writer: _Writer, turn_id: int, place: int, user_id: int, content: dict[str, Any], at: datetime
) -> None:
    assignment_id = 2 * turn_id + place - 2
    order = writer.rng.sample(range(K), K)
    writer.rows[Assignment].append(
        {"id": assignment_id, "turn_id": turn_id, "user_id": user_id, "purpose": Purpose.LABEL, "place": place,
         "state": AssignmentState.SUBMITTED, "leased_until": at + timedelta(hours=1), "response_order": order,
         "created_at": at - timedelta(minutes=2), "finished_at": at}
    )  # fmt: skip
    writer.rows[RankingRow].append(
        {"assignment_id": assignment_id, "version": 1, "submission_key": f"seeded-{assignment_id:025d}",
         "response_order": order, "guideline_id": writer.guideline_id, "active_seconds": 100.0, "created_at": at,
         **content}
    )  # fmt: skip
    writer.rows[AuditEvent].append(
        {"at": at, "actor_id": user_id, "action": "ranking submitted", "subject": f"turn {turn_id}",
         "detail": {"version": 1}}
    )  # fmt: skip


def _flush(connection: Connection, writer: _Writer) -> None:
    for kind, rows in writer.rows.items():
        if rows:
            connection.execute(insert(kind), rows)
            rows.clear()


def _pair_counts(writer: _Writer) -> list[dict[str, Any]]:
    campaign_id = writer.seeded.campaign_id
    return [
        {"campaign_id": campaign_id, "low_user_id": low, "high_user_id": high, "turns": turns}
        for (low, high), turns in writer.shared.items()
    ]


def _settle_down(database: Database) -> None:
    """What time would have done: sequences behind the rows that named their ids, and statistics for the planner."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if database.is_sqlite:
            connection.execute(text("ANALYZE"))
            return
        for kind in (Dialogue, Turn, Assignment):
            sequence = func.pg_get_serial_sequence(kind.__tablename__, "id")
            connection.execute(select(func.setval(sequence, select(func.max(kind.id)).scalar_subquery())))
        connection.execute(text("VACUUM ANALYZE"))


def _check(database: Database, writer: _Writer, size: Size) -> None:
    with database.reading() as session:
        counts = {kind: session.scalar(select(func.count()).select_from(kind)) for kind in (Turn, Response, RankingRow)}
        shared = session.scalar(select(func.sum(PairCount.turns)))
    assert counts == {Turn: size.turns, Response: K * size.turns, RankingRow: 2 * size.finished}, counts
    assert shared == sum(writer.shared.values()), shared
    assert shared == size.finished or size.order is TurnOrder.DIALOGUE, shared
    assert len(writer.seeded.annotators) == size.annotators
