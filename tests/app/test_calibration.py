"""The pages of a calibration round: blind, revealed by letters that are everybody's, ranked again."""

from __future__ import annotations

import re
import uuid
from html import unescape

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from annotation.db import Database
from annotation.ranking import Ranking as Order
from annotation.store import calibration, rankings
from annotation.tables import Assignment, Campaign, Draft, Ranking, Turn
from app import forms
from tests.app.conftest import Browse, rank
from tests.material import ranked
from tests.visitors import RESPONSE, fields_of

FRAGMENT = {"HX-Request": "true"}


@pytest.fixture
def begun(admin: TestClient, campaign: Campaign, turns: list[int]) -> str:
    """Where a round of one turn is."""
    answer = admin.post(f"/admin/campaigns/{campaign.id}/calibration", data={"name": "第一轮", "turns": "1"})
    return str(answer.headers["location"])


def on_screen(page: str) -> list[str]:
    """The texts of the responses in the order of their letters."""
    return [unescape(text) for text in RESPONSE.findall(page)]


def in_round(page: str) -> list[str]:
    """The same on the page of a round of one turn."""
    return [unescape(text) for text in re.findall(r'<b>[A-E]</b><div class="said">(.*?)</div>', page)]


def form_of(page: str, ranking: Order) -> dict[str, object]:
    """The form of a page that says this ranking of its letters."""
    said = forms.write_fields(ranking, range(ranking.k))
    return {**fields_of(page), **said, "key": uuid.uuid4().hex, "acts": "9"}


def test_a_round_is_blind_then_revealed_by_letters_and_ranked_again(
    admin: TestClient, browse: Browse, database: Database, campaign: Campaign, begun: str
) -> None:
    li, wang = browse("li"), browse("wang")
    own = rank(li, campaign, database, "A > B > C > D")
    rank(wang, campaign, database, "B > A > C > D")
    assert li.get(begun).status_code == 404
    assert "1 of 1 turns" in admin.get(begun).text
    assert "Agreement before and after" not in admin.get(begun).text
    admin.post(f"{begun}/reveal")
    assert "第一轮" in li.get("/rank").text
    page = unescape(li.get(begun).text)
    assert "Doctor I" in page
    assert "Doctor II" in page
    assert not {"王芳", "wang"} & set(re.findall(r"王芳|wang", page))
    assert own in page
    assert "0.83" in page
    assert "You rank this turn again" in li.get(own).text
    assert browse("zhao").get(begun).status_code == 404
    admin.post(f"{begun}/close")
    assert "Rank again" not in li.get(begun).text
    with database.reading() as session:
        [found] = calibration.every(session, campaign.id)
        assert found.closed_at is not None


def test_once_it_is_revealed_a_response_has_one_letter_for_everybody(
    admin: TestClient, browse: Browse, database: Database, campaign: Campaign, begun: str
) -> None:
    annotators = [browse(login) for login in ("li", "wang", "chen")]
    own = [rank(client, campaign, database, "A > B > C > D") for client in annotators]
    blind = [on_screen(client.get(path).text) for client, path in zip(annotators, own, strict=True)]
    admin.post(f"{begun}/reveal")
    [first, *others] = [on_screen(client.get(path).text) for client, path in zip(annotators, own, strict=True)]
    pages = [client.get(begun).text for client in (*annotators, admin)]
    assert len(set(first)) == 4
    assert all(each == first for each in [*others, *map(in_round, pages)])
    with database.reading() as session:
        shown = [each.response_order for each in session.scalars(select(Ranking).order_by(Ranking.id))]
        texts = {r.number: r.text for r in session.scalars(select(Turn).join(Assignment)).first().responses}
        assert [[texts[number] for number in order] for order in shown] == blind


def test_what_is_ranked_again_is_in_the_shared_letters_and_leads_back_to_the_round(
    admin: TestClient, browse: Browse, database: Database, campaign: Campaign, begun: str
) -> None:
    li, wang = browse("li"), browse("wang")
    own = rank(li, campaign, database, "A > B > C > D")
    rank(wang, campaign, database, "B > A > C > D")
    admin.post(f"{begun}/reveal")
    page = li.get(own).text
    again = ranked("D > C > B > A")
    answer = li.post(f"{own}/ranking", data=form_of(page, again), headers=FRAGMENT)
    with database.reading() as session:
        assignment = session.get_one(Assignment, int(own.rpartition("/")[2]))
        where = f"{begun}#turn-{assignment.turn_id}"
        newest = rankings.latest(session, assignment.id)
        assert newest is not None
        texts = {r.number: r.text for r in assignment.turn.responses}
        assert [texts[number] for [number] in rankings.read(newest).groups] == on_screen(page)[::-1]
    assert answer.json() == {"back": where, "late": False}
    assert li.post(f"{own}/ranking", data=form_of(page, again)).headers["location"] == where
    assert 'id="turn-' in li.get(begun).text
    assert "D &gt; C &gt; B &gt; A" in li.get(begun).text


def test_a_form_that_was_opened_before_the_reveal_is_refused_for_its_letters(
    admin: TestClient, browse: Browse, database: Database, campaign: Campaign, begun: str
) -> None:
    li = browse("li")
    own = rank(li, campaign, database, "A > B > C > D")
    before = li.get(own).text
    form = form_of(before, ranked("D > C > B > A"))
    assert li.post(f"{own}/draft", data=form).json() == {"revision": 1}
    admin.post(f"{begun}/reveal")
    for path in ("ranking", "draft"):
        refused = li.post(f"{own}/{path}", data=form, headers=FRAGMENT)
        assert refused.status_code == 409
        assert "the letters are others now" in refused.text
    with database.reading() as session:
        assert session.scalars(select(Draft)).all() == []


def test_turns_of_a_round_are_listed_as_its_turns_and_not_as_withdrawn(
    admin: TestClient, campaign: Campaign, begun: str
) -> None:
    base = f"/admin/campaigns/{campaign.id}/turns"
    for query in ("", "?calibration=1"):
        page = admin.get(f"{base}{query}").text
        assert f'<a class="chip busy" href="{begun}">Calibration: 第一轮</a>' in page
        assert '<span class="chip ">withdrawn</span>' not in page
    assert "There are none." in admin.get(f"{base}?state=withdrawn").text
    [listed] = re.findall(rf'href="({base}/\d+)"', admin.get(f"{base}?calibration=1").text)
    assert "Calibration: 第一轮" in admin.get(listed).text
