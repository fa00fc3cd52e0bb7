"""The admin's side: campaigns, people, snapshots, the record of who did what, what wants attention."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from annotation.db import Database
from annotation.people_tables import UserState
from annotation.store import audit, campaigns, imports, naming, people, places, rankings
from annotation.store.rankings import Submission
from annotation.tables import AuditEvent, Campaign, Turn, TurnState
from tests.app.test_imports import upload
from tests.conftest import Cast
from tests.material import dialogue, json_lines, own_row, ranked


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
