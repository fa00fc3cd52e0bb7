"""Scoring runs on the screen, and the list of turns with low scores."""

from __future__ import annotations

from html import unescape
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from annotation.db import Database
from annotation.run_tables import CheckpointKind, DataSetKind, Run, RunKind, RunState
from annotation.store import data_sets, imports, runs, snapshots
from annotation.tables import Campaign, Turn, TurnState
from tests.app.conftest import Browse
from tests.app.test_admin import settle_one
from tests.conftest import Cast
from tests.material import dialogue

LIES = {"edges": [-2.0, -1.0, 0.0, 1.0], "counts": [2, 0, 1]}
RESULT = {
    "turns": 3, "responses": 12, "flagged": 2, "threshold": -1.0, "normalised": True, "changed_since": 0,
    "best": LIES, "spread": LIES,
}  # fmt: skip


@pytest.fixture
def models(database: Database) -> dict[str, str]:
    """What a scoring run starts from."""
    with database.writing() as session:
        return {
            kind.value: str(runs.add_checkpoint(session, kind.value, kind, "/m", "0" * 64).id)
            for kind in (CheckpointKind.BASE, CheckpointKind.REWARD)
        }


def scored(database: Database, campaign: Campaign, result: dict[str, Any] = RESULT) -> int:
    """A finished scoring run of three turns, the first and the last of which are low."""
    with database.writing() as session:
        imports.add(session, campaign, [dialogue(f"d{i}") for i in range(3)], source="t", actor_id=None)
        run = runs.start(session, runs.NewRun(RunKind.SCORE, "s", {"campaign_id": campaign.id}), actor_id=None)
        run.state, run.result = RunState.SUCCEEDED, result
        session.flush()
        for turn, best in zip(session.scalars(select(Turn).order_by(Turn.id)), (-1.25, 0.5, -2.0), strict=True):
            turn.best_score, turn.score_spread, turn.scored_by_run = best, 0.75, run.id
        return run.id


def turns_of(database: Database) -> list[Turn]:
    with database.reading() as session:
        return list(session.scalars(select(Turn).order_by(Turn.id)))


def test_a_scoring_run_is_started_on_a_campaign(
    admin: TestClient, database: Database, campaign: Campaign, models: dict[str, str]
) -> None:
    assert "no campaign has turns with responses" in admin.get("/admin/runs/new/score").text
    with database.writing() as session:
        imports.add(session, campaign, [dialogue()], source="t", actor_id=None)
    form = admin.get(f"/admin/runs/new/score?campaign={campaign.id}").text
    assert f'<option value="{campaign.id}" selected>{campaign.name} · 1</option>' in form
    given = {**models, "campaign": str(campaign.id), "set-which": "all", "set-flag_below": "0.1"}
    where = admin.post("/admin/runs/new/score", data=given).headers["location"]
    with database.reading() as session:
        run = session.scalars(select(Run)).one()
    assert (run.kind, run.config["which"], run.config["flag_below"]) == (RunKind.SCORE, "all", 0.1)
    assert run.config["campaign_id"] == campaign.id
    assert "k" not in run.config
    assert campaign.name in admin.get(where).text
    refused = admin.post("/admin/runs/new/score", data={**given, "set-flag_below": "7"})
    assert refused.status_code == 422
    assert "flag_below must be from 0 to below 1" in refused.text


def test_a_scoring_run_shows_how_the_scores_lie(admin: TestClient, database: Database, campaign: Campaign) -> None:
    run_id = scored(database, campaign)
    page = admin.get(f"/admin/runs/{run_id}").text
    assert "3 turns are scored." in page
    assert "Of 2 even the best response is below -1.00." in page
    assert page.count('<rect class="low"') == 1
    assert page.count('<rect class="value"') == 5
    assert "<title>-2.00 – -1.00: 2</title>" in page
    assert f"/admin/campaigns/{campaign.id}/low-scores?run={run_id}" in page
    assert "do not compare" not in page


def test_scores_without_a_scale_are_shown_with_a_warning(
    admin: TestClient, database: Database, campaign: Campaign
) -> None:
    run_id = scored(database, campaign, {**RESULT, "normalised": False, "changed_since": 4})
    page = admin.get(f"/admin/runs/{run_id}").text
    assert "do not compare" in page
    assert "4 turns were left out" in page


