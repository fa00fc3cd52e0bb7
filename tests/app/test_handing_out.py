"""The admin's forms for what is handed out to whom."""

from __future__ import annotations

import re

from sqlalchemy import select
from starlette.testclient import TestClient

from annotation.db import Database
from annotation.store import campaigns, limits, rankings
from annotation.store.rankings import Submission
from annotation.tables import Assignment, Campaign, Membership, Turn, TurnOrder
from tests.app.conftest import Browse, rank
from tests.conftest import Cast
from tests.material import ranked


def test_the_order_of_turns_and_the_shares_are_set_in_percent(
    admin: TestClient, database: Database, campaign: Campaign
) -> None:
    form = {"turn_order": "by dialogue", "random_share": "15", "repeat_share": "3", "gold_share": "2.5"}
    answer = admin.post(f"/admin/campaigns/{campaign.id}/handing-out", data={**form, "repeat_after_days": "21"})
    assert answer.status_code == 303
    with database.reading() as session:
        found = campaigns.get(session, campaign.id)
        assert (found.turn_order, found.random_share) == (TurnOrder.DIALOGUE, 0.15)
        assert (found.repeat_share, found.repeat_after_days, found.gold_share) == (0.03, 21, 0.025)
    for wrong in ({"gold_share": "99"}, {"repeat_share": "101"}, {"repeat_share": "nan"}, {"turn_order": "x"}):
        refused = admin.post(f"/admin/campaigns/{campaign.id}/handing-out", data={**form, **wrong})
        assert refused.status_code == 422


def test_who_has_reached_a_limit_is_told_so_kindly(
    admin: TestClient, browse: Browse, database: Database, campaign: Campaign, cast: Cast, turns: list[int]
) -> None:
    assert admin.post(f"/admin/campaigns/{campaign.id}/limits", data={f"day-{cast.li.id}": "x"}).status_code == 422
    admin.post(f"/admin/campaigns/{campaign.id}/limits", data={f"day-{cast.li.id}": "1", f"all-{cast.wang.id}": "0"})
    with database.reading() as session:
        found = {m.user_id: limits.allowance(session, m) for m in campaigns.memberships(session, campaign.id)}
    assert (found[cast.li.id].today, found[cast.wang.id].in_all, found[cast.chen.id].left) == (1, 0, None)
    li = browse("li")
    rank(li, campaign, database, "A > B > C > D")
    page = li.post(f"/rank/{campaign.id}/next").text
    assert "You have done your share" in page
    assert "in the last 24 hours" in page
    assert "meant for you" in browse("wang").post(f"/rank/{campaign.id}/next").text


def test_a_turn_is_kept_for_people_and_given_free_again_on_its_page(
    admin: TestClient, database: Database, campaign: Campaign, cast: Cast, turns: list[int]
) -> None:
    page = f"/admin/campaigns/{campaign.id}/turns/{turns[1]}"
    admin.post(f"{page}/named", data={"person": [str(cast.li.id), str(cast.wang.id)]})
    with database.reading() as session:
        assert session.get_one(Turn, turns[1]).places_named == 2
    shown = admin.get(page).text
    assert f"/named/{cast.li.id}/withdraw" in shown
    admin.post(f"{page}/named/{cast.li.id}/withdraw")
    with database.reading() as session:
        assert session.get_one(Turn, turns[1]).places_named == 1
    assert admin.post(f"/admin/campaigns/999/turns/{turns[1]}/named", data={"person": "1"}).status_code == 404


def test_a_department_is_kept_for_people_in_the_list_of_turns(
    admin: TestClient, database: Database, campaign: Campaign, cast: Cast, turns: list[int]
) -> None:
    listed = admin.get(f"/admin/campaigns/{campaign.id}/turns").text
    assert "<option>儿科</option>" in listed
    form = {"person": str(cast.li.id), "department": "儿科", "dialogues": ""}
    assert admin.post(f"/admin/campaigns/{campaign.id}/named", data=form).status_code == 303
    with database.reading() as session:
        assert session.scalars(select(Turn.places_named)).all() == [1, 1, 1]


def test_a_new_campaign_has_the_members_who_were_ticked(admin: TestClient, database: Database, cast: Cast) -> None:
    form = admin.get("/admin/campaigns/new").text
    assert re.findall(r'name="member" value="(\d+)" checked', form) != []
    where = admin.post("/admin/campaigns/new", data={"name": "新项目", "member": str(cast.wang.id)}).headers["location"]
    with database.reading() as session:
        mine = Membership.campaign_id == int(where.rpartition("/")[2])
        assert session.scalars(select(Membership.user_id).where(mine)).all() == [cast.wang.id]


def test_a_settled_turn_is_declared_gold_and_no_longer(
    admin: TestClient, browse: Browse, database: Database, campaign: Campaign, turns: list[int]
) -> None:
    page = f"/admin/campaigns/{campaign.id}/turns/{turns[0]}"
    assert admin.post(f"{page}/gold", data={"gold": "true"}).status_code == 409
    for login in ("li", "wang"):
        rank(browse(login), campaign, database, "A > B > C > D")
    for gold in (True, False):
        admin.post(f"{page}/gold", data={"gold": str(gold).lower()})
        with database.reading() as session:
            assert session.get_one(Turn, turns[0]).gold is gold


def test_the_screen_of_a_gold_turn_tells_nothing(
    admin: TestClient, browse: Browse, database: Database, campaign: Campaign, turns: list[int]
) -> None:
    """Chen sees a gold turn and an ordinary one: apart from what differs between any two turns, the pages are one."""
    for login in ("li", "wang"):
        rank(browse(login), campaign, database, "A > B > C > D")
    admin.post(f"/admin/campaigns/{campaign.id}/turns/{turns[0]}/gold", data={"gold": "true"})
    with database.writing() as session:
        campaigns.get(session, campaign.id).gold_share = 1.0
    chen = browse("chen")
    pages = []
    for number in (0, 1):
        path = chen.post(f"/rank/{campaign.id}/next").headers["location"]
        page = chen.get(path).text.replace(f"d{number} ", "d ").replace(path, "")
        pages.append(re.sub(r'name="key" value="\w+"|甲|乙|丙|丁|\d+ left|\d+ today', "", page))
        with database.writing() as session:
            held = session.get_one(Assignment, int(path.rpartition("/")[2]))
            assert (held.turn_id, held.purpose) == ((turns[0], "gold") if number == 0 else (turns[1], "label"))
            rankings.submit(session, held, Submission(f"chen-{number}-0123456789", ranked("A > B > C > D")))
    assert pages[0] == pages[1]


def test_the_pages_of_handing_out_open_in_chinese(
    admin: TestClient, browse: Browse, database: Database, campaign: Campaign, turns: list[int]
) -> None:
    where = admin.post(f"/admin/campaigns/{campaign.id}/calibration", data={"name": "第一轮", "turns": "1"})
    for login in ("li", "wang"):
        rank(browse(login), campaign, database, "A > B > C > D")
    admin.post(f"{where.headers['location']}/reveal")
    base = f"/admin/campaigns/{campaign.id}"
    admin.cookies.delete("locale")
    admin.headers["accept-language"] = "zh-CN"
    for path in (base, f"{base}/turns", f"{base}/turns/{turns[0]}", "/admin/campaigns/new", where.headers["location"]):
        page = admin.get(path)
        assert page.status_code == 200
        assert 'lang="zh-CN"' in page.text
    assert "医生甲" in admin.get(where.headers["location"]).text
