"""The page on which people make access tokens."""

from __future__ import annotations

import re

import pytest

from annotation.db import Database
from annotation.store import tokens
from tests.app.conftest import Browse
from tests.conftest import Cast

SECRET = re.compile(r"zj_[\w-]{43}")


@pytest.mark.parametrize("login", ["li", "zhao", "sun"])
def test_everybody_makes_a_token_and_sees_it_once(browse: Browse, database: Database, login: str) -> None:
    client = browse(login)
    assert "/account/tokens" in client.get("/account/tokens").text
    made = client.post("/account/tokens", data={"name": "nightly", "days": "30"})
    [secret] = SECRET.findall(made.text)
    assert not SECRET.search(client.get("/account/tokens").text)
    with database.reading() as session:
        found = tokens.found(session, secret)
        assert found is not None
        assert found.user.login == login
        assert not found.may_write


def test_a_revoked_token_stays_in_the_list_without_its_button(browse: Browse, database: Database) -> None:
    client = browse("li")
    client.post("/account/tokens", data={"name": "nightly", "days": "30", "may_write": "true"})
    page = client.get("/account/tokens").text
    [path] = re.findall(r'action="(/account/tokens/\d+/revoke)"', page)
    assert client.post(path).status_code == 303
    page = client.get("/account/tokens").text
    assert "revoked" in page
    assert path not in page


def test_the_token_of_another_does_not_exist(browse: Browse, database: Database, cast: Cast) -> None:
    with database.writing() as session:
        token, _ = tokens.create(session, session.merge(cast.li), "n", may_write=False, days=1)
    assert browse("sun").post(f"/account/tokens/{token.id}/revoke").status_code == 404
    assert "n</td>" not in browse("sun").get("/account/tokens").text


@pytest.mark.parametrize(("name", "days"), [("", "30"), ("x", "400"), ("x", "0"), ("x", "a")])
def test_a_token_without_a_name_or_an_end_is_refused(browse: Browse, name: str, days: str) -> None:
    assert browse("li").post("/account/tokens", data={"name": name, "days": days}).status_code == 422
