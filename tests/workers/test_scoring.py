"""A scoring run from the campaign's turns and back into them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import TaskType
from sqlalchemy import select

from annotation.db import Database
from annotation.run_tables import CheckpointKind, RunKind, RunState
from annotation.store import imports, runs
from annotation.store.runs import NewRun
from annotation.tables import Campaign, Response, Turn, TurnState
from rlhf import networks, pretrain
from rlhf.config import PretrainConfig, RewardConfig, ScoreConfig
from rlhf.data import read_answered
from rlhf.records import read_rows
from rlhf.sequences import Encoder
from tests.material import dialogue
from workers import outcomes, supervise
from workers.settings import Settings
from workers.spec import write_spec


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[CheckpointKind, Path]:
    """A tiny base model and a reward model on it, with random weights."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models")
    tokenizer = pretrain.new_tokenizer(["头痛三天了。", "多喝水。"] * 5, 300)
    config = PretrainConfig(hidden_size=16, layers=1, heads=2)
    (folder / "base").mkdir()
    pretrain.save_base(pretrain.new_model(config, tokenizer), tokenizer, folder / "base")
    scorer = networks.load_scorer(folder / "base", "float32", Encoder.of(tokenizer).pad_id)
    adapter = networks.lora(RewardConfig(lora_rank=2), TaskType.SEQ_CLS, modules_to_save=["score"])
    networks.with_adapter(scorer, adapter).save_pretrained(str(folder / "reward"))
    networks.write_scale(folder / "reward", 0.5, 2.0)
    return {CheckpointKind.BASE: folder / "base", CheckpointKind.REWARD: folder / "reward"}


@pytest.fixture
def settings(database: Database, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, DATABASE_URL=database.url.render_as_string(hide_password=False))


def start(database: Database, campaign: Campaign, models: dict[CheckpointKind, Path], **changes: object) -> int:
    """A scoring run of a campaign."""
    config = ScoreConfig.of({"max_length": 64, "threads": 1, **changes}).model_dump(mode="json")
    with database.writing() as session:
        made = {
            role: runs.add_checkpoint(session, role.value, role, str(path), "0" * 64).id
            for role, path in models.items()
        }
        wanted = NewRun(RunKind.SCORE, "s", config | {"campaign_id": campaign.id}, inputs=made)
        run = runs.start(session, wanted, actor_id=None)
        session.flush()
        return run.id


def three_dialogues(database: Database, campaign: Campaign) -> None:
    """Two of two turns, and a settled one."""
    with database.writing() as session:
        found = [dialogue("a", 2), dialogue("b", 2), dialogue("c")]
        imports.add(session, campaign, found, source="t", actor_id=None)
        session.scalars(select(Turn).order_by(Turn.id.desc())).first().state = TurnState.SETTLED  # type: ignore[union-attr]


def test_scores_come_back_into_the_turns_that_are_not_settled(
    database: Database, campaign: Campaign, settings: Settings, models: dict[CheckpointKind, Path]
) -> None:
    three_dialogues(database, campaign)
    run_id = start(database, campaign, models, flag_below=0.25)
    supervise.work(database, settings, run_id, "w")
    with database.reading() as session:
        run = runs.get(session, run_id)
        assert run.state is RunState.SUCCEEDED, f"{run.error}\n{runs.log_tail(session, run_id)}"
        turns = session.scalars(select(Turn).order_by(Turn.id)).all()
    result = run.result or {}
    assert (result["turns"], result["taken_turns"], result["changed_since"], result["flagged"]) == (4, 4, 0, 1)
    rows = list(read_rows(settings.runs / str(run_id) / "model" / "scores.jsonl"))
    assert [(turn.best_score, turn.score_spread) for turn in turns[:4]] == [(r["best"], r["spread"]) for r in rows]
    assert [turn.scored_by_run for turn in turns] == [run_id] * 4 + [None]
    assert runs_step(database, run_id) == (4, 4)


def runs_step(database: Database, run_id: int) -> tuple[int, int]:
    with database.reading() as session:
        run = runs.get(session, run_id)
        return run.step, run.steps


def test_settled_turns_are_written_for_scoring_where_all_are_asked_for(
    database: Database, campaign: Campaign, tmp_path: Path, models: dict[CheckpointKind, Path]
) -> None:
    three_dialogues(database, campaign)
    run_id = start(database, campaign, models, which="all")
    with database.reading() as session:
        write_spec(session, runs.get(session, run_id), tmp_path)
    spec = json.loads((tmp_path / "spec.json").read_text(encoding="utf-8"))
    assert spec["stage"] == "score"
    assert spec["paths"].keys() == {"base", "reward", "data"}
    assert ScoreConfig.of(spec["config"]).which == "all"
    written = read_answered(Path(spec["paths"]["data"]))
    assert [(turn.dialogue, turn.number) for turn in written] == [("a", 1), ("a", 2), ("b", 1), ("b", 2), ("c", 1)]
    assert written[1].prompt.history == (("a 问题1", "a 回答1甲"),)
    assert written[1].responses == tuple(f"a 回答2{name}" for name in "甲乙丙丁")


def test_a_turn_whose_responses_changed_while_it_was_scored_is_left_out_and_counted(
    database: Database, campaign: Campaign, tmp_path: Path, models: dict[CheckpointKind, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    three_dialogues(database, campaign)
    monkeypatch.setattr(outcomes, "BATCH", 3)
    run_id = start(database, campaign, models)
    with database.writing() as session:
        token = runs.claim(session, run_id, "w")
        assert token is not None
        write_spec(session, runs.get(session, run_id), tmp_path)
        changed = session.scalars(select(Response).order_by(Response.id)).first()
        assert changed is not None
        changed.text = "另一个回答"
    (tmp_path / "model").mkdir()
    rows = [json.dumps({"best": n, "spread": 0.5}) + "\n" for n in range(4)]
    (tmp_path / "model" / "scores.jsonl").write_text("".join(rows))
    (tmp_path / "model" / "COMPLETE").touch()
    outcomes.conclude(database, tmp_path, run_id, token, 0, cancelled=False)
    with database.reading() as session:
        best = session.scalars(select(Turn.best_score).order_by(Turn.id)).all()
        result = runs.get(session, run_id).result
    assert best == [None, 1.0, 2.0, 3.0, None]
    assert result == {"taken_turns": 3, "changed_since": 1}
