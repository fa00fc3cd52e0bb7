"""A new version of the guideline is shown once, with what changed, and every ranking names the version it follows."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from annotation.db import Database
from annotation.measure_tables import GuidelineReading
from annotation.store import campaigns, imports
from annotation.tables import Campaign
from app.revisions import changes
from tests.app.conftest import Browse
from tests.app.test_ranking import FITTING, form_for, next_turn, stored
from tests.material import dialogue


@pytest.fixture(autouse=True)
def turns(database: Database, campaign: Campaign) -> None:
    with database.writing() as session:
        imports.add(session, campaign, [dialogue(f"d{i}", turns=2) for i in range(3)], source="t", actor_id=None)


def revise(database: Database, campaign: Campaign, text: str) -> None:
    with database.writing() as session:
        campaigns.revise_guideline(session, campaigns.get(session, campaign.id), text, actor_id=None)


def test_who_begins_has_the_guideline_on_the_page_and_goes_straight_on(browse: Browse, campaign: Campaign) -> None:
    client = browse("li")
    assert "先看安全。" in client.get("/rank").text
    next_turn(client, campaign)
    assert "先看安全。" not in client.get("/rank").text


def test_a_new_version_is_shown_once_with_what_changed(browse: Browse, database: Database, campaign: Campaign) -> None:
    client = browse("li")
    path = next_turn(client, campaign)
    revise(database, campaign, "先看安全性。")
    asked = client.post(f"/rank/{campaign.id}/next")
    assert asked.headers["location"] == f"/rank/{campaign.id}/guideline"
    page = client.get(f"/rank/{campaign.id}/guideline").text
    assert "<del>先看安全。</del>" in page
    assert "<ins>先看安全<mark>性</mark>。</ins>" in page
    read = client.post(f"/rank/{campaign.id}/guideline", data={"version": "2"})
    assert read.headers["location"] == path
    assert client.post(f"/rank/{campaign.id}/next").headers["location"] == path
    assert client.post(f"/rank/{campaign.id}/guideline", data={"version": "2"}).status_code == 303
    with database.reading() as session:
        assert len(session.scalars(select(GuidelineReading)).all()) == 2


def test_two_versions_in_a_row_are_shown_as_one_change(browse: Browse, database: Database, campaign: Campaign) -> None:
    client = browse("li")
    next_turn(client, campaign)
    revise(database, campaign, "第二版")
    revise(database, campaign, "第三版")
    page = client.get(f"/rank/{campaign.id}/guideline").text
    assert "先看安全。" in page
    assert "第二版" not in page


def test_a_ranking_names_the_version_that_its_annotator_was_shown(
    browse: Browse, database: Database, campaign: Campaign
) -> None:
    client = browse("li")
    path = next_turn(client, campaign)
    revise(database, campaign, "第二版")
    client.post(f"{path}/ranking", data=form_for(database, path, FITTING))
    client.post(f"/rank/{campaign.id}/guideline", data={"version": "2"})
    path = next_turn(client, campaign)
    client.post(f"{path}/ranking", data=form_for(database, path, FITTING))
    assert [kept.guideline.version for kept in stored(database)] == [1, 2]


def test_a_version_that_is_none_cannot_be_read(browse: Browse, campaign: Campaign) -> None:
    assert browse("li").post(f"/rank/{campaign.id}/guideline", data={"version": "7"}).status_code == 404


def test_lines_that_came_went_or_changed_are_told_apart() -> None:
    told = changes("一\n二是甲\n三", "一\n二是乙\n三\n四<b>")
    assert [(each.before, each.after) for each in told] == [
        ("一", "一"),
        ("二是<mark>甲</mark>", "二是<mark>乙</mark>"),
        ("三", "三"),
        (None, "四&lt;b&gt;"),
    ]
    assert [each.same for each in told] == [True, False, True, False]
    [gone] = changes("去掉", "")
    assert (gone.before, gone.after) == ("去掉", None)
