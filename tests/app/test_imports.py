"""The admin imports dialogues: what fits, what is wrong, what was kept."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from sqlalchemy import func, select
from starlette.testclient import TestClient

from annotation.db import Database
from annotation.tables import Campaign, Dialogue, Turn
from tests.app.conftest import Browse
from tests.material import json_lines, own_row


def upload(client: TestClient, campaign: Campaign, data: bytes, **form: str) -> Any:
    return client.post(f"/admin/campaigns/{campaign.id}/import", files={"file": ("d.jsonl", data)}, data=form)


def count(database: Database, table: Any) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_what_is_wrong_with_a_file_is_said_in_the_language_of_the_page(admin: TestClient, campaign: Campaign) -> None:
    admin.cookies.set("locale", "zh")
    page = upload(admin, campaign, b'{"id": "a", "turns": }\n').text
    assert "<td>整行</td>" in page
    assert "缺少一个值" in page
    assert "Expecting" not in page


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
