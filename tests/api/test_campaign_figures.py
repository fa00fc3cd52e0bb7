"""What the admin's programs learn of a campaign beside its turns: who may how much, what waits, what audits found."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from annotation.db import Database, utcnow
from annotation.store import calibration, campaigns
from annotation.tables import Campaign, Turn
from tests.api.conftest import Program, contest, rank
from tests.api.test_access import is_problem
from tests.api.test_blind_audit import opened as opened_audit
from tests.api.test_blind_audit import order, send
from tests.api.test_review import opened
from tests.conftest import Cast
from tests.material import json_lines

AGREED = ("回答0", "回答1", "回答2", "回答3")


@pytest.fixture
def admin(program: Program, cast: Cast) -> TestClient:
    return program("sun")


@pytest.fixture
def path(imported: Campaign) -> str:
    return f"/api/v1/campaigns/{imported.id}"


def listed(admin: TestClient, path: str, query: str) -> list[str]:
    answer = admin.get(f"{path}/turns?{query}")
    assert answer.status_code == 200, answer.text
    return [each["dialogue"] for each in answer.json()["items"]]


def test_members_are_told_with_their_limits(admin: TestClient, path: str, cast: Cast) -> None:
    admin.put(f"{path}/members/{cast.li.id}/limits", json={"most_a_day": 40})
    limits = {each["login"]: (each["most_a_day"], each["most_in_all"]) for each in admin.get(f"{path}/members").json()}
    assert limits == {"li": (40, None), "wang": (None, None)}


def test_why_nothing_is_left_is_told(program: Program, admin: TestClient, path: str, imported: Campaign) -> None:
    li, asked = program("li"), f"/api/v1/ranking/campaigns/{imported.id}/why-nothing"
    for _ in range(3):
        rank(li, imported, *AGREED)
    assert li.get(asked).json() == {"why": "done"}
    admin.patch(path, json={"open": False})
    assert li.get(asked).json() == {"why": "closed"}
    is_problem(program("chen").get(asked), 404)


def test_turns_are_listed_by_what_a_figure_counts(
    program: Program, admin: TestClient, path: str, imported: Campaign, cast: Cast
) -> None:
    """Li ranks d0 and d1, Wang d0: they differ in the pair that accuracy decides for one and clarity for nobody."""
    contest(program, imported)
    rank(program("li"), imported, *AGREED)
    assert listed(admin, path, f"annotator_id={cast.li.id}") == ["d0", "d1"]
    assert listed(admin, path, f"annotator_id={cast.li.id}&annotator_id={cast.wang.id}") == ["d0"]
    assert (listed(admin, path, "ability=1"), listed(admin, path, "ability=9")) == (["d0"], [])
    today = utcnow().date()
    monday = today - timedelta(days=today.weekday())
    assert listed(admin, path, f"week={monday}&depth=1") == ["d0", "d1"]
    assert listed(admin, path, f"week={monday - timedelta(days=7)}") == []
    assert (listed(admin, path, "guideline_version=1"), listed(admin, path, "depth=2")) == (["d0", "d1"], [])
    is_problem(admin.get(f"{path}/turns?week=yesterday"), 422)


def test_turns_of_a_source_handed_back_or_in_a_round_are_found(
    admin: TestClient, path: str, imported: Campaign, database: Database, cast: Cast
) -> None:
    with database.writing() as session:
        session.execute(update(Turn).where(Turn.id == 1).values(in_distribution=True, times_unjudgeable=2))
        session.execute(update(Turn).where(Turn.id == 2).values(in_distribution=None))
        session.execute(update(Turn).where(Turn.id == 3).values(in_distribution=False))
    assert [listed(admin, path, f"source={each}") for each in ("in", "unstated", "out")] == [["d0"], ["d1"], ["d2"]]
    assert listed(admin, path, "handed_back=2") == ["d0"]
    with database.writing() as session:
        begun = calibration.begin(session, campaigns.get(session, imported.id), "r", 3, actor_id=cast.sun.id)
        session.flush()
        number = begun.id
    assert sorted(listed(admin, path, "calibration=true")) == ["d0", "d1", "d2"]
    assert admin.get(f"{path}/turns/1").json()["calibration_round_id"] == number


def test_what_waits_is_counted(program: Program, admin: TestClient, path: str, imported: Campaign) -> None:
    assert admin.get(f"{path}/attention").json() == {"oldest": None, "doubts": 0, "handed_back": 0, "late": 0}
    contest(program, imported)
    found = admin.get(f"{path}/attention").json()
    assert found["oldest"] is not None
    zhao = program("zhao")
    review = opened(zhao)
    zhao.post(f"/api/v1/reviews/{review['id']}/doubts", json={"ability": 9, "note": "语气何时算冷淡？"})
    assert admin.get(f"{path}/attention").json() == {"oldest": None, "doubts": 1, "handed_back": 0, "late": 0}


def test_the_policy_in_force_is_told_with_what_its_audits_found(
    program: Program, admin: TestClient, path: str, imported: Campaign, database: Database
) -> None:
    given = {"review_policy": "any difference", "review_distance": 0, "audit_share": 1.0}
    admin.put(f"{path}/review-policy", json=given)
    for login in ("li", "wang"):
        rank(program(login), imported, *AGREED)
    none = {"drawn": 1, "done": 0, "differed": 0, "wrong": 0, "pairs": 0, "pairs_differed": 0}
    assert admin.get(f"{path}/review-policy").json() == {**given, "audits": none}
    zhao = program("zhao")
    audit = order(zhao, opened_audit(zhao), "回答1", "回答0", "回答2", "回答3")
    audit = send(zhao, audit, kind="verdict", overturns=True, reason="回答0的剂量错").json()
    for ability in (1, 2, 3):
        audit = send(zhao, audit, kind="ability", ability=ability).json()
    found = {"drawn": 1, "done": 1, "differed": 1, "wrong": 1, "pairs": 6, "pairs_differed": 1}
    assert admin.get(f"{path}/review-policy").json()["audits"] == found
    review = admin.get(f"{path}/turns/1").json()["review"]
    assert (review["kind"], review["state"], review["overturned"]) == ("audit", "decided", True)
    assert review["reason"] == "回答0的剂量错"


def test_a_contested_turn_says_who_decided_it_and_an_unranked_one_that_nobody_did(
    program: Program, admin: TestClient, path: str, imported: Campaign, cast: Cast
) -> None:
    contest(program, imported)
    opened(program("zhao"))
    review = admin.get(f"{path}/turns/1").json()["review"]
    assert (review["adjudicator_id"], review["kind"], review["state"]) == (cast.zhao.id, "contested", "open")
    assert (review["overturned"], review["reason"], review["decided_at"]) == (False, "", None)
    assert admin.get(f"{path}/turns/2").json()["review"] is None


def test_the_file_of_the_statistics_is_that_of_the_page(
    program: Program, admin: TestClient, path: str, imported: Campaign
) -> None:
    for login in ("li", "wang"):
        rank(program(login), imported, *AGREED)
    answer = admin.get(f"{path}/statistics/agreement/csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    lines = answer.text.splitlines()
    assert lines[0].lstrip("\ufeff").startswith("part,table,grouped,group,figure,value")
    assert (
        "Agreement,agreement,over all,all,same whole order,1.0," in answer.text or "same whole order,1" in answer.text
    )
    chinese = admin.get(f"{path}/statistics/everything/csv", headers={"accept-language": "zh"})
    assert len(chinese.text.splitlines()) > len(lines)
    assert "一致" in chinese.text
    is_problem(admin.get(f"{path}/statistics/nothing/csv"), 404)


def test_an_import_says_which_of_many_responses_it_drew(admin: TestClient, path: str) -> None:
    asked = [{"role": "user", "content": "头痛"}]
    row = {"id": "many", "messages": asked, "responses": [f"多{number}" for number in range(6)]}
    done = admin.post(f"{path}/dialogues?seed=3", content=json_lines(row)).json()
    [drawn] = done["choices"]
    assert (drawn["dialogue"], drawn["offered"], len(set(drawn["kept"]))) == ("many", 6, 4)
    assert set(drawn["kept"]) <= set(range(1, 7))


def test_a_snapshot_is_restored_under_another_name(
    program: Program, admin: TestClient, path: str, imported: Campaign
) -> None:
    for login in ("li", "wang"):
        rank(program(login), imported, *AGREED)
    snapshot = admin.post(f"{path}/snapshots").json()
    archive = admin.get(f"/api/v1/snapshots/{snapshot['id']}/formats/zhongjing").content
    is_problem(admin.post("/api/v1/snapshots/restore", content=archive), 409)
    made = admin.post("/api/v1/snapshots/restore", params={"name": " 副本 "}, content=archive)
    assert made.status_code == 201, made.text
    assert admin.get(f"/api/v1/campaigns/{made.json()['campaign_id']}").json()["name"] == "副本"
