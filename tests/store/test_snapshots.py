"""What was settled arrives in the files, exactly."""

from __future__ import annotations

import hashlib
import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from annotation import snapshot
from annotation.adjudication import Answer
from annotation.db import Database
from annotation.people_tables import User
from annotation.ranking import Ranking as Order
from annotation.ranking import Relation, format_order, weak_orders
from annotation.refusals import Conflict
from annotation.run_tables import Snapshot
from annotation.store import imports, places, rankings, reviews, snapshots
from annotation.store.rankings import Submission
from annotation.tables import Campaign, Turn
from tests.conftest import Cast
from tests.material import dialogue, ranked


def rank(session: Session, user: User, campaign: Campaign, ranking: Order) -> None:
    held = places.reserve_next(session, user, campaign)
    assert held is not None
    rankings.submit(session, held, Submission(f"{user.id}-{held.id}", ranking, active_seconds=12.34))


def rank_twice(
    database: Database, cast: Cast, campaign: Campaign, first: Order, second: Order, name: str = "d1"
) -> None:
    with database.writing() as session:
        imports.add(session, campaign, [dialogue(name)], source="t", actor_id=None)
        rank(session, cast.li, campaign, first)
        rank(session, cast.wang, campaign, second)


def freeze(database: Database, campaign: Campaign, root: Path) -> tuple[Snapshot, list[dict[str, Any]]]:
    snapshot_id = snapshots.freeze(database, campaign.id, root, actor_id=None)
    with database.reading() as session:
        frozen = snapshots.get(session, snapshot_id)
    return frozen, list(snapshot.read_rows(Path(frozen.folder) / snapshot.TURNS))


def test_d_over_b_equal_a_over_c_arrives_as_exactly_the_five_pairs_it_means(
    database: Database, cast: Cast, campaign: Campaign, tmp_path: Path
) -> None:
    given = ranked("D > B = A > C", 1, 9)
    rank_twice(database, cast, campaign, given, given)
    _, [row] = freeze(database, campaign, tmp_path)
    a, b, c, d = range(4)
    pairs = {(p["better"], p["worse"]): p["ability"] for p in row["pairs"] if "better" in p}
    assert pairs == {(d, a): 1, (d, b): 1, (d, c): 1, (a, c): 9, (b, c): 9}
    assert [p["tie"] for p in row["pairs"] if "tie" in p] == [[a, b]]
    assert (row["order"], row["settled_by"]) == ("D > A = B > C", "agreed")


def test_every_weak_order_of_four_arrives_unchanged(
    database: Database, cast: Cast, campaign: Campaign, tmp_path: Path
) -> None:
    orders = list(weak_orders(4))
    with database.writing() as session:
        imports.add(session, campaign, [dialogue(f"d{i}") for i in range(75)], source="t", actor_id=None)
        for user, order in product((cast.li, cast.wang), orders):
            rank(session, user, campaign, ranked(format_order(order)))
    _, rows = freeze(database, campaign, tmp_path)
    assert [row["order"] for row in rows] == [format_order(order) for order in orders]
    for row, order in zip(rows, orders, strict=True):
        strict = {
            pair if relation is Relation.BETTER else pair[::-1]
            for pair, relation in Order(order).relations().items()
            if relation is not Relation.TIE
        }
        assert {(p["better"], p["worse"]) for p in row["pairs"] if "better" in p} == strict


def test_an_adjudicated_turn_says_which_pairs_the_third_expert_decided(
    database: Database, cast: Cast, campaign: Campaign, tmp_path: Path
) -> None:
    rank_twice(database, cast, campaign, ranked("D > B > A > C", 1, 2, 3), ranked("D > A > B > C", 1, 9, 3))
    with database.writing() as session:
        review = reviews.open_next(session, cast.zhao)
        assert review is not None
        reviews.answer_pair(session, review, review.version, Answer((0, 1), Relation.BETTER))
        reviews.decide(session, review, review.version)
    _, [row] = freeze(database, campaign, tmp_path)
    assert (row["order"], row["settled_by"]) == ("D > A > B > C", "adjudicated")
    by = {tuple(sorted((p["better"], p["worse"]))): (p["provenance"], p["ability"]) for p in row["pairs"]}
    assert by[0, 1] == ("adjudicated", 9)
    assert by[0, 3] == ("agreed", 1)


def test_a_rewrite_stands_above_every_response(
    database: Database, cast: Cast, campaign: Campaign, tmp_path: Path
) -> None:
    none = ranked("", none_acceptable=True)
    rank_twice(database, cast, campaign, none, none)
    with database.writing() as session:
        review = reviews.open_next(session, cast.zhao)
        assert review is not None
        reviews.answer_rewrite(session, review, review.version, "很抱歉，我不知道。")
        reviews.decide(session, review, review.version)
    _, [row] = freeze(database, campaign, tmp_path)
    assert row["rewrite"] == "很抱歉，我不知道。"
    assert [(p["better"], p["worse"], p["provenance"]) for p in row["pairs"]] == [(4, i, "rewritten") for i in range(4)]


