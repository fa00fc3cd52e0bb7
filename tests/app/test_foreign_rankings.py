"""A table of the RLHF-Label-Tool is brought in by upload and at the terminal; both name its fault."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from annotation.tables import Campaign
from app.cli import app
from tests.material import json_lines, own_row
from tests.store.test_foreign_rankings import ORDERS, as_the_tool_stores, input_file


def test_an_upload_says_how_many_orders_were_put_right(admin: TestClient, campaign: Campaign) -> None:
    where = f"/admin/campaigns/{campaign.id}/import/rankings"
    assert f'href="{where}"' in admin.get(f"/admin/campaigns/{campaign.id}/import").text
    table, asked = ("t.tsv", as_the_tool_stores(ORDERS)), ("i.json", json.dumps(input_file()).encode())
    refused = admin.post(where, files={"file": table}, data={"annotator": "甲", "mend": "true"})
    assert refused.status_code == 422
    done = admin.post(where, files={"file": table, "asked": asked}, data={"annotator": "甲", "mend": "true"})
    assert "stored 14 of 24 orders inverted; they were put right" in done.text


def test_the_terminal_says_how_many_orders_stand_inverted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ZHONGJING_HOME", str(tmp_path / "home"))
    files = {"d.jsonl": json_lines(own_row("a")), "t.tsv": as_the_tool_stores(ORDERS)}
    files["i.json"] = json.dumps(input_file()).encode()
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    CliRunner().invoke(app, ["import", str(tmp_path / "d.jsonl"), "--campaign", "c"])
    told = ["import-rankings", str(tmp_path / "t.tsv"), "--campaign", "c", "--annotator", "a"]
    done = CliRunner().invoke(app, [*told, "--input", str(tmp_path / "i.json")])
    assert "24 rankings imported. Of 24 it is known which response is which: 14 of them stand inverted" in done.output
    assert CliRunner().invoke(app, told).exit_code == 2
