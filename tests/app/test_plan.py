"""The admin sees what a run will take before it is started."""

from __future__ import annotations

import json
import struct
from html import unescape
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from annotation.db import Database
from annotation.run_tables import CheckpointKind, RunKind
from annotation.store import runs, snapshots
from annotation.tables import Campaign
from tests.app.conftest import Browse
from tests.app.test_admin import settle_one
from tests.conftest import Cast


def write_model(folder: Path) -> Path:
    """A model's config.json and the header of its weights, which is all that the planner reads."""
    config = {"hidden_size": 16, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2,
              "vocab_size": 300}  # fmt: skip
    sides = {"model.embed_tokens.weight": [300, 16], "model.layers.0.mlp.up_proj.weight": [48, 16]}
    header = json.dumps({name: {"dtype": "F32", "shape": each, "data_offsets": [0, 0]} for name, each in sides.items()})
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header.encode())
    return folder


@pytest.fixture
def base(database: Database, tmp_path: Path) -> str:
    """A registered base model of 300 * 16 + 48 * 16 = 5,568 parameters."""
    with database.writing() as session:
        folder = write_model(tmp_path / "model")
        return str(runs.add_checkpoint(session, "tiny", CheckpointKind.BASE, str(folder), "0" * 64).id)


def test_every_kind_of_run_has_a_plan(admin: TestClient, base: str) -> None:
    for kind in RunKind:
        assert f'hx-get="/admin/plan/{kind}"' in admin.get(f"/admin/runs/new/{kind}").text
        answer = admin.get(f"/admin/plan/{kind}", params={"base": base})
        assert answer.status_code == 200
        assert all(said in answer.text for said in ("Fits A100 80 GB", "base weights", "5,568 parameters"))


def test_the_plan_follows_the_form(admin: TestClient, base: str) -> None:
    form = {"base": base, "plan-gpu": "RTX 4090", "set-lora_rank": "1024", "set-pack_tokens": "400000"}
    assert "Too large for RTX 4090" in admin.get("/admin/plan/reward", params=form).text
    assert "Fits RTX 4090" in admin.get("/admin/plan/reward", params=form | {"set-pack_tokens": "1024"}).text


def test_the_plan_says_what_it_waits_for(admin: TestClient, base: str, database: Database) -> None:
    assert "Choose a base model" in admin.get("/admin/plan/reward").text
    assert "does not fit yet" in admin.get("/admin/plan/reward", params={"base": base, "set-epochs": "many"}).text
    with database.writing() as session:
        gone = runs.add_checkpoint(session, "gone", CheckpointKind.BASE, "/models/gone", "0" * 64).id
    answer = admin.get("/admin/plan/reward", params={"base": str(gone)})
    assert "/models/gone has no config.json on this machine." in unescape(answer.text)


def test_a_new_model_needs_no_base(admin: TestClient) -> None:
    assert "Fits A100 80 GB" in admin.get("/admin/plan/pretrain").text


def test_the_plan_counts_the_tokens_of_the_snapshot(
    admin: TestClient, database: Database, campaign: Campaign, cast: Cast, tmp_path: Path, base: str
) -> None:
    settle_one(database, cast, campaign)
    snapshot_id = snapshots.freeze(database, campaign.id, tmp_path / "s", actor_id=None)
    form = {"base": base, "snapshot": str(snapshot_id)}
    said = [admin.get(f"/admin/plan/{kind}", params=form).text for kind in ("reward", "evaluate", "sft")]
    assert ["token tries" in text for text in said].count(
        True
    ) == 1  # the dialogue stands in one part, and sft has none
    assert any("Estimated at a token a character" in text for text in said)


def test_only_an_admin_plans(browse: Browse) -> None:
    assert browse("li").get("/admin/plan/reward").status_code == 404
