"""Freezing asks first; a snapshot is taken away in any format and comes back."""

from __future__ import annotations

from io import BytesIO
from zipfile import ZipFile

from fastapi.testclient import TestClient

from annotation.db import Database
from annotation.formats.writing import formats
from annotation.store import campaigns
from annotation.tables import Campaign
from tests.conftest import Cast
from tests.everything import everything


def frozen(admin: TestClient, campaign: Campaign) -> str:
    return str(admin.post(f"/admin/snapshots/freeze/{campaign.id}").headers["location"])


def test_freezing_shows_first_what_it_will_hold(admin: TestClient, database: Database, cast: Cast) -> None:
    campaign = everything(database, cast, 2)
    asked = admin.get(f"/admin/snapshots/freeze/{campaign.id}").text
    assert "<b>9</b>" in asked
    assert f'action="/admin/snapshots/freeze/{campaign.id}"' in asked
    for page in (f"/admin/campaigns/{campaign.id}", "/admin/snapshots", "/admin"):
        assert f'action="/admin/snapshots/freeze/{campaign.id}"' not in admin.get(page).text


def test_an_empty_campaign_has_nothing_to_confirm(admin: TestClient, campaign: Campaign) -> None:
    asked = f"/admin/snapshots/freeze/{campaign.id}"
    assert f'action="{asked}"' not in admin.get(asked).text


def test_every_format_can_be_taken_away(admin: TestClient, database: Database, cast: Cast) -> None:
    where = frozen(admin, everything(database, cast, 4))
    page = admin.get(where).text
    for name in formats.FORMATS:
        assert f'href="{where}/formats/{name}"' in page
        with ZipFile(BytesIO(admin.get(f"{where}/formats/{name}").content)) as archive:
            assert archive.testzip() is None
            assert archive.namelist()
    assert admin.get(f"{where}/formats/..%2f..%2fx").status_code == 404
    assert admin.get(f"{where}/formats/xml").status_code == 404


def test_an_archive_that_was_taken_away_is_restored_by_upload(
    admin: TestClient, database: Database, cast: Cast
) -> None:
    campaign = everything(database, cast, 4)
    taken = admin.get(f"{frozen(admin, campaign)}/formats/zhongjing").content
    refused = admin.post("/admin/snapshots/restore", files={"file": ("a.zip", taken)})
    assert refused.status_code == 409
    with database.writing() as session:
        campaigns.get(session, campaign.id).name = "the one before"
    answer = admin.post("/admin/snapshots/restore", files={"file": ("a.zip", taken)})
    assert answer.status_code == 303
    assert "试点 4" in admin.get(answer.headers["location"]).text
    assert admin.post("/admin/snapshots/restore", files={"file": ("a.zip", b"PK")}).status_code == 422
