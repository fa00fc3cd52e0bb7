"""An archive comes back as the campaign that it was, or not at all."""

from __future__ import annotations

import json
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from sqlalchemy import func, select

from annotation import snapshot
from annotation.db import Database
from annotation.formats.unpacking import unpack
from annotation.formats.writing import formats
from annotation.people_tables import Role, User, UserState
from annotation.refusals import Conflict, Invalid
from annotation.store import campaigns, imports, people, places, pseudonyms, restoring, snapshots
from annotation.tables import Campaign, Dialogue, Turn, TurnState
from tests.conftest import Cast
from tests.everything import REWRITE, answer_all, everything, give, strict
from tests.material import dialogue


def archive_of(database: Database, campaign: Campaign, root: Path) -> Path:
    snapshot_id = snapshots.freeze(database, campaign.id, root / "snapshots", actor_id=None)
    with database.reading() as session:
        return formats.packed(Path(snapshots.get(session, snapshot_id).folder), "zhongjing", root / "exports")


def restored(database: Database, archive: BytesIO | Path, folder: Path) -> Campaign:
    folder.mkdir()
    with BytesIO(archive.read_bytes() if isinstance(archive, Path) else archive.getvalue()) as file:
        manifest = unpack(file, folder)
    with database.writing() as session:
        return restoring.restore(session, folder, manifest, actor_id=None)


def rename_here(database: Database, campaign: Campaign) -> None:
    """Makes room for the campaign to come back beside itself."""
    with database.writing() as session:
        campaigns.get(session, campaign.id).name = "the one before"


def rewritten_archive(archive: Path, **changed: bytes) -> BytesIO:
    """The archive with other content in some of its files, named without their endings."""
    out = BytesIO()
    with ZipFile(archive) as before, ZipFile(out, "w", ZIP_DEFLATED) as after:
        for name in before.namelist():
            after.writestr(name, changed.get(name.partition(".")[0], before.read(name)))
    return out


def resealed(archive: Path, name: str, rows: list[dict[str, Any]]) -> BytesIO:
    """The archive with other rows in a file, and a manifest that seals them."""
    content = "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows).encode()
    with ZipFile(archive) as opened:
        manifest = json.loads(opened.read(snapshot.MANIFEST))
    manifest["files"][name] = {"rows": len(rows), "sha256": snapshot.hashlib.sha256(content).hexdigest()}
    stem = name.partition(".")[0]
    return rewritten_archive(archive, **{stem: content, "manifest": json.dumps(manifest).encode()})


def rows_in(archive: Path, name: str) -> list[dict[str, Any]]:
    with ZipFile(archive) as opened:
        return [json.loads(line) for line in opened.read(name).decode().split("\n") if line]


@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_export_import_export_is_byte_identical(database: Database, cast: Cast, tmp_path: Path, k: int) -> None:
    campaign = everything(database, cast, k)
    first = archive_of(database, campaign, tmp_path / "first")
    rename_here(database, campaign)
    back = restored(database, first, tmp_path / "unpacked")
    second = archive_of(database, back, tmp_path / "second")
    assert second.read_bytes() == first.read_bytes()


def test_an_archive_holds_all_that_was_said(database: Database, cast: Cast, tmp_path: Path) -> None:
    archive = archive_of(database, everything(database, cast, 4), tmp_path)
    turns = {row["dialogue"]: row for row in rows_in(archive, snapshot.TURNS)}
    said: dict[str, list[dict[str, Any]]] = {name: [] for name in turns}
    for row in rows_in(archive, snapshot.RANKINGS):
        said[row["dialogue"]].append(row)
    assert [(r["version"], r["counts"], r["note"]) for r in said["corrected"][:2]] == [
        (1, False, ""),
        (2, True, "看反了"),
    ]
    assert [(r["late"], r["counts"]) for r in said["late"]] == [(False, True), (False, True), (True, False)]
    assert [(r["purpose"], r["counts"]) for r in said["repeated"]] == [
        ("label", True), ("label", True), ("repeat", False),
    ]  # fmt: skip
    handed_back = said["handed_back"][-1]
    assert (handed_back["outcome"], handed_back["reason"], handed_back["version"]) == ("cannot judge", "缺上文", 0)
    assert {pair["strength"] for pair in turns["agreed"]["pairs"] if "better" in pair} == {"clear"}
    votes = {row["dialogue"]: row for row in rows_in(archive, snapshot.REVIEWS)}
    assert (votes["audited"]["kind"], turns["audited"]["pairs"][0]["provenance"]) == ("audit", "audited")
    assert votes["unlocked"]["decisions"]["unlocked_because"] == "两人都看错了剂量。"
    assert {answer["suggestion_hidden"] for answer in votes["adjudicated"]["decisions"]["answers"]} <= {True, False}
    assert (turns["rewritten"]["rewrite"], turns["rewritten"]["order"]) == (REWRITE, None)
    assert [row["text"] for row in rows_in(archive, snapshot.GUIDELINES)] == ["先看安全。", "先看安全，再看准确。"]


