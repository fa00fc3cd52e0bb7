"""The command line says what it did, and what to do where it could not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from annotation.run_tables import RunKind
from annotation.store import runs
from app.cli import app, opened, settings
from tests.material import json_lines, own_row


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation without a database server."""
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ZHONGJING_HOME", str(tmp_path / "home"))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def write(folder: Path, data: bytes) -> str:
    file = folder / "dialogues.jsonl"
    file.write_bytes(data)
    return str(file)


def test_dialogues_are_imported_into_a_campaign_that_is_made_for_them(home: Path) -> None:
    file = write(home, json_lines(own_row("a"), own_row("b")))
    said = run("import", file, "--campaign", "试点").output
    assert "2 dialogues with 2 turns imported" in said
    assert "Nobody ranks in 试点 yet: say who does at http://127.0.0.1:8000/admin/campaigns/1#members" in said
    assert "2 dialogues were there already" in run("import", file, "--campaign", "试点").output


def test_bad_rows_are_listed_and_nothing_is_imported(home: Path) -> None:
    file = write(home, json_lines(own_row("a"), {"id": "b", "turns": []}))
    refused = run("import", file, "--campaign", "试点")
    assert refused.exit_code == 2
    assert "line 2, turns: at least one turn was expected" in refused.output
    assert "1 dialogues with 1 turns imported" in run("import", file, "--campaign", "试点", "--skip").output


def test_an_invitation_is_printed_for_whoever_lost_their_password(home: Path) -> None:
    first = run("invite", "boss", "--name", "老板", "--role", "admin")
    second = run("invite", "boss")
    links = [re.search(r"http://127\.0\.0\.1:8000/invitation/([\w-]+)", result.output) for result in (first, second)]
    assert links[0] is not None
    assert links[1] is not None
    assert links[0].group(1) != links[1].group(1)


def test_freezing_what_is_not_there_is_refused(home: Path) -> None:
    run("import", write(home, json_lines(own_row("a"))), "--campaign", "试点")
    assert run("freeze", "别的").exit_code == 2
    nothing = run("freeze", "试点")
    assert nothing.exit_code == 2
    assert "No turn is settled yet" in nothing.output


def test_data_and_models_are_registered_or_refused(home: Path) -> None:
    corpus = write(home, b'{"text": "x"}\n')
    assert "1 rows" in run("register", "data", "c", corpus, "--kind", "corpus").output
    assert run("register", "data", "c", write(home, b'{"text": "y"}\n'), "--kind", "corpus").exit_code == 2
    model = home / "model"
    model.mkdir()
    assert run("register", "model", "m", str(model)).exit_code == 2
    (model / "config.json").write_text('{"auto_map": {}}')
    (model / "model.safetensors").write_bytes(b"x")
    assert "code of its own" in run("register", "model", "m", str(model)).output
    (model / "config.json").write_text("{}")
    assert run("register", "model", "../m", str(model)).exit_code == 2
    assert run("register", "model", "m", str(model)).exit_code == 0


def test_production_that_is_left_open_does_not_start(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZHONGJING_ENVIRONMENT", "production")
    refused = run("serve")
    assert refused.exit_code == 2
    assert "ZHONGJING_HTTPS" in refused.output


def test_the_web_and_the_workers_start_without_torch() -> None:
    code = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'torch', 'transformers', 'trl', 'peft', 'accelerate', 'datasets'}:\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "import app.cli, app.main, workers.tasks, app.demo.path\n"
        "app.main.create_app()\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_what_would_be_handed_over_is_printed_and_nothing_is(home: Path) -> None:
    (home / "home").mkdir()
    (home / "home" / "launchers.toml").write_text('[h100]\nengine = "slurm"\npartition = "gpu"\n')
    database = opened(settings())
    with database.writing() as session:
        runs.start(session, runs.NewRun(RunKind.REWARD, "r", {}), actor_id=None)
    database.dispose()
    assert f"-m rlhf spec {home / 'home' / 'runs' / '1'}" in run("submission", "1").output
    assert "#SBATCH --partition=gpu" in run("submission", "1", "--launcher", "h100").output
    for refused in (run("submission", "1", "--launcher", "h200"), run("submission", "2")):
        assert refused.exit_code == 2
    assert not (home / "home" / "runs").exists()
