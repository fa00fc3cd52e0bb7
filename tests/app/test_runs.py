"""The admin keeps data sets, and starts and watches runs."""

from __future__ import annotations

import json
import re
import tomllib
from html import unescape
from pathlib import Path

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from annotation.db import Database
from annotation.run_tables import CheckpointKind, DataSet, DataSetKind, Engine, Run, RunKind, RunState
from annotation.store import data_sets, runs, snapshots
from annotation.tables import Campaign
from app.settings import Settings
from rlhf import gate
from tests.app.test_admin import settle_one
from tests.app.test_imports import count
from tests.conftest import Cast
from tests.material import json_lines
from workers import outcomes
from workers.spec import write_spec


def test_a_data_set_is_kept_under_its_hash(admin: TestClient, database: Database, settings: Settings) -> None:
    data = json_lines(
        {"text": "多喝水。\u2028早点睡。"},
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
    )
    form = {"name": "corpus-1", "kind": "corpus"}
    assert admin.post("/admin/data-sets", files={"file": ("../../x", data)}, data=form).status_code == 303
    with database.reading() as session:
        kept = session.scalars(select(DataSet)).one()
    assert (kept.rows, Path(kept.path).read_bytes()) == (2, data)
    assert Path(kept.path).parent == settings.data_sets
    assert "corpus-1" in admin.get("/admin/data-sets").text


@pytest.mark.parametrize(
    ("rows", "kind", "said"),
    [
        (b'{"text": 3}', "corpus", "Line 1"),
        (b'{"messages": []}', "dialogues", "Line 1"),
        (b'{"messages": [{"role": "user", "content": "a"}]}', "dialogues", "the assistant last"),
        (b'\n{"messages": [{"role": "assistant", "content": "a"}]}', "prompts", "Line 2"),
        (b"not json", "corpus", "Line 1"),
        (b"", "corpus", "no rows"),
        ("汉".encode("utf-16"), "corpus", "UTF-8"),
    ],
)
def test_a_data_set_that_does_not_fit_is_refused(admin: TestClient, rows: bytes, kind: str, said: str) -> None:
    answer = admin.post("/admin/data-sets", files={"file": rows}, data={"name": "x", "kind": kind})
    assert answer.status_code == 422
    assert said in unescape(answer.text)


@pytest.fixture
def ready(database: Database, campaign: Campaign, cast: Cast, tmp_path: Path) -> dict[str, str]:
    """A snapshot and a base model to start a run from."""
    settle_one(database, cast, campaign)
    snapshot_id = snapshots.freeze(database, campaign.id, tmp_path / "s", actor_id=None)
    with database.writing() as session:
        base = runs.add_checkpoint(session, "base", CheckpointKind.BASE, "/models/base", "0" * 64)
        return {"snapshot": str(snapshot_id), "base": str(base.id)}


def test_a_run_is_queued_though_the_broker_is_away(
    admin: TestClient, database: Database, ready: dict[str, str]
) -> None:
    answer = admin.post("/admin/runs/new/reward", data={**ready, "name": "第一个", "set-epochs": "2"})
    assert answer.status_code == 303
    page = admin.get(answer.headers["location"]).text
    assert "第一个" in page
    assert "no training worker listens" in page
    with database.reading() as session:
        run = session.scalars(select(Run)).one()
    assert (run.kind, run.state, run.config["epochs"]) == (RunKind.REWARD, RunState.QUEUED, 2.0)
    admin.post("/admin/runs/new/reward", data={**ready, "name": "again", "set-epochs": "2"})
    assert count(database, Run) == 1


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"set-epochs": "0"}, "epochs"),
        ({"set-pack_tokens": "6"}, "pack_tokens"),
        ({"set-learning_rate": "a; touch x"}, "learning_rate"),
        ({"snapshot": ""}, "snapshot"),
    ],
)
def test_settings_that_cannot_be_come_back_with_the_form(
    admin: TestClient, database: Database, ready: dict[str, str], form: dict[str, str], said: str
) -> None:
    answer = admin.post("/admin/runs/new/reward", data={**ready, **form})
    assert answer.status_code == 422
    assert said in unescape(answer.text)
    assert count(database, Run) == 0


