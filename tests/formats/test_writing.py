"""What is written for other programs says what the snapshot says, in the words of those programs."""

from __future__ import annotations

import csv
import json
from itertools import permutations
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from annotation import snapshot
from annotation.formats.writing import formats
from annotation.formats.writing.spreadsheet import guarded
from annotation.ranking import format_order
from annotation.refusals import Conflict, Invalid, Missing
from tests.rlhf.material import PLAIN, POLITE, RUDE, WRONG, turn_row

REWRITE = "很抱歉，我不知道。"
ABOUT = {"campaign": "试点", "k": 4, "guideline_version": 1}


def ranking_rows(number: int, **changes: Any) -> list[dict[str, Any]]:
    """Two annotators who both say A > B > C = D."""
    return [
        {
            "dialogue": f"d{number}",
            "number": number % 2 + 1,
            "annotator": name,
            "counts": True,
            "late": False,
            "outcome": "ranking",
            "purpose": "label",
            "version": 1,
            "groups": [[0], [1], [2, 3]],
            "boundaries": [{"ability": 1, "strength": "clear"}, {"ability": 9, "strength": None}],
            "marks": {"3": [1]},
            "none_acceptable": False,
            "note": "=1+1",
            **changes,
        }
        for name in ("aa", "bb")
    ]


@pytest.fixture
def frozen(tmp_path: Path) -> Path:
    """Twelve turns, one of them rewritten with a clear pair before it."""
    rows: list[tuple[str, dict[str, Any]]] = []
    for number in range(12):
        turn = turn_row(number, source="f.json", system="你是医生。" if number == 2 else None)
        turn["pairs"][0]["strength"] = "clear"
        if number == 0:
            over_all = [{"better": 4, "worse": i, "ability": None, "provenance": "rewritten"} for i in range(4)]
            turn |= {"rewrite": REWRITE, "settled_by": "rewritten", "pairs": [*turn["pairs"], *over_all]}
        if number == 1:
            turn["pairs"][1] = {"unreviewed": [0, 2], "ability": None, "provenance": "unreviewed"}
            turn["order"] = None
        rows.append((snapshot.TURNS, turn))
        rows += [(snapshot.RANKINGS, row) for row in ranking_rows(number)]
    return snapshot.write(tmp_path / "1-1", ABOUT, rows).folder


def written(frozen: Path, name: str) -> Path:
    out = frozen.parent / f"out-{name}"
    formats.write_to(frozen, name, out)
    return out


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


def test_a_rewrite_is_a_pair_over_each_of_the_k_and_an_example_to_fine_tune_on(frozen: Path) -> None:
    over = [row["rejected"] for row in lines(written(frozen, "trl") / "train.jsonl") if REWRITE in str(row["chosen"])]
    assert over == [[{"role": "assistant", "content": text}] for text in (POLITE, PLAIN, RUDE, WRONG)]
    [example] = lines(written(frozen, "sft") / "train.jsonl")
    assert [message["role"] for message in example["messages"]] == ["user", "assistant"]
    assert example["messages"][-1]["content"] == REWRITE


def test_ties_and_unreviewed_pairs_make_no_row(frozen: Path) -> None:
    rows = lines(written(frozen, "trl") / "train.jsonl")
    assert len(rows) == 8 * 5 - 1 + 4
    assert not [row for row in rows if row["chosen"][0]["content"] in (RUDE, WRONG)]


def test_the_parts_are_files_and_a_system_message_comes_first(frozen: Path) -> None:
    out = written(frozen, "trl")
    assert {file.name: len(lines(file)) for file in out.iterdir()} == {
        "train.jsonl": 43, "validation.jsonl": 10, "report.jsonl": 10,
    }  # fmt: skip
    rows = [row for row in lines(out / "train.jsonl") if row["prompt"][0]["role"] == "system"]
    assert len(rows) == 5
    assert "\\u" not in (out / "train.jsonl").read_text(encoding="utf-8")


def test_the_margin_is_one_where_experts_say_clearly(frozen: Path) -> None:
    rows = lines(written(frozen, "trl-margin") / "validation.jsonl")
    assert [row["margin"] for row in rows] == [1.0, 0.0, 0.0, 0.0, 0.0] * 2


def test_a_turn_in_one_row_has_ranks_and_pairs(frozen: Path) -> None:
    rewritten, without_order, *_ = lines(written(frozen, "trl-kwise") / "train.jsonl")
    assert (rewritten["ranks"], len(rewritten["responses"]), rewritten["rewritten"]) == ([0, 1, 2, 2], 5, True)
    assert without_order["ranks"] is None
    assert list(zip(without_order["better"], without_order["worse"], strict=True)) == [(0, 1), (0, 3), (1, 2), (1, 3)]


def test_the_best_response_stands_alone_above_the_others(frozen: Path) -> None:
    rows = lines(written(frozen, "sft-best") / "train.jsonl")
    assert [row["messages"][-1]["content"] for row in rows] == [REWRITE] + [POLITE] * 6


def test_parquet_holds_pairs_turns_rankings_and_votes(frozen: Path) -> None:
    out = written(frozen, "parquet")
    pairs = pq.read_table(out / "pairs.parquet").to_pylist()
    assert len(pairs) == 63
    assert (pairs[0]["chosen"][0]["content"], pairs[0]["ability"], pairs[0]["strength"]) == (POLITE, 1, "clear")
    assert pq.read_table(out / "turns.parquet").num_rows == 12
    [first, *_] = pq.read_table(out / "rankings.parquet").to_pylist()
    assert (first["groups"], first["marks"]) == ([[0], [1], [2, 3]], [{"response": 3, "abilities": [1]}])
    assert pq.read_table(out / "reviews.parquet").num_rows == 0


