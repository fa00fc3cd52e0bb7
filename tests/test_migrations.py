"""Migrations go up, down and up again, and what is in the tables survives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, inspect, select
from sqlalchemy.orm import Session

from annotation import migrate
from annotation.adjudication import Answer
from annotation.db import Base, Database
from annotation.people_tables import User
from annotation.ranking import Relation
from annotation.run_tables import Run, RunKind
from annotation.store import campaigns, imports, people, places, rankings, reviews, snapshots
from annotation.store.rankings import Submission
from annotation.tables import Campaign
from tests.conftest import Cast
from tests.material import dialogue, ranked

WHOLE = "0003"


def test_tables_and_migrations_say_the_same(database_url: str) -> None:
    migrate.check(database_url)


def test_there_is_one_head() -> None:
    assert len(ScriptDirectory.from_config(migrate.alembic_config("sqlite://")).get_heads()) == 1


@pytest.fixture
def filled(database: Database, cast: Cast, campaign: Campaign, tmp_path: Path) -> Database:
    """At least one row in every table that a campaign touches."""

    def rank(session: Session, user: User, order: str) -> None:
        held = places.reserve_next(session, user, campaign)
        assert held is not None
        rankings.save_draft(session, held, 0, {"place.a": "1"})
        rankings.submit(session, held, Submission(f"{user.id}-{held.id}", ranked(order)))

    with database.writing() as session:
        mine = session.merge(campaign)
        campaigns.set_members(session, mine, {cast.li.id, cast.wang.id}, actor_id=cast.sun.id)
        imports.add(session, campaign, [dialogue("d1"), dialogue("d2")], source="t", actor_id=cast.sun.id)
        for first, second in (("A > B > C > D", "A > B > C > D"), ("A > B > C > D", "B > A > C > D")):
            rank(session, cast.li, first)
            rank(session, cast.wang, second)
        review = reviews.open_next(session, cast.zhao)
        assert review is not None
        reviews.answer_pair(session, review, review.version, Answer((0, 1), Relation.TIE))
        reviews.decide(session, review, review.version)
        people.log_in(session, people.get(session, cast.li.id))
        session.add(Run(kind=RunKind.REWARD, name="r", config={"epochs": 1}, live_key="x"))
    snapshots.freeze(database, campaign.id, tmp_path / "snapshots", actor_id=None)
    return database


def contents(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table as the database has it."""
    metadata = MetaData()
    metadata.reflect(connection)
    return {
        name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
        for name, table in metadata.tables.items()
        if name != "alembic_version"
    }


def revisions_down_to_the_whole_schema() -> Iterator[str]:
    """From the newest down to the one with which the first schema was whole; below it, tables and rows go together."""
    scripts = ScriptDirectory.from_config(migrate.alembic_config("sqlite://"))
    ordered = [revision.revision for revision in scripts.walk_revisions()]
    yield from ordered[1 : ordered.index(WHOLE) + 1]


def test_every_migration_goes_down_and_up_again_without_changing_a_row(filled: Database) -> None:
    url = filled.url.render_as_string(hide_password=False)
    with filled.engine.connect() as connection:
        before = contents(connection)
    assert sum(bool(rows) for rows in before.values()) >= 14
    for revision in revisions_down_to_the_whole_schema():
        migrate.downgrade(url, revision)
    with filled.engine.connect() as connection:
        stayed = contents(connection).keys()  # a table that goes takes its rows along
    migrate.upgrade(url)
    with filled.engine.connect() as connection:
        after = contents(connection)
    assert {name: after[name] for name in stayed} == {name: before[name] for name in stayed}


def test_every_migration_goes_down_to_nothing_and_up_to_the_whole(filled: Database) -> None:
    url = filled.url.render_as_string(hide_password=False)
    migrate.downgrade(url, "base")
    with filled.engine.connect() as connection:
        assert set(inspect(connection).get_table_names()) <= {"alembic_version"}
    migrate.upgrade(url)
    with filled.engine.connect() as connection:
        assert set(inspect(connection).get_table_names()) >= set(Base.metadata.tables)
