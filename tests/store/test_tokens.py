"""Access tokens: made, found, ended."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from annotation.db import utcnow
from annotation.outside_tables import AccessToken
from annotation.people_tables import User, UserState
from annotation.refusals import Invalid, Missing
from annotation.store import campaigns, people, tokens
from annotation.tables import AuditEvent, Campaign
from tests.conftest import Cast


def made(session: Session, user: User, days: int = 30) -> tuple[AccessToken, str]:
    """A token of somebody."""
    return tokens.create(session, session.merge(user), "nightly", may_write=True, days=days)


def test_a_token_is_recognised_by_its_prefix_and_kept_only_as_a_hash(session: Session, cast: Cast) -> None:
    token, secret = made(session, cast.li)
    assert secret.startswith("zj_")
    assert len(secret) == 46
    assert secret not in str(vars(token))
    found = tokens.found(session, secret)
    assert found is not None
    assert found.user_id == cast.li.id


@pytest.mark.parametrize("wrong", ["", "zj_", "zj_" + "x" * 43, "x" * 46, "zj_" + "医" * 43])
def test_a_token_that_nobody_made_opens_nothing(session: Session, cast: Cast, wrong: str) -> None:
    made(session, cast.li)
    assert tokens.found(session, wrong) is None


def test_a_token_ends_when_it_said(session: Session, cast: Cast) -> None:
    token, secret = made(session, cast.li, days=1)
    assert tokens.found(session, secret, token.created_at + timedelta(hours=23, minutes=59)) is not None
    assert tokens.found(session, secret, token.created_at + timedelta(days=1)) is None


def test_a_revoked_token_opens_nothing_and_both_acts_are_audited(session: Session, cast: Cast) -> None:
    token, secret = made(session, cast.li)
    tokens.revoke(session, cast.li, token.id)
    tokens.revoke(session, cast.li, token.id)
    assert tokens.found(session, secret) is None
    session.flush()
    events = session.scalars(select(AuditEvent).where(AuditEvent.subject == f"token {token.id}")).all()
    assert [(event.action, event.actor_id) for event in events] == [
        ("token created", cast.li.id),
        ("token revoked", cast.li.id),
    ]
    assert all(secret not in str(event.detail) for event in events)


def test_nobody_revokes_the_token_of_another(session: Session, cast: Cast) -> None:
    token, secret = made(session, cast.li)
    for number in (token.id, 99):
        with pytest.raises(Missing):
            tokens.revoke(session, cast.sun, number)
    assert tokens.found(session, secret) is not None


@pytest.mark.parametrize("state", [UserState.PAUSED, UserState.DEACTIVATED])
def test_a_token_rests_with_the_one_who_made_it(session: Session, cast: Cast, state: UserState) -> None:
    _, secret = made(session, cast.li)
    people.set_state(session, people.get(session, cast.li.id), state, actor_id=cast.sun.id)
    session.flush()
    assert tokens.found(session, secret) is None


def test_a_new_password_ends_the_tokens_too(session: Session, cast: Cast) -> None:
    _, secret = made(session, cast.li)
    code = people.invite(session, people.get(session, cast.li.id), actor_id=cast.sun.id)
    people.accept_invitation(session, code, "hash")
    assert people.get(session, cast.li.id).state is UserState.ACTIVE
    assert tokens.found(session, secret) is None


@pytest.mark.parametrize(("name", "days"), [(" ", 30), ("x", 0), ("x", 366)])
def test_a_token_needs_a_name_and_an_end_within_a_year(session: Session, cast: Cast, name: str, days: int) -> None:
    with pytest.raises(Invalid):
        tokens.create(session, cast.li, name, may_write=False, days=days)


def test_the_last_use_is_noted_at_most_once_a_minute(session: Session, cast: Cast) -> None:
    token, _ = made(session, cast.li)
    now = utcnow()
    assert tokens.use_is_old(token, now)
    tokens.note_use(session, token.id, now)
    session.refresh(token)
    assert not tokens.use_is_old(token, now + timedelta(seconds=59))
    assert tokens.use_is_old(token, now + timedelta(seconds=60))


def test_bad_tokens_are_counted_apart_from_logins(session: Session, cast: Cast) -> None:
    attempt = tokens.TokenAttempt("10.0.0.1")
    pauses = [people.count_attempt(session, attempt) for _ in range(51)]
    assert [bool(pause) for pause in pauses] == [False] * 50 + [True]
    assert people.login_pause(session, attempt) > timedelta(minutes=4)
    assert not people.login_pause(session, people.LoginAttempt("li", "10.0.0.1"))
    assert not people.login_pause(session, tokens.TokenAttempt("10.0.0.2"))


def test_who_works_by_program_counts_as_at_work(session: Session, cast: Cast, campaign: Campaign) -> None:
    people.log_in(session, people.get(session, cast.wang.id))
    session.flush()
    assert set(campaigns.at_work(session, campaign.id)) == {cast.wang.id}
    token, _ = made(session, cast.li)
    tokens.note_use(session, token.id)
    assert set(campaigns.at_work(session, campaign.id)) == {cast.li.id, cast.wang.id}
