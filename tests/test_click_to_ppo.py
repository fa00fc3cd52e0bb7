"""The whole way through a real installation: from an upload to a policy that PPO has trained, by forms alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from sqlalchemy import select

from annotation.tables import Campaign, Turn, TurnState
from tests.installation import Installation, installed
from tests.journey import ADAPTED, ASPECTS, BASE, DIALOGUES, PPO, careful, careless, register_data, rows, started
from tests.visitors import Visitor, by_quality


@pytest.mark.training
@pytest.mark.timeout(900)
def test_from_an_upload_to_a_policy_that_ppo_has_trained(tmp_path: Path, database_url: str) -> None:
    with installed(tmp_path / "home", database_url) as installation:
        admin = installation.visitor("sun")
        campaign_id = import_dialogues(installation, admin)
        rank_and_settle(installation, campaign_id)
        snapshot = freeze(installation, admin, campaign_id)
        register_data(admin)
        base = started(admin, "pretrain", data="corpus", **BASE)
        policy = started(admin, "sft", data="dialogues", base=base, **ADAPTED, micro_batch_size="8")
        reward = started(admin, "reward", snapshot=snapshot, base=base, **ADAPTED)
        ppo = started(admin, "ppo", snapshot=snapshot, base=base, policy=policy, reward=reward, **PPO)
        look_at_the_result(installation, admin, reward, ppo)
        assert {child.restarts for child in installation.services.children} == {0}


def import_dialogues(installation: Installation, admin: Visitor) -> int:
    where = admin.create_campaign("试点")
    assert f"{DIALOGUES} dialogues" in admin.upload(f"{where}/import", rows())
    with installation.database.reading() as session:
        assert len(session.scalars(select(Turn)).all()) == 2 * DIALOGUES
        return session.scalars(select(Campaign.id)).one()


def rank_and_settle(installation: Installation, campaign_id: int) -> None:
    """Two rank, and wherever they differ (they always do about the rude answer) a third decides."""
    for login, quality in (("li", careful), ("wang", careless)):
        judge = by_quality(quality, ASPECTS)
        assert installation.visitor(login).rank_everything(campaign_id, judge) == 2 * DIALOGUES
    with installation.database.reading() as session:
        assert set(session.scalars(select(Turn.state))) == {TurnState.CONTESTED}
    assert installation.visitor("zhao").review_everything(by_quality(careful, ASPECTS)) == 2 * DIALOGUES
    with installation.database.reading() as session:
        assert set(session.scalars(select(Turn.state))) == {TurnState.SETTLED}


def freeze(installation: Installation, admin: Visitor, campaign_id: int) -> str:
    where, _ = admin.post(f"/admin/snapshots/freeze/{campaign_id}")
    lines = admin.get(f"{where}/files/turns.jsonl").strip().split("\n")
    turns = [json.loads(line) for line in lines]
    # The answers stand in the file as WRONG, PLAIN, RUDE, POLITE.
    assert {turn["order"] for turn in turns} == {"D > B > C > A"}
    assert {turn["settled_by"] for turn in turns} == {"adjudicated"}
    assert {turn["split"] for turn in turns} == {"train", "validation", "report"}
    return where.rpartition("/")[2]


def look_at_the_result(installation: Installation, admin: Visitor, reward: str, ppo: str) -> None:
    page = admin.get(f"/admin/runs/{reward.rpartition('-')[2]}")
    assert "On held-out dialogues the reward model orders" in page
    assert "Two experts agree on" in page
    number = ppo.rpartition("-")[2]
    curves = admin.json(f"/admin/runs/{number}/curves")
    assert len(curves["rollout/score"]["values"]) >= 3
    comparison = admin.get(f"/admin/runs/{number}/comparison")
    assert len(re.findall(r"\d → -?\d", comparison)) >= 1
    folder = installation.settings.runs / number / "model"
    lineage = json.loads((folder / "lineage.json").read_text())
    assert lineage["stage"] == "ppo"
    assert set(lineage["inputs"]) >= {"base", "policy", "reward", "snapshot"}
