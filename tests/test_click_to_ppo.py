"""The whole way through a real installation: from an upload to a policy that PPO has trained, by forms alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from annotation.abilities import Ability
from annotation.tables import Campaign, Turn, TurnState
from tests.installation import Installation, installed
from tests.material import json_lines
from tests.rlhf.material import PLAIN, POLITE, RUDE, WRONG
from tests.visitors import Visitor, by_quality, options_of

DIALOGUES = 40
ASPECTS = (Ability.ACCURACY, Ability.WARM_TONE)
GOOD = {POLITE: (1, 1), PLAIN: (1, 0), RUDE: (0, 0), WRONG: (-1, 1)}
TINY = {"threads": "1", "dtype": "float32", "seed": "0"}
BASE = {
    **TINY,
    "hidden_size": "32",
    "layers": "2",
    "heads": "2",
    "vocabulary": "400",
    "block_length": "48",
    "epochs": "4",
    "learning_rate": "5e-3",
}
ADAPTED = {**TINY, "batch_size": "8", "micro_batch_size": "8", "max_length": "256", "lora_rank": "4", "epochs": "1"}
PPO = {
    **ADAPTED,
    "max_new_tokens": "16",
    "rollout_size": "16",
    "compared": "6",
    "ppo_epochs": "1",
    "despite_gate": "on",
}


def rows() -> bytes:
    """Dialogues of two turns, with an answer of each kind."""
    answers = [{"text": text, "model": f"model-{i}"} for i, text in enumerate((WRONG, PLAIN, RUDE, POLITE))]
    return json_lines(
        *(
            {
                "id": f"d{number}",
                "department": "内科",
                "turns": [
                    {"message": f"头痛{number}天了。", "responses": answers, "reply": POLITE},
                    {"message": "还要做什么检查吗？", "responses": answers},
                ],
            }
            for number in range(DIALOGUES)
        )
    )


def careful(text: str) -> tuple[float, ...]:
    """Ranks A > B > C > D as it was meant."""
    return GOOD[text]


def careless(text: str) -> tuple[float, ...]:
    """Holds the rude answer for as warm as the polite one."""
    return (1, 1) if text == RUDE else GOOD[text]


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
        policy = started(admin, "sft", data="dialogues", base=base, **ADAPTED)
        reward = started(admin, "reward", snapshot=snapshot, base=base, **ADAPTED)
        ppo = started(admin, "ppo", snapshot=snapshot, base=base, policy=policy, reward=reward, **PPO)
        look_at_the_result(installation, admin, reward, ppo)
        assert {child.restarts for child in installation.services.children} == {0}


def import_dialogues(installation: Installation, admin: Visitor) -> int:
    where, _ = admin.post("/admin/campaigns/new", name="试点", k="4", ties_allowed="true", guideline="先看安全。")
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


def register_data(admin: Visitor) -> None:
    texts = [{"text": f"头痛{number}天了。{text}"} for number in range(30) for text in GOOD]
    exchanges: list[dict[str, Any]] = [
        {"messages": [{"role": "user", "content": "头痛怎么办？"}, {"role": "assistant", "content": text}]}
        for text in GOOD
    ]
    admin.upload("/admin/data-sets", json_lines(*texts), name="corpus", kind="corpus")
    admin.upload("/admin/data-sets", json_lines(*exchanges * 8), name="dialogues", kind="dialogues")


def started(admin: Visitor, kind: str, **fields: str) -> str:
    """The name of the model that a run of this stage left; inputs are named, not numbered, as on the form."""
    form = admin.get(f"/admin/runs/new/{kind}")
    for role in ("base", "policy", "reward", "data"):
        if role in fields:
            shown = {text.split(" · ")[0]: value for text, value in options_of(form, role).items()}
            fields[role] = shown[fields[role]]
    run_id = admin.start_run(kind, name=kind, **fields)
    admin.wait_for_run(run_id)
    return f"{kind}-{run_id}"


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
