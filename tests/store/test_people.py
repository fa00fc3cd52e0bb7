"""Users, invitations and logins."""

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from annotation.db import utcnow
from annotation.refusals import Conflict, Missing
from annotation.store import people
from annotation.tables import Role, UserState
from tests.conftest import Cast


def test_an_invitation_sets_the_password_once(session: Session, cast: Cast) -> None:
    user = people.add(session, "Zhou", "周静", Role.ANNOTATOR, actor_id=cast.sun.id)
    assert (user.login, user.state) == ("zhou", UserState.INVITED)
    code = people.invite(session, user, actor_id=cast.sun.id)
    people.accept_invitation(session, code, "hash")
    assert (user.state, user.password_hash) == (UserState.ACTIVE, "hash")
    with pytest.raises(Missing):
        people.accept_invitation(session, code, "another")


def test_an_invitation_expires(session: Session, cast: Cast) -> None:
    user = people.add(session, "zhou", "周静", Role.ANNOTATOR)
    code = people.invite(session, user, actor_id=None)
    with pytest.raises(Missing):
        people.invited(session, code, utcnow() + timedelta(days=8))


def test_a_reset_ends_the_old_password_and_every_login(session: Session, cast: Cast) -> None:
    li = people.get(session, cast.li.id)
    token = people.log_in(session, li)
    people.invite(session, li, actor_id=cast.sun.id)
    session.flush()
    assert (li.password_hash, li.state) == (None, UserState.INVITED)
    assert people.logged_in(session, token) is None


def test_a_login_can_be_taken_once_whatever_the_case(session: Session, cast: Cast) -> None:
    with pytest.raises(Conflict):
        people.add(session, " LI ", "李另", Role.ANNOTATOR)


@pytest.mark.parametrize("later", [people.SESSION_LASTS, people.SESSION_IDLES])
def test_a_login_ends_after_its_time_and_when_idle(session: Session, cast: Cast, later: timedelta) -> None:
    token = people.log_in(session, people.get(session, cast.li.id))
    session.flush()
    assert people.logged_in(session, token) is not None
    assert people.logged_in(session, token, utcnow() + later + timedelta(minutes=1)) is None


def test_a_login_in_use_does_not_idle(session: Session, cast: Cast) -> None:
    token = people.log_in(session, people.get(session, cast.li.id))
    session.flush()
    people.seen(session, token, utcnow() + timedelta(hours=3))
    session.flush()
    assert people.logged_in(session, token, utcnow() + timedelta(hours=6)) is not None


def test_deactivating_somebody_logs_them_out(session: Session, cast: Cast) -> None:
    li = people.get(session, cast.li.id)
    token = people.log_in(session, li)
    people.set_state(session, li, UserState.DEACTIVATED, actor_id=cast.sun.id)
    session.flush()
    assert people.logged_in(session, token) is None


def test_nobody_deactivates_themselves(session: Session, cast: Cast) -> None:
    with pytest.raises(Conflict):
        people.set_state(session, people.get(session, cast.sun.id), UserState.DEACTIVATED, actor_id=cast.sun.id)


def test_a_token_is_not_kept(session: Session, cast: Cast) -> None:
    token = people.log_in(session, people.get(session, cast.li.id))
    session.flush()
    found = people.logged_in(session, token)
    assert found is not None
    assert token not in found.token_hash
