"""Programs look through the tokens of their owner and end them; they make none."""

from __future__ import annotations

from tests.api.conftest import Program
from tests.api.test_access import is_problem
from tests.conftest import Cast

TOKENS = "/api/v1/me/tokens"


def test_the_own_tokens_are_listed_without_what_opens_anything(program: Program, cast: Cast) -> None:
    first, second = program("li"), program("li", may_write=False)  # type: ignore[call-arg]
    program("wang")
    told = second.get(TOKENS)
    assert [(each["id"], each["may_write"], each["sent"]) for each in told.json()] == [
        (2, False, True),
        (1, True, False),
    ]
    assert {each["name"] for each in told.json()} == {"test"}
    for client in (first, second):
        assert client.headers["authorization"].removeprefix("Bearer ") not in told.text
    assert "hash" not in told.text


def test_a_token_is_ended_by_its_owner_alone_and_may_end_itself(program: Program, cast: Cast) -> None:
    li, wang = program("li"), program("wang")
    is_problem(wang.delete(f"{TOKENS}/1"), 404)
    assert li.get(TOKENS).json()[0]["revoked_at"] is None
    again = program("li")
    assert again.delete(f"{TOKENS}/1").status_code == 204
    is_problem(li.get(TOKENS), 401)
    assert [each["revoked_at"] is None for each in again.get(TOKENS).json()] == [True, False]
    assert again.delete(f"{TOKENS}/3").status_code == 204
    is_problem(again.get(TOKENS), 401)


def test_a_token_that_only_reads_ends_itself_and_nothing_else(program: Program, cast: Cast) -> None:
    first, second = program("li", may_write=False), program("li", may_write=False)  # type: ignore[call-arg]
    is_problem(second.delete(f"{TOKENS}/1"), 403)
    is_problem(second.delete("/api/v1/webhooks/2"), 403)
    assert first.delete(f"{TOKENS}/1").status_code == 204
    is_problem(first.get(TOKENS), 401)
    assert second.get(TOKENS).status_code == 200


def test_a_token_makes_no_other(program: Program, cast: Cast) -> None:
    is_problem(program("li").post(TOKENS, json={"name": "x", "days": 365, "may_write": True}), 405)
