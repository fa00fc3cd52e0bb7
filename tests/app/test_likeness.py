"""Responses that are nearly the same are found and marked; any two are compared on demand."""

from __future__ import annotations

import pytest

from annotation.db import Database
from annotation.formats.rows import NewDialogue, NewResponse, NewTurn
from annotation.refusals import Invalid
from annotation.store import imports
from annotation.tables import Campaign
from app import likeness
from tests.app.conftest import Browse
from tests.app.test_ranking import next_turn

ADVICE = "先测量体温，多喝温水，注意休息。超过38.5℃时服用对乙酰氨基酚，每次0.5克，一天不超过四次。高烧不退请就医。"
WRONG_DOSE = ADVICE.replace("0.5克", "5克")
OTHER = "头痛的原因很多，请告诉我痛在哪里，痛了多久，有没有发烧、呕吐，我再告诉您应该看哪一个科，先不要自己吃药。"


def test_a_dose_that_differs_is_found_and_marked() -> None:
    found = likeness.near({"A": ADVICE, "B": OTHER, "C": WRONG_DOSE})
    assert found.alike == (("A", "C"),)
    assert found.equal == ()
    assert set(found.texts) == {"A", "C"}
    assert "每次<mark>0.5</mark>克" in found.texts["A"]
    assert "每次<mark>5</mark>克" in found.texts["C"]


def test_equal_texts_are_said_to_be_equal_and_bear_no_marks() -> None:
    found = likeness.near({"A": ADVICE, "B": ADVICE})
    assert (found.alike, found.equal, dict(found.texts)) == ((), (("A", "B"),), {})


def test_a_text_is_marked_against_the_one_most_like_it() -> None:
    further = WRONG_DOSE.replace("四次", "三次")
    found = likeness.near({"A": ADVICE, "B": WRONG_DOSE, "C": further})
    assert found.alike == (("A", "B", "C"),)
    assert "四<" not in found.texts["A"]  # against B, not against C


def test_markup_in_a_response_stays_text() -> None:
    hostile = f"<script>alert(1)</script>{ADVICE}"
    found = likeness.near({"A": ADVICE, "B": hostile})
    assert "<script>" not in likeness.compared(ADVICE, hostile)[1]
    assert all("<script>" not in text for text in found.texts.values())


@pytest.mark.parametrize(("first", "second"), [("多喝热水。", "多喝温水。"), ("长" * 10_001, "长" * 10_001)])
def test_what_a_glance_tells_and_what_is_too_long_is_not_compared(first: str, second: str) -> None:
    assert likeness.likeness(first, second) == 0


def test_texts_that_are_too_long_are_refused_in_a_sentence() -> None:
    with pytest.raises(Invalid, match="too long"):
        likeness.compared("长" * 10_001, "短")


def test_two_letters_are_compared_as_they_are_shown(browse: Browse, database: Database, campaign: Campaign) -> None:
    responses = tuple(NewResponse(text, "m") for text in (ADVICE, WRONG_DOSE, OTHER, OTHER[:30]))
    with database.writing() as session:
        turn = NewTurn(1, (), "发烧了怎么办？", responses, reply=ADVICE)
        imports.add(session, campaign, [NewDialogue(1, "d", (turn,), "儿科")], source="t", actor_id=None)
    client = browse("li")
    path = next_turn(client, campaign)
    page = client.get(path).text
    assert "nearly the same; what differs is marked" in page
    assert page.count("<mark>") == 2
    answers = {of: client.get(f"{path}/compare?of={of}") for of in ("ab", "ba", "cd", "aa", "a", "ae", "abc")}
    assert [answer.status_code for answer in answers.values()] == [200, 200, 200, 422, 422, 422, 422]
    assert '<div data-letter="a">' in answers["ab"].text
    assert browse("wang").get(f"{path}/compare?of=ab").status_code == 404
