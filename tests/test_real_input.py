"""Real files, as their authors publish them: read from beside the project, never copied into it."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from typer.testing import CliRunner

from annotation.abilities import Ability
from annotation.db import Database
from annotation.tables import Campaign, Dialogue, Turn, TurnState
from app.cli import app
from rlhf.records import read_rows
from tests.installation import Installation, installed
from tests.journey import ADAPTED, BASE, PPO, started
from tests.material import json_lines
from tests.visitors import Judge, Visitor, by_quality

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
CMTMEDQA, DISC = DATA / "cmtmedqa_test.json", DATA / "disc_medllm_six_models.jsonl"

SCORES = {
    "accuracy": Ability.ACCURACY,
    "helpfulness": Ability.COMPREHENSION,
    "proactivity": Ability.INITIATIVE,
    "linguistic_quality": Ability.COHERENCE,
}
"""What GPT-4 scored each reply for (a model's opinion, no doctor's), and the ability that comes nearest."""


def there(file: Path) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not file.exists(), reason=f"{file.name} is not beside the project")


@there(CMTMEDQA)
def test_a_file_of_two_schemas_is_imported_and_again_adds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZHONGJING_HOME", str(tmp_path))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    command = ["import", str(CMTMEDQA), "--campaign", "CMtMedQA"]
    first, again = (CliRunner().invoke(app, command) for _ in range(2))
    assert first.exit_code == again.exit_code == 0, first.output + again.output
    # 1,000 dialogues of 4,552 turns and 144 safety questions, of which five ask what another asks already.
    assert "1139 dialogues with 4691 turns imported, 4691 of them waiting" in first.output
    assert "139 safety questions" in first.output
    assert "5 rows repeat an earlier row" in first.output
    assert "0 dialogues with 0 turns imported" in again.output
    database = Database(f"sqlite:///{tmp_path / 'zhongjing.sqlite3'}")
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Turn)) == 4691
        assert session.scalar(select(func.count()).select_from(Dialogue)) == 1139
    database.dispose()


@there(DISC)
@pytest.mark.training
@pytest.mark.timeout(1500)
def test_six_models_replies_go_the_whole_way(tmp_path: Path, sqlite_template: Path) -> None:
    database_file = tmp_path / "zhongjing.sqlite3"
    database_file.write_bytes(sqlite_template.read_bytes())
    with installed(tmp_path / "home", f"sqlite:///{database_file}") as installation:
        admin = installation.visitor("sun")
        campaign_id = imported(installation, admin)
        ranked(installation, campaign_id)
        where, _ = admin.post(f"/admin/snapshots/freeze/{campaign_id}")
        snapshot = where.rpartition("/")[2]
        admin.upload("/admin/data-sets", replies(), name="replies", kind="dialogues")
        admin.upload("/admin/data-sets", replies(), name="corpus", kind="corpus")
        base = started(admin, "pretrain", data="corpus", **{**BASE, "vocabulary": "2048", "epochs": "2"})
        policy = started(admin, "sft", data="replies", base=base, **ADAPTED, micro_batch_size="8")
        reward = started(admin, "reward", snapshot=snapshot, base=base, **{**ADAPTED, "max_length": "1024"})
        ppo = started(admin, "ppo", snapshot=snapshot, base=base, policy=policy, reward=reward, **PPO)
        results = [result_of(installation, name) for name in (reward, ppo)]
    assert results[0]["accuracy"]["n"] > 50
    assert results[1]["score_after"] is not None


def imported(installation: Installation, admin: Visitor) -> int:
    """Of six replies four are kept, and the page says which."""
    where = admin.create_campaign("DISC")
    page = admin.upload(f"{where}/import", DISC, seed="7")
    assert "314 rows had more responses than K" in page
    assert len(re.findall(r"<li>\S+: \d, \d, \d, \d / 6</li>", page)) == 314
    with installation.database.reading() as session:
        return session.scalars(select(Campaign.id)).one()


def ranked(installation: Installation, campaign_id: int) -> None:
    """Two rank by the scores, each with errors of their own; a third who goes by the scores alone settles the rest."""
    for login in ("li", "wang"):
        assert installation.visitor(login).rank_everything(campaign_id, judge_of(login)) == 314
    with installation.database.reading() as session:
        contested = session.scalar(select(func.count()).where(Turn.state == TurnState.CONTESTED)) or 0
    assert 50 < contested < 314
    assert installation.visitor("zhao").review_everything(judge_of("zhao", errors=0.0)) == contested
    with installation.database.reading() as session:
        assert set(session.scalars(select(Turn.state))) == {TurnState.SETTLED}


def judge_of(login: str, errors: float = 0.15) -> Judge:
    """Goes by the four scores in the abilities' order, and is one point off in a share of them."""
    scores = {
        response["text"].strip(): response["gpt4_scores"] or {}
        for row in read_rows(DISC)
        for response in row["responses"]
    }

    def quality(text: str) -> list[float]:
        rng = random.Random(f"{login}:{text}")
        given = scores[text.strip()]
        return [given.get(name, 1) + (rng.choice((-1, 1)) if rng.random() < errors else 0) for name in SCORES]

    return by_quality(quality, list(SCORES.values()))


def replies() -> bytes:
    """What the base and the fine-tuning learn from: all replies, good and bad."""
    rows: list[dict[str, Any]] = [
        {"messages": [*row["messages"], {"role": "assistant", "content": response["text"]}]}
        for row in read_rows(DISC)
        for response in row["responses"][:2]
    ]
    return json_lines(*rows)


def result_of(installation: Installation, name: str) -> dict[str, Any]:
    """What a run has measured."""
    file = installation.settings.runs / name.rpartition("-")[2] / "result.json"
    return dict(json.loads(file.read_text(encoding="utf-8")))