def test_turns_with_low_scores_are_listed_the_lowest_first(
    admin: TestClient, database: Database, campaign: Campaign
) -> None:
    where = f"/admin/campaigns/{campaign.id}/low-scores"
    assert "No reward model has scored" in admin.get(where).text
    scored(database, campaign)
    page = admin.get(where).text
    first, _, last = turns_of(database)
    assert "2 turns, each of whose responses" in page
    assert page.index(f"/turns/{last.id}") < page.index(f"/turns/{first.id}")
    assert page.count('name="turn"') == 2
    assert f'href="{where}"' in admin.get(f"/admin/campaigns/{campaign.id}").text


def test_a_long_list_of_low_scores_goes_on(
    admin: TestClient, database: Database, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.routes.scores.PAGE", 1)
    run_id = scored(database, campaign)
    where = f"/admin/campaigns/{campaign.id}/low-scores"
    first, _, last = turns_of(database)
    page = unescape(admin.get(where).text)
    following = f"?run={run_id}&best=-2.0&after={last.id}"
    assert f'href="{following}"' in page
    page = admin.get(f"{where}{following}").text
    assert page.count('name="turn"') == 1
    assert f"/turns/{first.id}" in page


def test_chosen_turns_are_given_out_first_or_withdrawn(
    admin: TestClient, database: Database, campaign: Campaign
) -> None:
    run_id = scored(database, campaign)
    where = f"/admin/campaigns/{campaign.id}/low-scores"
    first, _, last = turns_of(database)
    assert admin.post(f"{where}/raise", data={"run": run_id}).status_code == 422
    answer = admin.post(f"{where}/raise", data={"run": run_id, "turn": [first.id]})
    assert "1 turn is given out first" in admin.get(answer.headers["location"]).text
    answer = admin.post(f"{where}/withdraw", data={"run": run_id, "turn": [last.id]})
    page = admin.get(answer.headers["location"]).text
    assert "1 turn is withdrawn" in page
    assert page.count('name="turn"') == 1
    assert [(turn.state, turn.priority) for turn in turns_of(database)] == [
        (TurnState.OPEN, 1), (TurnState.OPEN, 0), (TurnState.WITHDRAWN, 0),
    ]  # fmt: skip
    assert admin.post(f"{where}/forget", data={"run": run_id, "turn": [first.id]}).status_code == 404


def test_low_scores_are_the_admins_alone(browse: Browse, campaign: Campaign) -> None:
    assert browse("li").get(f"/admin/campaigns/{campaign.id}/low-scores").status_code == 404


def test_what_a_reward_model_contradicts_is_linked_to_its_turns(
    admin: TestClient, database: Database, campaign: Campaign, cast: Cast, tmp_path: Path
) -> None:
    settle_one(database, cast, campaign)
    snapshot_id = snapshots.freeze(database, campaign.id, tmp_path / "s", actor_id=None)
    share = {"value": 0.75, "low": 0.5, "high": 1.0, "n": 4}
    pair = {"number": 1, "split": "report", "ability": 1, "provenance": "agreed", "worse": 3, "margin": 1.25}
    named = [{**pair, "dialogue": "d1", "better": 0}, {**pair, "dialogue": "gone", "better": 4}]
    shares = dict.fromkeys(("accuracy", "experts_agree", "longer_wins"), share)
    with database.writing() as session:
        run = runs.start(session, runs.NewRun(RunKind.REWARD, "r", {}, snapshot_id=snapshot_id), actor_id=None)
        run.state, run.result = RunState.SUCCEEDED, {**shares, "disagreements": named}
        session.flush()
        run_id = run.id
    page = admin.get(f"/admin/runs/{run_id}").text
    [turn] = turns_of(database)
    assert f'<a href="/admin/campaigns/{campaign.id}/turns/{turn.id}">d1/1</a>' in page
    assert "A &gt; D" in page
    assert '<td class="mono">gone/1</td>' in page
    assert "rewrite &gt; D" in page


def test_fine_tuning_may_take_a_snapshot(
    admin: TestClient, database: Database, campaign: Campaign, cast: Cast, models: dict[str, str], tmp_path: Path
) -> None:
    settle_one(database, cast, campaign)
    snapshot_id = snapshots.freeze(database, campaign.id, tmp_path / "s", actor_id=None)
    with database.writing() as session:
        data = data_sets.add(session, "d", DataSetKind.DIALOGUES, "/d", "0" * 64, 1, actor_id=None)
        session.flush()
        given = {"base": models["base"], "data": str(data.id)}
    assert "Its rewritten answers are learnt from" in admin.get("/admin/runs/new/sft").text
    for snapshot in ("", str(snapshot_id)):
        assert admin.post("/admin/runs/new/sft", data={**given, "snapshot": snapshot}).status_code == 303
    with database.reading() as session:
        assert session.scalars(select(Run.snapshot_id).order_by(Run.id)).all() == [None, snapshot_id]