def test_restored_people_are_known_by_their_pseudonyms_and_cannot_log_in(
    database: Database, cast: Cast, tmp_path: Path
) -> None:
    campaign = everything(database, cast, 4)
    archive = archive_of(database, campaign, tmp_path / "first")
    rename_here(database, campaign)
    restored(database, archive, tmp_path / "unpacked")
    named = {row["annotator"] for row in rows_in(archive, snapshot.RANKINGS)}
    with database.reading() as session:
        back = session.scalars(select(User).where(User.login.like("restored-%"))).all()
        assert {user.name for user in back} > named
        assert {(user.state, user.password_hash) for user in back} == {(UserState.DEACTIVATED, None)}
        assert people.by_login(session, "li") is not None


def standing(database: Database, campaign: Campaign) -> dict[str, tuple[object, ...]]:
    """By dialogue what a turn repeats of its rankings and votes; people by their pseudonym."""
    with database.reading() as session:
        names = pseudonyms.names(session, campaign.id)
        wanted = select(Turn).where(Turn.campaign_id == campaign.id, Turn.state == TurnState.SETTLED)
        return {
            turn.dialogue.external_id: (
                turn.places_taken,
                turn.holder_id and names[turn.holder_id],
                turn.times_unjudgeable,
                turn.contested_ability,
                turn.audit_drawn,
            )
            for turn in session.scalars(wanted)
        }


def settled_without_two_rankings(database: Database, cast: Cast, campaign: Campaign) -> None:
    """Chen ranks a turn that three others cannot judge, so an adjudicator settles it with one ranking."""
    with database.writing() as session:
        mine = campaigns.get(session, campaign.id)
        imports.add(session, mine, [dialogue("one place", k=mine.k)], source="f.json", actor_id=None)
        give(session, session.merge(cast.chen), mine, strict(mine.k))
        more = [people.add(session, f"more{n}", f"更多{n}", Role.ANNOTATOR) for n in range(3)]
        for user in more:
            user.state = UserState.ACTIVE
        campaigns.set_members(session, mine, {cast.chen.id, *(user.id for user in more)}, actor_id=None)
        for user in more:
            held = places.reserve_next(session, user, mine)
            assert held is not None
            session.flush()
            places.cannot_judge(session, held, "缺上文")
        answer_all(session, session.merge(cast.zhao))


def test_what_a_turn_repeats_of_its_rankings_and_votes_is_as_it_was(
    database: Database, cast: Cast, tmp_path: Path
) -> None:
    campaign = everything(database, cast, 4)
    with database.writing() as session:
        audited = session.scalars(select(Turn).join(Dialogue).where(Dialogue.external_id == "audited")).one()
        audited.audit_drawn = True
    settled_without_two_rankings(database, cast, campaign)
    archive = archive_of(database, campaign, tmp_path / "first")
    rename_here(database, campaign)
    back = restored(database, archive, tmp_path / "unpacked")
    after = standing(database, back)
    assert after == standing(database, campaign)
    assert (after["one place"][0], after["one place"][2:4]) == (1, (3, None))
    assert (after["adjudicated"][3], after["agreed"][3]) == (2, None)
    assert [name for name, said in after.items() if said[4]] == ["audited"]


def test_a_campaign_of_that_name_is_not_overwritten(database: Database, cast: Cast, tmp_path: Path) -> None:
    archive = archive_of(database, everything(database, cast, 2), tmp_path / "first")
    with pytest.raises(Conflict):
        restored(database, archive, tmp_path / "unpacked")


def test_an_archive_is_restored_beside_its_campaign_under_another_name(
    database: Database, cast: Cast, tmp_path: Path
) -> None:
    archive = archive_of(database, everything(database, cast, 4), tmp_path)
    (tmp_path / "unpacked").mkdir()
    with archive.open("rb") as file:
        manifest = unpack(file, tmp_path / "unpacked")
    with database.writing() as session:
        back = restoring.restore(session, tmp_path / "unpacked", manifest, actor_id=None, name="副本")
        assert (back.name, campaigns.progress(session, back.id).turns) == ("副本", manifest.files[snapshot.TURNS].rows)


def test_who_came_with_an_archive_is_no_member_of_a_campaign_that_is_made_later(
    database: Database, cast: Cast, tmp_path: Path
) -> None:
    campaign = everything(database, cast, 4)
    archive = archive_of(database, campaign, tmp_path)
    rename_here(database, campaign)
    restored(database, archive, tmp_path / "unpacked")
    with database.writing() as session:
        made = campaigns.create(session, "新项目")
        states = {user.state for user in campaigns.members(session, made.id)}
        assert states == {UserState.ACTIVE}


