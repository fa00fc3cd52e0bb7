"""Users, invitations and logins."""

from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from annotation.db import Database, utcnow
from annotation.people_tables import LoginCount, Role, UserState
from annotation.refusals import Conflict, Missing
from annotation.store import people
from annotation.store.people import LoginAttempt
from annotation.tables import AuditEvent
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


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("failures", "minutes_ago", "pause"),
    [(9, 1, 0), (10, 0, 5), (10, 1, 4), (11, 1, 4), (10, 5, 0), (10, 6, 0), (0, 0, 0)],
)
def test_ten_failures_pause_until_five_minutes_after_the_first(failures: int, minutes_ago: int, pause: int) -> None:
    since = NOON - timedelta(minutes=minutes_ago)
    assert people.pause_after(failures, 10, since, NOON) == timedelta(minutes=pause)


def fail(session: Session, login: str, address: str, times: int, now: datetime = NOON) -> list[timedelta]:
    return [people.count_attempt(session, LoginAttempt(login, address), now) for _ in range(times)]


def test_the_eleventh_failure_of_a_login_waits_wherever_it_comes_from(session: Session) -> None:
    for i in range(10):
        assert fail(session, " Li", f"10.0.0.{i}", 1) == [timedelta()]
    for login in ("li", "LI "):
        assert people.login_pause(session, LoginAttempt(login, "10.0.9.9"), NOON) == people.FAILURES_COUNT
    assert people.login_pause(session, LoginAttempt("wang", "10.0.0.1"), NOON) == timedelta()
    assert fail(session, "li", "10.0.9.9", 1) == [people.FAILURES_COUNT]
    later = NOON + people.FAILURES_COUNT
    assert people.login_pause(session, LoginAttempt("li", "10.0.0.1"), later) == timedelta()
    assert fail(session, "li", "10.0.0.1", 11, later) == [timedelta()] * 10 + [people.FAILURES_COUNT]


def test_an_address_that_tries_many_logins_waits_and_others_do_not(session: Session) -> None:
    for i in range(people.FAILURES_FROM_AN_ADDRESS):
        assert fail(session, f"somebody-{i}", "10.0.0.1", 1) == [timedelta()]
    assert people.login_pause(session, LoginAttempt("li", "10.0.0.1"), NOON) == people.FAILURES_COUNT
    assert people.login_pause(session, LoginAttempt("li", "10.0.0.2"), NOON) == timedelta()


def test_failures_are_bounded_over_all(session: Session) -> None:
    session.add(LoginCount(key="all", failures=people.FAILURES_OF_ALL - 1, since=NOON))
    session.flush()
    assert fail(session, "li", "10.0.0.1", 1) == [timedelta()]
    assert people.login_pause(session, LoginAttempt("wang", "10.0.0.2"), NOON) == people.FAILURES_COUNT


def test_attempts_at_the_same_moment_are_all_counted(database: Database) -> None:
    pauses: list[timedelta] = []
    together = Barrier(15)

    def attempt() -> None:
        together.wait()
        with database.writing() as session:
            pauses.extend(fail(session, "li", "10.0.0.1", 1))

    threads = [Thread(target=attempt) for _ in range(15)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(pauses) == [timedelta()] * 10 + [people.FAILURES_COUNT] * 5


def counts(session: Session) -> dict[str, int]:
    return {count.key.split()[0]: count.failures for count in session.scalars(select(LoginCount))}


def test_a_success_clears_its_login_and_is_no_failure_of_its_address(session: Session, cast: Cast) -> None:
    attempt = LoginAttempt("li", "10.0.0.1")
    fail(session, "li", "10.0.0.1", 3, utcnow())
    assert counts(session) == {"login": 3, "address": 3, "all": 3}
    admitted = people.admit(session, attempt, cast.li.password_hash)
    assert admitted is not None
    assert admitted.id == cast.li.id
    session.expire_all()
    assert counts(session) == {"address": 2, "all": 2}


def test_a_password_that_was_replaced_while_it_was_checked_lets_nobody_in(session: Session, cast: Cast) -> None:
    attempt = LoginAttempt("li", "10.0.0.1")
    people.get(session, cast.li.id).password_hash = "another"
    assert people.admit(session, attempt, cast.li.password_hash) is None
    assert people.admit(session, attempt, None) is None
    people.get(session, cast.li.id).password_hash = None
    assert people.admit(session, attempt, None) is None


def test_a_failed_login_is_on_record_without_what_was_typed(session: Session, cast: Cast) -> None:
    people.admit(session, LoginAttempt("li", "10.0.0.1"), None)
    people.admit(session, LoginAttempt("my-secret", "10.0.0.1"), None)
    session.flush()
    failed = session.scalars(select(AuditEvent).where(AuditEvent.action == "login failed").order_by(AuditEvent.id))
    assert [(e.actor_id, e.subject, e.detail) for e in failed] == [
        (None, f"user {cast.li.id}", {"address": "10.0.0.1"}),
        (None, "", {"address": "10.0.0.1"}),
    ]


def test_counts_that_are_over_are_forgotten_and_no_login_is_kept_readable(session: Session) -> None:
    for i in range(20):
        fail(session, f"somebody-{i}", f"10.0.0.{i}", 1)
    fail(session, "my-secret", "10.0.1.1", 1, NOON + people.FAILURES_COUNT)
    assert session.scalar(select(func.count()).select_from(LoginCount)) == 3
    assert not [key for key in session.scalars(select(LoginCount.key)) if "my-secret" in key]
