"""The statistics on pages and in files."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from annotation.adjudication import Answer
from annotation.bootstrap import Estimate
from annotation.db import Database, utcnow
from annotation.measure_tables import GuidelineDoubt
from annotation.ranking import Relation
from annotation.store import campaigns, imports, places, rankings, reviews, statistics
from annotation.store.rankings import Submission
from annotation.tables import Campaign, Turn
from app import spreadsheet, words
from app.curves import chart
from app.i18n import LOCALES
from app.routes.runs import CHARTS
from tests.app.conftest import Browse
from tests.conftest import Cast
from tests.material import dialogue, ranked


@pytest.fixture
def ranked_twice(database: Database, cast: Cast, campaign: Campaign) -> None:
    """Two turns that Li and Wang ranked: once alike, once with the first two the other way round."""
    with database.writing() as session:
        for name, orders in (("d1", ("A > B > C > D",) * 2), ("d2", ("A > B > C > D", "B > A > C > D"))):
            imports.add(session, campaign, [dialogue(name, department="=cmd|' /C calc'!A0")], source="t", actor_id=None)
            for user, order in zip((cast.li, cast.wang), orders, strict=True):
                held = places.reserve_next(session, user, campaign)
                assert held is not None
                rankings.submit(session, held, Submission(f"{user.id}{name}", ranked(order), active_seconds=42.0))


def test_without_rankings_the_page_says_what_is_missing(admin: TestClient, campaign: Campaign) -> None:
    for part in ("agreement", "bias", "adjudication", "ceiling"):
        assert "two doctors have ranked" in admin.get(f"/admin/campaigns/{campaign.id}/statistics/{part}").text
    assert "repeated turns, gold turns" in admin.get(f"/admin/campaigns/{campaign.id}/statistics/measuring").text
    assert admin.get(f"/admin/campaigns/{campaign.id}/statistics/pace").status_code == 200


@pytest.mark.usefixtures("ranked_twice")
def test_agreement_is_shown_with_its_interval_and_its_turns(admin: TestClient, campaign: Campaign, cast: Cast) -> None:
    page = unescape(admin.get(f"/admin/campaigns/{campaign.id}/statistics").text)
    assert "91.7%" in page  # 11 of 12 pairs
    assert "83.3% – 100.0%" in page
    one, other = sorted((cast.li.id, cast.wang.id))
    assert f"turns?annotator={one}&annotator={other}" in page
    listed = admin.get(f"/admin/campaigns/{campaign.id}/turns?annotator={one}&annotator={other}").text
    assert "d1 问题1" in listed
    assert "李敏" in listed
    other_pair = admin.get(f"/admin/campaigns/{campaign.id}/turns?annotator={one}&annotator={cast.chen.id}").text
    assert "d1 问题1" not in other_pair


@pytest.mark.usefixtures("ranked_twice")
def test_every_part_stands_on_a_page_and_alone(admin: TestClient, campaign: Campaign) -> None:
    for locale in LOCALES:
        admin.cookies.set("locale", locale)
        for part in statistics.SECTIONS:
            where = f"/admin/campaigns/{campaign.id}/statistics/{part}"
            assert admin.get(where).text.startswith("<!doctype html>")
            alone = admin.get(where, headers={"hx-request": "true"}).text
            assert alone.lstrip().startswith('<div id="part"')
            assert "<html" not in alone


def test_where_agreement_used_to_stand_leads_to_the_statistics(admin: TestClient, campaign: Campaign) -> None:
    answer = admin.get(f"/admin/campaigns/{campaign.id}/agreement")
    assert answer.status_code == 301
    assert answer.headers["location"] == f"/admin/campaigns/{campaign.id}/statistics"


def test_a_part_that_is_none_is_missing(admin: TestClient, browse: Browse, campaign: Campaign) -> None:
    for name in ("nothing", "nothing.csv"):
        assert admin.get(f"/admin/campaigns/{campaign.id}/statistics/{name}").status_code == 404
    assert browse("li").get(f"/admin/campaigns/{campaign.id}/statistics").status_code == 404


@pytest.mark.usefixtures("ranked_twice")
def test_the_file_of_everything_holds_every_figure_and_no_formula(admin: TestClient, campaign: Campaign) -> None:
    admin.cookies.set("locale", "zh")
    answer = admin.get(f"/admin/campaigns/{campaign.id}/statistics/everything.csv")
    assert answer.content.startswith(b"\xef\xbb\xbf")
    assert "attachment" in answer.headers["content-disposition"]
    header, *rows = csv.reader(io.StringIO(answer.content.decode("utf-8-sig")))
    assert len(header) == 9
    over_all = [row for row in rows if row[:2] == ["一致性", "一致性"] and row[2] == "总体"]
    assert [float(row[5]) for row in over_all][:2] == [pytest.approx(11 / 12), 0.5]
    assert {row[4] for row in over_all} >= {"Kendall τ-b", "Krippendorff α"}
    departments = [row[3] for row in rows if row[2] == "按科室"]
    assert departments == ["'=cmd|' /C calc'!A0"] * 5
    numbers = [cell for row in rows for cell in row[5:]]
    assert all(cell == "" or float(cell) is not None for cell in numbers)
    texts = [cell for row in rows for cell in row[:5]]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for cell in texts)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_text_that_would_run_stands_behind_an_apostrophe(start: str) -> None:
    assert spreadsheet.safe(f"{start}1+1") == f"'{start}1+1"
    assert spreadsheet.safe("a=1") == "a=1"


def test_numbers_and_empty_cells_stay_what_they_are() -> None:
    assert spreadsheet.write(["名"], [[-1.5], [None], ["a,b"]]).decode() == '\ufeff名\r\n-1.5\r\n""\r\n"a,b"\r\n'


def test_a_curve_has_round_marks_and_stays_inside_its_picture() -> None:
    drawn = chart(["1", "2", "3"], {"x": [Estimate(v, v - 0.01, v + 0.01, 9) for v in (0.61, 0.7, 0.66)]})
    assert drawn is not None
    assert [round(tick, 6) for _, tick in drawn.y_marks] == [0.6, 0.65, 0.7, 0.75]
    places = [tuple(map(float, place.split(","))) for place in drawn.lines[0].points.split()]
    assert all(0 <= x <= drawn.width and 0 <= y <= drawn.height for x, y in places)
    assert places[0][1] > places[2][1] > places[1][1]  # what is higher stands higher


def test_one_day_is_no_curve() -> None:
    assert chart(["1"], {"x": [Estimate(1.0, None, None, 1)]}) is None


def contest(database: Database, cast: Cast, campaign: Campaign, *, days_ago: int) -> None:
    """A turn that Li and Wang ranked differently so many days ago."""
    at = utcnow() - timedelta(days=days_ago)
    with database.writing() as session:
        imports.add(session, campaign, [dialogue("d7")], source="t", actor_id=None)
        for user, order in ((cast.li, "A > B > C > D"), (cast.wang, "D > C > B > A")):
            held = places.reserve_next(session, user, campaign)
            assert held is not None
            rankings.submit(session, held, Submission(f"{user.id}d7", ranked(order)), at)


def test_a_queue_that_waits_long_says_how_long(
    admin: TestClient, database: Database, campaign: Campaign, cast: Cast
) -> None:
    contest(database, cast, campaign, days_ago=5)
    page = admin.get("/admin").text
    assert "1 contested turns wait for an adjudicator, the oldest for 5 days." in page


def test_turns_that_were_handed_back_twice_lead_to_themselves(
    admin: TestClient, database: Database, campaign: Campaign, cast: Cast
) -> None:
    with database.writing() as session:
        imports.add(session, campaign, [dialogue("d1"), dialogue("d2")], source="t", actor_id=None)
        for user in (cast.li, cast.wang):
            held = places.reserve_next(session, user, campaign)
            assert held is not None
            places.cannot_judge(session, held, "乱码")
    assert "1 turns were handed back twice" in admin.get("/admin").text
    listed = admin.get(f"/admin/campaigns/{campaign.id}/turns?handed_back=2").text
    assert "d1 问题1" in listed
    assert "d2 问题1" not in listed


def test_a_doubt_about_the_guideline_waits_for_the_admin(
    admin: TestClient, database: Database, campaign: Campaign, cast: Cast
) -> None:
    contest(database, cast, campaign, days_ago=0)
    with database.writing() as session:
        turn_id = session.scalars(select(Turn.id)).one()
        text = campaigns.guideline(session, campaign.id)
        doubt = GuidelineDoubt(campaign_id=campaign.id, guideline_id=text.id, turn_id=turn_id, author_id=cast.zhao.id)
        doubt.ability, doubt.note = 3, "何时算违反？"
        session.add(doubt)
    assert "found the guideline unclear in 1 places" in admin.get("/admin").text


@pytest.mark.usefixtures("ranked_twice")
def test_a_campaign_at_a_glance_shows_agreement_its_annotators_and_its_end(
    admin: TestClient, campaign: Campaign
) -> None:
    assert f'data-live="/admin/campaigns/{campaign.id}/glance"' in admin.get("/admin").text
    glance = admin.get(f"/admin/campaigns/{campaign.id}/glance").text
    assert glance.lstrip().startswith(f'<div id="glance-{campaign.id}"')
    assert "Of the last 2 turns ranked twice: 91.7% of pairs alike" in glance
    assert "The end is projected from whole days, and none is over yet." in glance
    assert "李敏" in glance
    assert f'href="/admin/campaigns/{campaign.id}/review-policy"' in glance
    assert "only where the Safety dimension decides" in glance


@pytest.mark.usefixtures("ranked_twice")
def test_the_matrix_has_no_line_for_who_has_ranked_nothing(admin: TestClient, campaign: Campaign) -> None:
    assert "陈洁" in admin.get(f"/admin/campaigns/{campaign.id}").text  # a member
    for page in ("statistics", "glance"):
        matrix = admin.get(f"/admin/campaigns/{campaign.id}/{page}").text.split('class="matrix"')[1]
        people = re.findall(r'<th scope="(?:row|col)">([^<]+)</th>', matrix.split("</table>")[0])
        assert sorted(people) == ["李敏", "李敏", "王芳", "王芳"]


@pytest.mark.usefixtures("ranked_twice")
def test_the_matrix_of_adjudication_has_no_line_for_whom_nothing_was_decided(
    admin: TestClient, database: Database, campaign: Campaign, cast: Cast
) -> None:
    with database.writing() as session:
        review = reviews.open_next(session, cast.zhao)
        assert review is not None
        reviews.answer_pair(session, review, review.version, Answer((0, 1), Relation.BETTER))
        reviews.decide(session, review, review.version)
    page = admin.get(f"/admin/campaigns/{campaign.id}/statistics/adjudication").text
    matrix = page.split('class="matrix"')[1].split("</table>")[0]
    assert sorted(re.findall(r'<th scope="row"><a[^>]*>([^<]+)</a></th>', matrix)) == [
        "李敏",
        "王芳",
    ]  # Chen is a member


def test_on_the_first_day_there_is_no_pace_yet(admin: TestClient, campaign: Campaign, ranked_twice: None) -> None:
    page = admin.get(f"/admin/campaigns/{campaign.id}/statistics/pace").text
    assert "1 turns wait; no whole day is over yet, so there is no pace" in page
    assert "0.0 a day" not in page
    assert "not at this pace" not in page


def test_after_a_day_on_which_nobody_decided_no_end_is_in_sight(
    admin: TestClient, database: Database, campaign: Campaign, cast: Cast
) -> None:
    contest(database, cast, campaign, days_ago=3)
    assert "At this pace no end is in sight." in admin.get(f"/admin/campaigns/{campaign.id}/glance").text
    assert "the queue grows" in admin.get(f"/admin/campaigns/{campaign.id}/statistics/pace").text


def test_the_matrix_counts_the_same_turns_as_the_table_and_says_on_how_many_a_figure_rests(
    admin: TestClient, database: Database, campaign: Campaign, cast: Cast
) -> None:
    none = ranked("", none_acceptable=True)
    with database.writing() as session:
        for name, orders in (("d1", (ranked("A > B > C > D"),) * 2), ("d2", (none, ranked("A > B > C > D")))):
            imports.add(session, campaign, [dialogue(name)], source="t", actor_id=None)
            for user, order in zip((cast.li, cast.wang), orders, strict=True):
                held = places.reserve_next(session, user, campaign)
                assert held is not None
                rankings.submit(session, held, Submission(f"{user.id}{name}", order))
    page = unescape(admin.get(f"/admin/campaigns/{campaign.id}/statistics").text)
    assert page.count('<span class="interval">1 of 2</span>') == 2  # the matrix is symmetric
    [line] = re.findall(r"<tr>(?:(?!</tr>).)*李敏 · 王芳.*?</tr>", page) or re.findall(
        r"<tr>(?:(?!</tr>).)*王芳 · 李敏.*?</tr>", page
    )
    assert line.endswith('<td class="number muted">2</td></tr>')
    assert "n = 1" in line


def test_figures_of_another_time_say_so(
    admin: TestClient, campaign: Campaign, ranked_twice: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = f"/admin/campaigns/{campaign.id}"
    assert "newer figures are being computed" not in admin.get(f"{where}/statistics").text
    section = statistics.section
    earlier = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
    monkeypatch.setattr(statistics, "section", lambda *given, **how: replace(section(*given, **how), as_of=earlier))
    assert "As of 2026-03-02 12:30 (UTC): newer figures are being computed" in admin.get(f"{where}/statistics").text


def test_the_curves_of_a_run_have_names_in_the_language_of_the_page(admin: TestClient) -> None:
    assert "|" not in "".join(words.WORDS[name] for name in ("loss", "eval_loss", "rollout/kl"))
    for charts in CHARTS.values():
        assert all(name in words.WORDS for chart_ in charts for name in chart_["series"])