def test_a_file_that_was_changed_is_named(database: Database, cast: Cast, tmp_path: Path) -> None:
    archive = archive_of(database, everything(database, cast, 2), tmp_path / "first")
    with pytest.raises(Invalid, match=r"rankings\.jsonl in the archive is not the file that was frozen"):
        restored(database, rewritten_archive(archive, rankings=b"{}\n"), tmp_path / "unpacked")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (snapshot.TURNS, {"order": "B > A"}),
        (snapshot.TURNS, {"number": "one"}),
        (snapshot.TURNS, {"message": "nul \0"}),
        (snapshot.TURNS, {"dialogue": "somebody else's"}),
        (snapshot.RANKINGS, {"groups": [[0, 1, 7]]}),
        (snapshot.RANKINGS, {"place": 2}),
        (snapshot.RANKINGS, {"annotator": "../../etc"}),
        (snapshot.RANKINGS, {"guideline_version": 9}),
        (snapshot.RANKINGS, {"counts": False}),
        (snapshot.REVIEWS, {"result": {"pairs": 3}}),
        (snapshot.REVIEWS, {"annotators": ["nobody", None]}),
        (snapshot.REVIEWS, {"decisions": {"pairs_asked": [[0, 1, 2]]}}),
        (snapshot.REVIEWS, {"decisions": {"pairs_asked": 3}}),
        (snapshot.REVIEWS, {"decisions": {"pairs_asked": [[0, 9]]}}),
        (snapshot.GUIDELINES, {"version": 2}),
    ],
)
def test_an_archive_that_contradicts_itself_restores_nothing(
    database: Database, cast: Cast, tmp_path: Path, name: str, change: dict[str, Any]
) -> None:
    campaign = everything(database, cast, 2)
    archive = archive_of(database, campaign, tmp_path / "first")
    rename_here(database, campaign)
    rows = rows_in(archive, name)
    rows[0] |= change
    with database.reading() as session:
        before = session.scalar(select(func.count(Turn.id)))
    with pytest.raises(Invalid):
        restored(database, resealed(archive, name, rows), tmp_path / "unpacked")
    with database.reading() as session:
        assert session.scalar(select(func.count(Turn.id))) == before
        assert campaigns.by_name(session, "试点 2") is None


def hostile(entries: list[tuple[str, bytes]]) -> BytesIO:
    out = BytesIO()
    with ZipFile(out, "w", ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return out


WHOLE = [(name, b"") for name in (snapshot.MANIFEST, *snapshot.FILES)]


@pytest.mark.parametrize(
    "archive",
    [
        BytesIO(b"no zip at all"),
        hostile([]),
        hostile([*WHOLE, ("../outside", b"x")]),
        hostile([*WHOLE[1:], ("/etc/manifest.json", b"x")]),
        hostile(WHOLE),
        hostile([(snapshot.MANIFEST, b"[" * 100_000), *WHOLE[1:]]),
        hostile([(snapshot.MANIFEST, b" " * 2_000_000), *WHOLE[1:]]),
        hostile([(snapshot.MANIFEST, b'{"format": 2}'), *WHOLE[1:]]),
    ],
    ids=["no zip", "empty", "path traversal", "absolute", "no manifest", "deep", "large manifest", "bare manifest"],
)
def test_a_hostile_archive_is_refused_and_writes_nothing_outside(archive: BytesIO, tmp_path: Path) -> None:
    folder = tmp_path / "in" / "here"
    folder.mkdir(parents=True)
    with pytest.raises(Invalid):
        unpack(archive, folder)
    assert [each.name for each in (tmp_path / "in").iterdir()] == ["here"]
    assert not (tmp_path / "outside").exists()


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("annotation.formats.unpacking.MOST_BYTES", 1000)
    with pytest.raises(Invalid, match="unpack to more"):
        unpack(hostile([*WHOLE[:-1], (WHOLE[-1][0], b"0" * 5000)]), tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_file_that_is_larger_than_announced_is_refused(tmp_path: Path) -> None:
    data = bytearray(hostile([(snapshot.MANIFEST, b"0" * 5000), *WHOLE[1:]]).getvalue())
    size = (5000).to_bytes(4, "little")
    while size in data:
        at = data.index(size)
        data[at : at + 4] = (7).to_bytes(4, "little")
    with pytest.raises(Invalid):
        unpack(BytesIO(bytes(data)), tmp_path)


def test_freezing_draws_a_pseudonym_once(database: Database, cast: Cast, tmp_path: Path) -> None:
    campaign = everything(database, cast, 2)
    first = rows_in(archive_of(database, campaign, tmp_path), snapshot.RANKINGS)
    shutil.rmtree(tmp_path / "exports")
    assert rows_in(archive_of(database, campaign, tmp_path), snapshot.RANKINGS) == first
