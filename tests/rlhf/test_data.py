"""The only reader of a snapshot refuses what is not what was frozen."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from annotation import snapshot
from rlhf.data import DataError, Snapshot, read_dialogues, read_prompts, read_texts
from rlhf.records import read_rows
from tests.rlhf.material import turn_row


def test_a_snapshot_is_read_as_it_was_written(snapshot_folder: Path) -> None:
    found = Snapshot.load(snapshot_folder)
    assert [len(found.part(split)) for split in ("train", "validation", "report")] == [8, 2, 2]
    turn = found.turns[1]
    assert (turn.prompt.history, turn.prompt.message) == ((("孩子发烧怎么办？", "多喝水。"),), "头痛1天了。")
    assert turn.places == (0, 1, 2, 2)
    assert {(p.better, p.worse): turn.gap(p) for p in turn.pairs} == {
        (0, 1): 1,
        (0, 2): 2,
        (0, 3): 2,
        (1, 2): 1,
        (1, 3): 1,
    }


def test_a_tie_makes_no_preference(snapshot_folder: Path) -> None:
    assert all(len(turn.pairs) == 5 for turn in Snapshot.load(snapshot_folder).turns)


def test_a_rewrite_is_the_last_response_and_has_no_gap(tmp_path: Path) -> None:
    pairs = [{"better": 4, "worse": i, "ability": None, "provenance": "rewritten"} for i in range(4)]
    row = turn_row(0, rewrite="很抱歉，我不知道。", pairs=pairs, order=None, settled_by="rewritten")
    snapshot.write(tmp_path / "s", {}, [(snapshot.TURNS, row)])
    [turn] = Snapshot.load(tmp_path / "s").turns
    assert turn.responses[4] == "很抱歉，我不知道。"
    assert [(p.better, p.worse, turn.gap(p)) for p in turn.pairs] == [(4, i, None) for i in range(4)]


def test_an_unreviewed_pair_makes_no_preference(tmp_path: Path) -> None:
    pairs = [{"better": 0, "worse": 1, "ability": 1, "provenance": "unreviewed"}]
    snapshot.write(tmp_path / "s", {}, [(snapshot.TURNS, turn_row(0, pairs=pairs))])
    assert Snapshot.load(tmp_path / "s").turns[0].pairs == ()


def test_a_file_that_was_changed_is_refused(snapshot_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(snapshot_folder, copy)
    with (copy / snapshot.TURNS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(turn_row(99)) + "\n")
    with pytest.raises(DataError, match="not the file that was frozen"):
        Snapshot.load(copy)


def test_a_folder_without_manifest_or_of_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="manifest"):
        Snapshot.load(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": 99, "files": {}}')
    with pytest.raises(DataError, match="format 99"):
        Snapshot.load(tmp_path)


def write_lines(file: Path, *rows: object) -> Path:
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return file


def test_texts_dialogues_and_prompts_are_read(tmp_path: Path) -> None:
    said = [{"role": role, "content": role[0]} for role in ("system", "user", "assistant", "user", "assistant")]
    file = write_lines(tmp_path / "a", {"text": "书"}, {"messages": said})
    assert read_texts(file) == ["书"]
    [dialogue] = read_dialogues(file)
    assert (dialogue.system, dialogue.exchanges) == ("s", (("u", "a"), ("u", "a")))
    [prompt] = read_prompts(write_lines(tmp_path / "b", {"messages": said[:-1]}))
    assert (prompt.system, prompt.history, prompt.message) == ("s", (("u", "a"),), "u")


def test_rows_that_end_with_the_wrong_speaker_are_refused(tmp_path: Path) -> None:
    user = {"messages": [{"role": "user", "content": "u"}]}
    with pytest.raises(DataError, match="row 1"):
        read_dialogues(write_lines(tmp_path / "a", user))
    both = {"messages": [*user["messages"], {"role": "assistant", "content": "a"}]}
    with pytest.raises(DataError, match="row 2"):
        read_prompts(write_lines(tmp_path / "b", user, both))


def test_a_line_ends_at_a_newline_and_nowhere_else(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    rows = [{"text": "一\u2028二\x85三\x0b四"}, {"text": "五"}]
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n\n" for row in rows), encoding="utf-8")
    assert list(read_rows(file)) == rows