def test_the_form_says_in_the_language_of_the_page_what_was_expected(admin: TestClient, ready: dict[str, str]) -> None:
    form = {**ready, "set-epochs": "0", "set-layers": "three", "set-learning_rate": "a lot"}
    for language, sentences in {
        "en": ("A number above 0 was expected.", "A number was expected."),
        "zh": ("应为大于 0 的数。", "应为数字。"),
    }.items():
        admin.cookies.set("locale", language)
        told = unescape(admin.post("/admin/runs/new/reward", data=form).text)
        assert all(each in told for each in sentences)
        assert "nput should be" not in told
    told = admin.post("/admin/runs/new/sft", data={**ready, "set-batch_size": "6"}).text
    assert "必须是 micro_batch_size 的整数倍" in told


def test_a_flag_that_is_on_by_default_is_ticked_until_it_is_taken_off(admin: TestClient) -> None:
    """A run that is started as the form stands shares prompts, as one from the terminal does."""
    share = re.compile(r'name="set-share"( checked)?')
    assert share.findall(admin.get("/admin/runs/new/reward").text) == [" checked"]
    sent_back = admin.post("/admin/runs/new/reward", data={"set-epochs": "0"})
    assert share.findall(sent_back.text) == [""]


def test_every_stage_has_a_form(admin: TestClient) -> None:
    for kind in RunKind:
        assert admin.get(f"/admin/runs/new/{kind}").status_code == 200


def test_a_run_shows_its_curves_its_log_as_text_and_its_cancel(
    admin: TestClient, database: Database, ready: dict[str, str]
) -> None:
    where = admin.post("/admin/runs/new/reward", data=ready).headers["location"]
    run_id = int(where.rpartition("/")[2])
    with database.writing() as session:
        token = runs.claim(session, run_id, "w")
        assert token is not None
        runs.renew(session, run_id, token, step=3, steps=10, phase="training the reward model")
        records = [{"step": s, "values": {"loss": 1 / s, "accuracy": None}} for s in (1, 2, 3)]
        runs.append(
            session, run_id, [*records, {"step": 3, "event": "gradient spike", "values": {"norm": 9}}], "<script>x\n"
        )
    live = admin.get(f"{where}/live").text
    assert "step 3 of 10" in live
    assert "gradient spike" in live
    assert "&lt;script&gt;x" in live
    assert 'hx-trigger="every 2s"' in live
    curves = admin.get(f"{where}/curves").json()
    assert curves["loss"] == {"steps": [1, 2, 3], "values": [1.0, 0.5, 1 / 3]}
    assert curves["accuracy"]["values"] == [None, None, None]
    admin.post(f"{where}/cancel")
    assert "is being cancelled" in admin.get(f"{where}/live").text
    with database.writing() as session:
        runs.finish(session, run_id, token, RunState.CANCELLED)
    assert "hx-trigger" not in admin.get(f"{where}/live").text


def test_what_a_run_says_of_itself_is_said_in_the_language_of_the_page(
    admin: TestClient, database: Database, ready: dict[str, str]
) -> None:
    where = admin.post("/admin/runs/new/reward", data=ready).headers["location"]
    run_id = int(where.rpartition("/")[2])
    why = gate.objection({"accuracy": {"value": 0.7, "low": 0.5634}, "longer_wins": {"value": 0.632}})
    with database.writing() as session:
        token = runs.claim(session, run_id, "w")
        assert token is not None
        runs.append(session, run_id, [{"step": 0, "event": "gate overridden", "values": {"why": why}}], "")
        runs.finish(session, run_id, token, RunState.FAILED, error=outcomes.explain(Path("/nowhere"), 137))
    admin.cookies.set("locale", "zh")
    told = unescape(admin.get(f"{where}/live").text)
    assert "机器内存不足：请调低 micro_batch_size、pack_tokens 或 max_length" in told
    assert "其留出准确率只能确定高于 0.563，而“越长越好”已达 0.632" in told
    admin.cookies.set("locale", "en")
    assert "only sure to be above 0.563" in unescape(admin.get(f"{where}/live").text)