def test_llama_factory_finds_its_files_by_their_entries(frozen: Path) -> None:
    out = written(frozen, "llama-factory")
    known = json.loads((out / "dataset_info.json").read_text(encoding="utf-8"))
    assert {entry["file_name"] for entry in known.values()} == {
        file.name for file in out.iterdir() if file.name != "dataset_info.json"
    }
    entry = known["zhongjing_pairs_validation"]
    rows = json.loads((out / entry["file_name"]).read_text(encoding="utf-8"))
    assert entry["ranking"] is True
    assert len(rows) == 10
    assert set(rows[0]) == set(entry["columns"].values())
    assert all(len(row["conversations"]) % 2 == 1 for row in rows)
    assert rows[0]["chosen"] == {"from": "gpt", "value": POLITE}


def test_openrlhf_joins_prompt_and_answer_by_addition(frozen: Path) -> None:
    [row, *_] = lines(written(frozen, "openrlhf") / "report.jsonl")
    assert [message["role"] for message in row["prompt"] + row["chosen"]] == ["user", "assistant"]
    assert (row["chosen"][0]["content"], row["rejected"][0]["content"], row["margin"]) == (POLITE, PLAIN, 1.0)


def test_all_24_orders_are_written_as_they_are_into_the_label_tools_table(tmp_path: Path) -> None:
    orders = list(permutations(range(4)))
    texts = (POLITE, PLAIN, RUDE, WRONG)
    rows = [
        (snapshot.TURNS, turn_row(n, order=format_order(tuple((each,) for each in order))))
        for n, order in enumerate(orders)
    ]
    out = written(snapshot.write(tmp_path / "1-1", ABOUT, rows).folder, "rlhf-label-tool")
    with (out / "ranking.tsv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file, delimiter="\t"))
    assert [[row[f"rank{i}"] for i in range(1, 5)] for row in table] == [[texts[r] for r in order] for order in orders]
    asked = json.loads((out / "input_file.json").read_text(encoding="utf-8"))
    assert [asked["5"][f"response_{i}"] for i in range(4)] == list(texts)


def test_a_turn_with_ties_has_no_place_in_the_label_tools_table(frozen: Path) -> None:
    out = written(frozen, "rlhf-label-tool")
    assert (out / "ranking.tsv").read_text(encoding="utf-8").count("\n") == 1
    assert "Left out: 12." in (out / "README.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\n", " =", "＝"])
def test_no_cell_is_taken_for_a_formula(sign: str) -> None:
    assert guarded(f"{sign}1+1") == f"'{sign}1+1"


@pytest.mark.parametrize("cell", ["1=1", "头痛", "", 3, -1.5, True])
def test_other_cells_stay_as_they_are(cell: Any) -> None:
    assert guarded(cell) == cell


def test_a_spreadsheet_reads_the_tables(frozen: Path) -> None:
    out = written(frozen, "csv")
    assert (out / "pairs.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    with (out / "pairs.csv").open(encoding="utf-8-sig", newline="") as file:
        pairs = list(csv.DictReader(file))
    assert len(pairs) == 63
    assert (pairs[0]["better"], pairs[0]["worse"], pairs[0]["ability_name"]) == ("A", "B", "accuracy")
    assert [row["better"] for row in pairs[5:9]] == ["rewrite"] * 4
    with (out / "rankings.csv").open(encoding="utf-8-sig", newline="") as file:
        [first, *_] = csv.DictReader(file)
    assert (first["order"], first["marks"], first["note"]) == ("A > B > C = D", "D: 1", "'=1+1")
    assert (first["abilities"], first["strengths"]) == ("1, 9", "clear, ")


def test_a_snapshot_that_was_touched_is_not_written(frozen: Path) -> None:
    with (frozen / snapshot.TURNS).open("a", encoding="utf-8") as file:
        file.write("{}\n")
    with pytest.raises(Invalid, match=r"turns\.jsonl"):
        written(frozen, "trl")
    assert not (frozen.parent / "out-trl").exists()


def test_an_unknown_format_and_a_folder_that_exists_are_refused(frozen: Path) -> None:
    with pytest.raises(Missing):
        written(frozen, "xml")
    with pytest.raises(Conflict):
        formats.write_to(frozen, "trl", frozen)


@pytest.mark.parametrize("name", formats.FORMATS)
def test_every_format_is_packed_once_and_leaves_the_sealed_folder_alone(frozen: Path, name: str) -> None:
    before = sorted(file.name for file in frozen.iterdir())
    packed = formats.packed(frozen, name, frozen.parent / "exports")
    stamp = packed.stat().st_mtime_ns
    assert formats.packed(frozen, name, frozen.parent / "exports").stat().st_mtime_ns == stamp
    again = formats.packed(frozen, name, frozen.parent / "elsewhere")
    assert again.read_bytes() == packed.read_bytes()
    assert sorted(file.name for file in frozen.iterdir()) == before
    assert [file.name for file in (frozen.parent / "exports").iterdir()] == [packed.name]


def test_a_snapshot_of_the_first_format_is_written_too(frozen: Path) -> None:
    manifest = json.loads((frozen / snapshot.MANIFEST).read_text(encoding="utf-8"))
    for name in (snapshot.REVIEWS, snapshot.GUIDELINES):
        (frozen / name).unlink()
        del manifest["files"][name]
    (frozen / snapshot.MANIFEST).write_text(json.dumps(manifest | {"format": 1}), encoding="utf-8")
    assert "# 试点" in (written(frozen, "datasets") / "README.md").read_text(encoding="utf-8")
