"""The admin's side: campaigns, import, people, snapshots, data sets, runs."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from annotation.db import Database
from annotation.people_tables import UserState
from annotation.run_tables import CheckpointKind, DataSet, Run, RunKind, RunState
from annotation.store import audit, campaigns, imports, naming, people, places, rankings, runs, snapshots
from annotation.store.rankings import Submission
from annotation.tables import AuditEvent, Campaign, Dialogue, Turn, TurnState
from app.settings import Settings
from tests.app.conftest import Browse
from tests.conftest import Cast
from tests.material import dialogue, json_lines, own_row, ranked


def upload(client: TestClient, campaign: Campaign, data: bytes, **form: str) -> Any:
    return client.post(f"/admin/campaigns/{campaign.id}/import", files={"file": ("d.jsonl", data)}, data=form)


def count(database: Database, table: Any) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def settle_one(database: Database, cast: Cast, campaign: Campaign) -> None:
    with database.writing() as session:
        imports.add(session, campaign, [dialogue()], source="t", actor_id=None)
        for user in (cast.li, cast.wang):
            held = places.reserve_next(session, user, campaign)
            assert held is not None
            rankings.submit(session, held, Submission(f"key {user.id}", ranked("A > B > C > D", 1, 4, 9)))


def test_a_campaign_is_created_with_every_annotator(admin: TestClient, database: Database) -> None:
    ticked = re.findall(r'name="member" value="(\d+)" checked', admin.get("/admin/campaigns/new").text)
    form = {"name": "二期", "k": "3", "priority_rule": "warn", "guideline": "先看安全。", "member": ticked}
    where = admin.post("/admin/campaigns/new", data=form).headers["location"]
    page = admin.get(where).text
    assert "二期" in page
    assert "先看安全。" in page
    with database.reading() as session:
        made = campaigns.by_name(session, "二期")
        assert made is not None
        assert (made.k, made.ties_allowed, made.priority_rule) == (3, False, "warn")
        assert [user.login for user in campaigns.members(session, made.id)] == ["li", "wang", "chen"]
    assert admin.post("/admin/campaigns/new", data=form).status_code == 409
    assert admin.post("/admin/campaigns/new", data={**form, "k": "6"}).status_code == 422


def test_rules_guideline_and_members_change(
    admin: TestClient, database: Database, campaign: Campaign, cast: Cast
) -> None:
    where = f"/admin/campaigns/{campaign.id}"
    rules = {"name": " 二期 ", "priority_rule": "warn", "lease_minutes": "30", "rewrite_template": "新模板"}
    admin.post(f"{where}/rules", data=rules)
    admin.post(f"{where}/guideline", data={"text": "第二版"})
    admin.post(f"{where}/guideline", data={"text": "第二版"})
    admin.post(f"{where}/members", data={"member": [str(cast.li.id), str(cast.sun.id)]})
    with database.reading() as session:
        changed = campaigns.get(session, campaign.id)
        assert (changed.name, changed.open, changed.ties_allowed, changed.lease_minutes) == ("二期", False, False, 30)
        assert changed.rewrite_template == "新模板"
        assert (campaigns.guideline(session, campaign.id).version, campaigns.guideline(session, campaign.id).text) == (
            2,
            "第二版",
        )
        assert [user.login for user in campaigns.members(session, campaign.id)] == ["li"]


def test_a_campaign_is_renamed_once_and_not_as_another(
    admin: TestClient, database: Database, campaign: Campaign
) -> None:
    with database.writing() as session:
        campaigns.create(session, "别的")
    where = f"/admin/campaigns/{campaign.id}"
    for name, status in (("二期", 303), ("二期", 303), ("别的", 409), ("  ", 422)):
        assert admin.post(f"{where}/rules", data={"name": name}).status_code == status
    assert "二期" in admin.get(where).text
    with database.reading() as session:
        renamed = session.scalars(select(AuditEvent).where(AuditEvent.action == "campaign renamed")).all()
        assert [event.detail for event in renamed] == [{"before": "试点", "name": "二期"}]


def test_the_audit_tells_of_whom_and_what_in_words_with_the_page(
    admin: TestClient, database: Database, campaign: Campaign, cast: Cast
) -> None:
    upload(admin, campaign, json_lines(own_row("a")))
    admin.post(f"/admin/campaigns/{campaign.id}/limits", data={f"day-{cast.li.id}": "40"})
    with database.writing() as session:
        turn = session.scalars(select(Turn)).one()
        naming.name(session, campaign, turn, {cast.li.id, cast.wang.id}, actor_id=cast.sun.id)
        audit.record(session, None, "model registered", "checkpoint 3", sha256="0123456789abcdef")
        audit.record(session, cast.li.id, "guideline doubted", "turn 999", ability="warm_tone")
        for number in range(200):
            audit.record(session, cast.sun.id, "token created", f"token {number}", may_write=True, days=30)
    newest, older = (unescape(admin.get(f"/admin/audit{query}").text) for query in ("", "?before=8"))
    assert "access token 199" in newest
    assert "may write</span> yes" in newest
    [query] = re.findall(r'href="(\?before=\d+)"', newest)
    for text in (older, unescape(admin.get(f"/admin/audit{query}").text)):
        assert f'<a href="/admin/campaigns/{campaign.id}">试点</a>' in text
    page = unescape(admin.get(f"/admin/audit{query}").text)
    assert f'<a href="/admin/campaigns/{campaign.id}/turns/{turn.id}">turn {turn.id}</a>' in page
    assert "people</span> 李敏, 王芳" in page
    assert "in 24 hours</span> 40" in page
    assert "in all</span> no limit" in page
    assert '<a href="/admin/models">model 3</a>' in page
    assert "sha256</span> 0123456789ab</td>" in page
    assert "<td>turn 999</td>" in page
    assert "ability</span> warm tone" in page


def test_what_is_wrong_with_a_file_is_said_in_the_language_of_the_page(admin: TestClient, campaign: Campaign) -> None:
    admin.cookies.set("locale", "zh")
    page = upload(admin, campaign, b'{"id": "a", "turns": }\n').text
    assert "<td>整行</td>" in page
    assert "缺少一个值" in page
    assert "Expecting" not in page


def test_a_refused_form_leads_back_to_where_it_was_filled_in(admin: TestClient, campaign: Campaign) -> None:
    where = f"/admin/campaigns/{campaign.id}"
    form = {"turn_order": "as imported", "repeat_share": "60", "gold_share": "50"}
    refused = admin.post(f"{where}/handing-out", data=form, headers={"referer": f"http://testserver{where}?a=1#x"})
    assert refused.status_code == 422
    assert f'href="{where}?a=1"' in refused.text
    elsewhere = admin.post(f"{where}/handing-out", data=form, headers={"referer": "http://elsewhere/x"})
    assert "elsewhere" not in elsewhere.text
    fragment = admin.post(f"{where}/handing-out", data=form, headers={"hx-request": "true"}).text
    assert fragment.startswith('<div id="refusal" class="notice bad" role="alert">Repeats and gold turns together')


def test_dialogues_are_imported_by_upload_and_twice_adds_nothing(
    admin: TestClient, database: Database, campaign: Campaign
) -> None:
    data = json_lines(own_row("a"), own_row("b"))
    assert "2 dialogues" in upload(admin, campaign, data).text
    again = unescape(upload(admin, campaign, data).text)
    assert "2 dialogues were there already" in again
    assert count(database, Dialogue) == 2


def test_bad_rows_are_listed_all_at_once_and_nothing_is_imported_until_they_are_skipped(
    admin: TestClient, database: Database, campaign: Campaign
) -> None:
    bad = own_row("bad")
    bad["turns"][0]["responses"] = bad["turns"][0]["responses"][:3]
    data = json_lines(own_row("good"), bad, {"id": "worse", "turns": []})
    refused = upload(admin, campaign, data)
    assert refused.status_code == 422
    text = unescape(refused.text)
    assert re.search(r'<td class="number">2</td>\s*<td><span class="mono">turns\[0\]\.responses</span></td>', text)
    assert "4 responses were expected" in text
    assert "at least one turn was expected" in text
    assert count(database, Dialogue) == 0
    assert upload(admin, campaign, data, skip="true").status_code == 200
    assert count(database, Dialogue) == 1


def test_which_of_many_responses_were_kept_is_said(admin: TestClient, campaign: Campaign) -> None:
    row = {"id": "x", "messages": [{"role": "user", "content": "头痛"}], "responses": [f"回答{i}" for i in range(6)]}
    assert re.search(r"x: \d, \d, \d, \d / 6", upload(admin, campaign, json_lines(row), seed="3").text)


def test_what_is_imported_is_shown_as_text_and_never_as_markup(
    admin: TestClient, browse: Browse, database: Database, campaign: Campaign
) -> None:
    attack = '<img src=x onerror=alert(1)><script>alert(1)</script><b hx-get="/logout" hx-trigger="load">'
    row = own_row("x", message=f"问题 {attack}")
    row["turns"][0]["responses"] = [{"text": f"{attack}{i}", "model": attack} for i in range(4)]
    row["department"] = attack[:60]
    upload(admin, campaign, json_lines(row))
    annotator = browse("li")
    path = annotator.post(f"/rank/{campaign.id}/next").headers["location"]
    pages = [annotator.get(path), admin.get(f"/admin/campaigns/{campaign.id}/turns")]
    with database.reading() as session:
        turn_id = session.scalars(select(Turn.id)).one()
    pages.append(admin.get(f"/admin/campaigns/{campaign.id}/turns/{turn_id}"))
    for page in pages:
        assert "<img src=x" not in page.text
        assert "<script>alert" not in page.text
        assert "<b hx-get" not in page.text
    assert "&lt;img src=x" in pages[0].text


def test_people_are_invited_paused_and_deactivated(admin: TestClient, database: Database, cast: Cast) -> None:
    for state in (UserState.PAUSED, UserState.ACTIVE, UserState.DEACTIVATED):
        admin.post(f"/admin/users/{cast.li.id}/state", data={"state": state})
        with database.reading() as session:
            assert people.get(session, cast.li.id).state is state
    itself = admin.post(f"/admin/users/{cast.sun.id}/state", data={"state": "deactivated"})
    assert itself.status_code == 409


@pytest.mark.parametrize(
    "form", [{"login": "has space", "name": "x"}, {"login": " ", "name": "x"}, {"login": "li", "name": "x"}]
)
def test_a_login_that_cannot_be_is_refused(admin: TestClient, form: dict[str, str]) -> None:
    assert admin.post("/admin/users", data={**form, "role": "annotator"}).status_code in (409, 422)


def test_a_campaign_is_frozen_and_its_files_can_be_fetched(
    admin: TestClient, database: Database, campaign: Campaign, cast: Cast
) -> None:
    empty = admin.post(f"/admin/snapshots/freeze/{campaign.id}")
    assert empty.status_code == 409
    settle_one(database, cast, campaign)
    where = admin.post(f"/admin/snapshots/freeze/{campaign.id}").headers["location"]
    assert "turns.jsonl" in admin.get(where).text
    row = json.loads(admin.get(f"{where}/files/turns.jsonl").text)
    assert row["order"] == "A > B > C > D"
    for name in ("../../zhongjing.sqlite3", "..%2f..%2fx", "/etc/passwd", "turns.jsonl%00", "other.txt", "%2e%2e/x"):
        assert admin.get(f"{where}/files/{name}").status_code == 404


def test_turns_are_listed_by_state(admin: TestClient, database: Database, campaign: Campaign, cast: Cast) -> None:
    settle_one(database, cast, campaign)
    settled = admin.get(f"/admin/campaigns/{campaign.id}/turns", params={"state": TurnState.SETTLED}).text
    assert "d1 问题1" in settled
    contested = admin.get(f"/admin/campaigns/{campaign.id}/turns", params={"state": TurnState.CONTESTED}).text
    assert "d1 问题1" not in contested


def test_a_long_list_of_turns_goes_on(admin: TestClient, database: Database, campaign: Campaign) -> None:
    with database.writing() as session:
        imports.add(session, campaign, [dialogue(f"d{i:03}") for i in range(60)], source="t", actor_id=None)
    first = admin.get(f"/admin/campaigns/{campaign.id}/turns").text
    [after] = re.findall(r"after=(\d+)", first)
    second = admin.get(f"/admin/campaigns/{campaign.id}/turns", params={"after": after}).text
    names = [re.findall(r">(d\d\d\d)<", page) for page in (first, second)]
    assert names[0] + names[1] == [f"d{i:03}" for i in range(60)]


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
        ({"set-batch_size": "6"}, "multiple of micro_batch_size"),
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


def test_who_did_what_is_recorded_without_words_of_patients(
    admin: TestClient, database: Database, campaign: Campaign, cast: Cast
) -> None:
    upload(admin, campaign, json_lines(own_row("a", message="病人的话")))
    settle_one(database, cast, campaign)
    with database.reading() as session:
        events = session.scalars(select(AuditEvent)).all()
    actions = {event.action for event in events}
    assert {"user added", "campaign created", "logged in", "imported", "ranking submitted"} <= actions
    assert not any("病人的话" in json.dumps(event.detail, ensure_ascii=False) for event in events)
    assert "imported" in admin.get("/admin/audit").text


def test_the_overview_says_what_wants_attention(
    admin: TestClient, database: Database, campaign: Campaign, cast: Cast
) -> None:
    assert "has no dialogues yet" in admin.get("/admin").text
    with database.writing() as session:
        imports.add(session, campaign, [dialogue()], source="t", actor_id=None)
        for user, order in ((cast.li, "A > B > C > D"), (cast.wang, "B > A > C > D")):
            held = places.reserve_next(session, user, campaign)
            assert held is not None
            rankings.submit(session, held, Submission(f"key {user.id}", ranked(order)))
    assert "1 contested turns wait" in admin.get("/admin").text


def test_a_late_ranking_is_shown_to_the_admin(
    admin: TestClient, database: Database, campaign: Campaign, cast: Cast
) -> None:
    from datetime import timedelta

    from annotation.db import utcnow

    with database.writing() as session:
        imports.add(session, campaign, [dialogue()], source="t", actor_id=None)
        mine = places.reserve_next(session, cast.li, campaign)
        assert mine is not None
        places.reclaim_expired(session, campaign.id, utcnow() + timedelta(days=1))
        for user in (cast.wang, cast.chen):
            held = places.reserve_next(session, user, campaign)
            assert held is not None
            rankings.submit(session, held, Submission(f"key {user.id}", ranked("A > B > C > D")))
        rankings.submit(session, mine, Submission("late", ranked("D > C > B > A")))
    page = admin.get(f"/admin/campaigns/{campaign.id}").text
    assert "Late rankings" in page
    assert "李敏" in page