def test_answers_before_and_after_are_shown_side_by_side(
    admin: TestClient, database: Database, settings: Settings, ready: dict[str, str]
) -> None:
    with database.writing() as session:
        run = runs.start(session, runs.NewRun(RunKind.PPO, "p", {}), actor_id=None)
        session.flush()
        run_id = run.id
    assert admin.get(f"/admin/runs/{run_id}/comparison").status_code == 404
    side = {"text": "多喝水 <b>", "score": 0.5, "tokens": 4, "ended": True, "kl": 0.1}
    sample = {"department": "儿科", "history": [], "message": "头痛", "before": side, "after": {**side, "score": 1.25}}
    folder = settings.runs / str(run_id)
    folder.mkdir(parents=True)
    (folder / "samples.jsonl").write_text(json.dumps(sample) + "\n", encoding="utf-8")
    page = admin.get(f"/admin/runs/{run_id}/comparison").text
    assert "0.50 → 1.25" in page
    assert "多喝水 &lt;b&gt;" in page


def configure(settings: Settings, launchers: str) -> None:
    """What an operator writes into the file of launchers."""
    settings.home.mkdir(exist_ok=True)
    settings.launchers.write_text(launchers)


def test_where_only_this_machine_carries_runs_there_is_nothing_to_choose(admin: TestClient, settings: Settings) -> None:
    assert 'name="launcher"' not in admin.get("/admin/runs/new/reward").text
    configure(settings, '[h100]\nengine = "slurm"\npartition = "gpu"\n')
    form = admin.get("/admin/runs/new/reward").text
    assert 'name="launcher"' in form
    assert '<option value="h100">h100 · Slurm</option>' in form


def test_a_run_that_an_engine_is_to_carry_says_by_what_and_shows_what_is_handed_over(
    admin: TestClient, database: Database, settings: Settings, ready: dict[str, str]
) -> None:
    configure(settings, '[h100]\nengine = "slurm"\npartition = "gpu"\n')
    refused = admin.post("/admin/runs/new/reward", data={**ready, "launcher": "h100; rm"})
    assert refused.status_code == 422
    assert "There is no launcher named h100; rm" in unescape(refused.text)
    where = admin.post("/admin/runs/new/reward", data={**ready, "launcher": "h100"}).headers["location"]
    page = unescape(admin.get(where).text)
    assert "h100 · Slurm" in page
    assert "#SBATCH --partition=gpu" in page
    assert "no worker submits it: start one" in page
    with database.reading() as session:
        run = session.scalars(select(Run)).one()
    assert (run.launcher, run.engine) == ("h100", Engine.SLURM)
    configure(settings, "[h100")
    assert "is no TOML" in unescape(admin.get(where).text)
    assert admin.get("/admin/runs/new/reward").status_code == 422


def test_several_data_sets_are_learnt_from_by_weight(admin: TestClient, database: Database, tmp_path: Path) -> None:
    with database.writing() as session:
        single, several, other = (
            data_sets.add(session, name, DataSetKind.DIALOGUES, str(tmp_path / name), "0" * 64, 1, actor_id=None).id
            for name in ("single", "several", "other")
        )
        base = runs.add_checkpoint(session, "base", CheckpointKind.BASE, "/models/base", "0" * 64).id
    form = {"base": str(base), "data": str(other), f"weight-{single}": "7", f"weight-{several}": "1"}
    assert f'name="weight-{single}"' in admin.get("/admin/runs/new/sft").text
    refused = admin.post("/admin/runs/new/sft", data=form | {f"weight-{several}": "-1"})
    assert "The weight of several has to be a number above 0." in unescape(refused.text)
    page = admin.get(admin.post("/admin/runs/new/sft", data=form).headers["location"]).text
    assert "weight 7.0" in page
    assert "other" not in page.split("<h2>What it trains on</h2>")[1].split("</section>")[0]
    with database.reading() as session:
        write_spec(session, session.scalars(select(Run)).one(), tmp_path)
    spec = json.loads((tmp_path / "spec.json").read_text(encoding="utf-8"))
    assert "mixture" not in spec["config"]
    parts = tomllib.loads(Path(spec["paths"]["data"]).read_text(encoding="utf-8"))["part"]
    assert parts == [
        {"data": str(tmp_path / "single"), "weight": 7.0},
        {"data": str(tmp_path / "several"), "weight": 1.0},
    ]