def test_only_settled_turns_are_frozen(database: Database, cast: Cast, campaign: Campaign, tmp_path: Path) -> None:
    rank_twice(database, cast, campaign, ranked("A > B > C > D"), ranked("B > A > C > D"))
    with pytest.raises(Conflict):
        snapshots.freeze(database, campaign.id, tmp_path, actor_id=None)
    assert not any(tmp_path.glob("*/"))
    rank_twice(database, cast, campaign, ranked("A > B > C > D"), ranked("A > B > C > D"), "d2")
    _, rows = freeze(database, campaign, tmp_path)
    assert [row["dialogue"] for row in rows] == ["d2"]


def test_the_manifest_seals_the_files_and_the_row_seals_the_manifest(
    database: Database, cast: Cast, campaign: Campaign, tmp_path: Path
) -> None:
    given = ranked("A > B > C > D")
    rank_twice(database, cast, campaign, given, given)
    frozen, _ = freeze(database, campaign, tmp_path)
    folder = Path(frozen.folder)
    sealed = (folder / snapshot.MANIFEST).read_bytes()
    assert hashlib.sha256(sealed).hexdigest() == frozen.sha256
    manifest = json.loads(sealed)
    assert (manifest["campaign"], manifest["k"], manifest["guideline_version"]) == ("试点", 4, 1)
    for name, seal in manifest["files"].items():
        data = (folder / name).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), data.count(b"\n")) == (seal["sha256"], seal["rows"])
    assert frozen.counts == {"turns": 1, "turns agreed": 1, "pairs": 6, "ties": 0, "rankings": 2}


def test_freezing_twice_gives_the_same_bytes(
    database: Database, cast: Cast, campaign: Campaign, tmp_path: Path
) -> None:
    given = ranked("A > B > C > D")
    rank_twice(database, cast, campaign, given, given)
    first, second = (freeze(database, campaign, tmp_path)[0] for _ in range(2))
    assert first.folder != second.folder
    for name in (snapshot.TURNS, snapshot.RANKINGS):
        assert (Path(first.folder) / name).read_bytes() == (Path(second.folder) / name).read_bytes()


def test_individual_rankings_are_there_under_pseudonyms(
    database: Database, cast: Cast, campaign: Campaign, tmp_path: Path
) -> None:
    given = ranked("A > B > C > D", 2, 4, 9, D=9)
    rank_twice(database, cast, campaign, given, given)
    frozen, _ = freeze(database, campaign, tmp_path)
    first, second = snapshot.read_rows(Path(frozen.folder) / snapshot.RANKINGS)
    assert first["annotator"] != second["annotator"]
    assert Order.from_json(first) == given
    assert (first["active_seconds"], first["guideline_version"]) == (12.3, 1)
    everything = (Path(frozen.folder) / snapshot.RANKINGS).read_text(encoding="utf-8")
    assert not any(user.name in everything or f'"{user.login}"' in everything for user in (cast.li, cast.wang))


def test_a_dialogue_is_always_in_the_same_split_and_a_tenth_each_is_held_out() -> None:
    splits = [snapshot.split_of(f"dialogue {i}") for i in range(5000)]
    assert splits == [snapshot.split_of(f"dialogue {i}") for i in range(5000)]
    for name in ("validation", "report"):
        assert 0.08 < splits.count(name) / 5000 < 0.12


def test_a_folder_that_a_crash_left_behind_blocks_nothing(
    database: Database, cast: Cast, campaign: Campaign, tmp_path: Path
) -> None:
    given = ranked("A > B > C > D")
    rank_twice(database, cast, campaign, given, given)
    (tmp_path / f"{campaign.id}-1").mkdir()
    frozen, rows = freeze(database, campaign, tmp_path)
    assert (frozen.name, len(rows)) == (f"{campaign.id}-2", 1)
    assert sorted(each.name for each in tmp_path.iterdir() if each.is_dir()) == [f"{campaign.id}-1", frozen.name]


def test_a_folder_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    row = {"dialogue": "d"}
    snapshot.write(tmp_path / "s", {}, [(snapshot.TURNS, row)])
    before = (tmp_path / "s" / snapshot.MANIFEST).read_bytes()
    with pytest.raises(FileExistsError):
        snapshot.write(tmp_path / "s", {"other": 1}, [(snapshot.TURNS, row)])
    assert (tmp_path / "s" / snapshot.MANIFEST).read_bytes() == before


def test_reading_shows_one_moment_whatever_is_written_meanwhile(database: Database, campaign: Campaign) -> None:
    with database.reading() as looking:
        before = len(imports_of(looking))
        with database.writing() as session:
            imports.add(session, session.merge(campaign), [dialogue("later")], source="t", actor_id=None)
        assert len(imports_of(looking)) == before
    with database.reading() as looking:
        assert len(imports_of(looking)) == before + 1


def imports_of(session: Session) -> list[int]:
    return list(session.scalars(select(Turn.id)))
