"""What the RLHF-Label-Tool stored comes in as it says, or as it was meant."""

from __future__ import annotations

import csv
import io
import json
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import select

from annotation.db import Database
from annotation.formats import label_tool_table
from annotation.formats.reading import read_file
from annotation.people_tables import User, UserState
from annotation.ranking import Ranking as Order
from annotation.store import foreign_rankings
from annotation.store.foreign_rankings import Added
from annotation.tables import Campaign, Dialogue, Ranking, Response, Turn, TurnState

ORDERS = list(permutations(range(4)))


def input_file(count: int = 24) -> dict[str, Any]:
    """The tool's input: as many questions, with four answers each."""
    return {
        str(n): {
            "query": f"问题{n}",
            "history": [["你好", "您好"]],
            **{f"response_{i}": f"回答{n}-{i}" for i in range(4)},
        }
        for n in range(count)
    }


def as_the_tool_stores(chosen: list[tuple[int, ...]]) -> bytes:
    """A table of questions whose answers were chosen in these orders, best first, stored with the tool's fault."""
    out = io.StringIO()
    table = csv.writer(out, delimiter="\t", lineterminator="\n")
    table.writerow(["id", "query", "history", "rank1", "rank2", "rank3", "rank4"])
    for n, order in enumerate(chosen):
        rank_of = [order.index(answer) + 1 for answer in range(4)]  # what is chosen in the four boxes
        table.writerow([n, f"问题{n}", [["你好", "您好"]], *(f"回答{n}-{rank - 1}" for rank in rank_of)])
    return out.getvalue().encode()


def add(database: Database, campaign: Campaign, data: bytes, *, mend: bool, given: dict[str, Any] | None) -> Added:
    asked = read_file(json.dumps(given).encode(), k=4).dialogues if given else []
    rows = label_tool_table.read(data, 4).rows
    with database.writing() as session:
        return foreign_rankings.add(
            session,
            session.merge(campaign),
            rows,
            annotator="甲",
            mend=mend,
            asked=asked,
            source="ranking.tsv",
            actor_id=None,
        )


def orders(database: Database) -> list[tuple[str, ...]]:
    """The texts of every ranking, best first, in the order of the questions."""
    found = []
    with database.reading() as session:
        for ranking in session.scalars(select(Ranking).order_by(Ranking.id)):
            texts = session.scalars(
                select(Response.text).where(Response.turn_id == ranking.assignment.turn_id).order_by(Response.number)
            ).all()
            found.append(tuple(texts[group[0]] for group in Order.from_json(ranking.body).groups))
    return found


def test_all_24_orders_are_mended_with_the_input_file(database: Database, campaign: Campaign) -> None:
    done = add(database, campaign, as_the_tool_stores(ORDERS), mend=True, given=input_file())
    assert (done.rankings, done.numbered, done.differing, done.problems) == (24, 24, 14, [])
    assert orders(database) == [tuple(f"回答{n}-{i}" for i in order) for n, order in enumerate(ORDERS)]


def test_unmended_14_of_24_orders_come_in_wrongly_and_are_counted(database: Database, campaign: Campaign) -> None:
    done = add(database, campaign, as_the_tool_stores(ORDERS), mend=False, given=input_file())
    meant = [tuple(f"回答{n}-{i}" for i in order) for n, order in enumerate(ORDERS)]
    assert (done.differing, sum(a != b for a, b in zip(orders(database), meant, strict=True))) == (14, 14)


def test_without_the_input_file_nothing_can_be_mended(database: Database, campaign: Campaign) -> None:
    done = add(database, campaign, as_the_tool_stores(ORDERS[:2]), mend=True, given=None)
    assert [problem.line for problem in done.problems] == [2, 3]
    with database.reading() as session:
        assert not session.scalars(select(Turn.id)).all()
        assert not session.scalars(select(User.id).where(User.login.like("imported-%"))).all()


def test_without_the_input_file_a_table_brings_its_turns_and_comes_in_as_it_says(
    database: Database, campaign: Campaign
) -> None:
    done = add(database, campaign, as_the_tool_stores(ORDERS), mend=False, given=None)
    assert (done.rankings, done.numbered, done.differing) == (24, 0, 0)
    with database.reading() as session:
        assert len(session.scalars(select(Dialogue.id)).all()) == 24


def test_one_imported_ranking_settles_nothing(database: Database, campaign: Campaign) -> None:
    add(database, campaign, as_the_tool_stores(ORDERS[:1]), mend=True, given=input_file(1))
    with database.reading() as session:
        assert session.scalars(select(Turn.state)).all() == [TurnState.ONE_RANKING]
        user = session.scalars(select(User).where(User.login.like("imported-%"))).one()
        assert (user.name, user.state, user.password_hash) == ("甲", UserState.DEACTIVATED, None)


def test_the_same_table_again_is_refused_whole(database: Database, campaign: Campaign) -> None:
    data = as_the_tool_stores(ORDERS[:2])
    add(database, campaign, data, mend=True, given=input_file(2))
    again = add(database, campaign, data, mend=True, given=input_file(2))
    assert [problem.line for problem in again.problems] == [2, 3]
    assert len(orders(database)) == 2


def test_other_responses_than_those_of_the_turn_are_a_problem(database: Database, campaign: Campaign) -> None:
    data = as_the_tool_stores(ORDERS[:1]).replace("回答0-3".encode(), "别的".encode())
    done = add(database, campaign, data, mend=True, given=input_file(1))
    assert [(problem.line, problem.where) for problem in done.problems] == [(2, "rank1")]


@pytest.mark.parametrize(
    "history",
    ["__import__('os').getcwd()", "[" * 5000, "{}", "[1]", "-" * 90_000 + "1", "[['a', 'b']" + " " * 100_000 + "]"],
)
def test_a_history_that_is_no_list_of_pairs_is_a_problem(history: str) -> None:
    data = f"id\tquery\thistory\trank1\trank2\n0\tq\t{history}\ta\tb\n".encode()
    table = label_tool_table.read(data, 2)
    assert not table.rows
    assert {(problem.line, problem.where.partition("[")[0]) for problem in table.problems} == {(2, "history")}


def test_a_row_that_lost_a_rank_is_a_problem_and_other_columns_are_refused() -> None:
    short = b"id\tquery\thistory\trank1\trank2\n0\tq\t[]\ta\n1\tq\t[]\ta\tb\n"
    table = label_tool_table.read(short, 2)
    assert ([row.line for row in table.rows], [problem.line for problem in table.problems]) == ([3], [2])
    assert label_tool_table.read(short, 4).problems[0].where == "header"
