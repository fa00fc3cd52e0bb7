"""Connections to the database: what each kind of session begins, and what happens where the server hangs up."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from annotation.db import Database
from annotation.people_tables import User
from annotation.tables import Campaign
from tests.conftest import Cast, wait_for


def server_process(session: Session) -> int:
    """Which process of the server this session talks to."""
    return int(session.scalar(text("SELECT pg_backend_pid()")) or 0)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_connection_that_the_server_ended_is_replaced_before_anyone_uses_it(
    database: Database, database_url: str
) -> None:
    with database.reading() as session:
        pooled = server_process(session)
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [pooled])
        there = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
        wait_for(lambda: other.execute(there, [pooled]).fetchone() == (0,))
    with database.reading() as session:
        assert server_process(session) != pooled


def test_a_glance_sees_what_was_committed_between_its_statements(
    database: Database, campaign: Campaign, cast: Cast
) -> None:
    with database.glancing() as looking:
        before = looking.scalars(select(User.id)).all()
        with database.writing() as session:
            session.add(User(login="new", name="新来的", role=cast.li.role))
        assert len(looking.scalars(select(User.id)).all()) == len(before) + 1


def test_a_transaction_that_looks_sees_one_moment(database: Database, campaign: Campaign, cast: Cast) -> None:
    with database.reading() as looking:
        before = looking.scalars(select(User.id)).all()
        with database.writing() as session:
            session.add(User(login="new", name="新来的", role=cast.li.role))
        assert looking.scalars(select(User.id)).all() == before


def test_writing_after_a_glance_begins_a_transaction_again(database: Database, campaign: Campaign) -> None:
    with database.glancing() as looking:
        looking.scalars(select(User.id)).all()
    with pytest.raises(ZeroDivisionError), database.writing() as session:
        session.add(User(login="new", name="新来的", role="annotator"))
        session.flush()
        raise ZeroDivisionError
    with database.reading() as session:
        assert session.scalar(select(User.id).where(User.login == "new")) is None
