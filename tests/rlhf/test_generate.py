"""Sampling K responses a turn: distinct where that can be had, and in a file that imports."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
import torch

from annotation.formats.reading import read_file
from rlhf import checkpoints, generate, networks
from rlhf.checkpoints import CheckpointError, Lineage
from rlhf.config import GenerateConfig
from rlhf.data import DataError
from rlhf.records import FILE, Records, read_rows
from rlhf.sampling import up_to_end
from rlhf.sequences import Encoder
from rlhf.stage import Stage
from tests.conftest import wait_for
from tests.material import turns_of

CONFIG = GenerateConfig(max_new_tokens=12, max_length=128, attempts=2)
ROWS = [
    {"id": "d1", "turns": [{"message": "头痛三天了。", "reply": "多喝水。"}, {"message": "孩子发烧怎么办？"}]},
    {"id": "d2", "history": [["头痛", "几天了？"]], "turns": [{"message": "头痛三天了。"}]},
    {"id": "d3", "turns": [{"message": "头痛三天了。", "responses": ["a", "b", "c", "d"]}]},
]


def write(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return file


def run(folder: Path, base: Path, data: Path, config: GenerateConfig = CONFIG) -> dict[str, Any]:
    return generate.run(Stage("generate", folder, {"base": base, "data": data}, Records(folder)), config)


def test_every_turn_that_waits_gets_k_distinct_responses_in_a_file_that_imports(base: Path, tmp_path: Path) -> None:
    result = run(tmp_path / "run", base, write(tmp_path / "data.jsonl", ROWS))
    assert (result["turns"], result["responses"]) == (3, 12)
    written = tmp_path / "run" / checkpoints.MODEL / generate.FILE
    reading = read_file(written.read_bytes(), k=4)
    assert reading.problems == []
    turns = list(turns_of(reading))
    assert [len(turn.responses) for turn in turns] == [4, 4, 4, 4]
    assert [turn.number for turn in turns] == [1, 2, 2, 1]
    for turn in turns[:3]:
        assert len({response.text for response in turn.responses}) == 4
        assert turn.responses[0].sampling == {"temperature": 1.0, "top_p": 0.95, "seed": 0}
    assert [response.text for response in turns[3].responses] == ["a", "b", "c", "d"]


def test_the_same_seed_samples_the_same(base: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", ROWS)
    texts = []
    for name in ("one", "two"):
        run(tmp_path / name, base, data)
        texts.append((tmp_path / name / checkpoints.MODEL / generate.FILE).read_text(encoding="utf-8"))
    assert texts[0] == texts[1]


def test_a_run_that_was_killed_goes_on_behind_what_it_answered(base: Path, tmp_path: Path) -> None:
    many = [{"id": f"d{n}", "turns": [{"message": f"头痛{n}天了。"}]} for n in range(30)]
    data = write(tmp_path / "data.jsonl", many)
    slow = CONFIG.model_copy(update={"generate_batch_size": 4, "max_new_tokens": 6, "attempts": 1})
    run(tmp_path / "whole", base, data, slow)
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "rlhf", "train", "generate", "--out", str(folder), "--base", str(base)]
    command += ["--data", str(data)]
    command += [part for name, value in slow.model_dump().items() for part in ("--set", f"{name}={value}")]
    with subprocess.Popen(command) as process:
        wait_for(lambda: len(checkpoints_of(folder)) >= 2, 60)
        process.kill()
    answered = len(checkpoints_of(folder))
    assert not (folder / checkpoints.MODEL).exists()
    assert run(folder, base, data, slow)["turns"] == 30
    assert checkpoints_of(folder) == list(range(1, 31))
    assert 2 <= answered < 30
    texts = [(each / checkpoints.MODEL / generate.FILE).read_text("utf-8") for each in (tmp_path / "whole", folder)]
    assert texts[0] == texts[1]


def checkpoints_of(folder: Path) -> list[int]:
    """How many turns were answered, each time that some were kept."""
    file = folder / FILE
    *whole, _ = file.read_text(encoding="utf-8").split("\n") if file.exists() else [""]
    return [row["step"] for row in map(json.loads, whole) if row.get("event") == "checkpoint"]


def test_a_policy_of_another_base_is_refused(base: Path, tmp_path: Path) -> None:
    (tmp_path / "policy").mkdir()
    Lineage("sft", {"base": {"path": "/another", "sha256": "aaaa"}}, {}).write(tmp_path / "policy")
    paths = {"base": base, "policy": tmp_path / "policy", "data": write(tmp_path / "data.jsonl", ROWS)}
    with pytest.raises(CheckpointError, match="was trained on the base /another"):
        generate.run(Stage("generate", tmp_path / "run", paths, Records(tmp_path / "run")), CONFIG)


def test_nothing_to_do_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No turn"):
        run(tmp_path / "run", base, write(tmp_path / "data.jsonl", ROWS[2:]))


@pytest.mark.parametrize(
    ("text", "others", "duplicate"),
    [
        ("多喝水，注意休息。", ["多喝水，注意休息！"], True),
        ("多喝水，注意休息。", ["请问还有别的不舒服吗？"], False),
        ("", [], True),
    ],
)
def test_near_duplicates_and_empty_texts_are_sampled_again(text: str, others: list[str], duplicate: bool) -> None:
    assert generate.near_duplicate(text, others, above=0.85) is duplicate


def says(monkeypatch: pytest.MonkeyPatch, encoder: Encoder, texts: Iterable[str]) -> list[dict[str, Any]]:
    """A model that says these texts, one after the other; returns what it will have been asked for."""
    drawn, asked = iter(texts), []

    def sample(model: Any, prompts: list[Any], *_args: Any, batch_size: int, **_kwargs: Any) -> list[Any]:
        asked.append({"model": model, "prompts": prompts, "batch_size": batch_size})
        return [encoder.response(next(drawn)) for _ in prompts]

    monkeypatch.setattr(generate, "sample", sample)
    return asked


def test_near_duplicates_are_sampled_again_and_stay_where_nothing_else_comes(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = CONFIG.model_copy(update={"similar_above": 0.7})
    asked = says(
        monkeypatch, encoder, ["甲甲甲甲", "甲甲甲甲", "乙乙乙乙", "乙乙乙乙", "丙丙丙丙", "丙丙丙甲", "丙丙丙甲"]
    )
    [answers] = generate.answer_all(None, encoder, [[1]], close)
    assert [len(each["prompts"]) for each in asked] == [4, 2, 1]
    assert answers.missing == 1
    assert answers.texts() == ["甲甲甲甲", "乙乙乙乙", "丙丙丙丙", "丙丙丙甲"]


def test_the_turns_of_a_batch_are_answered_together(
    base: Path, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = says(monkeypatch, encoder, (f"{word * 6}" for word in "甲乙丙丁戊己庚辛壬癸子丑"))
    run(
        tmp_path / "run",
        base,
        write(tmp_path / "data.jsonl", ROWS),
        CONFIG.model_copy(update={"generate_batch_size": 8}),
    )
    assert [(len(each["prompts"]), each["batch_size"]) for each in asked] == [(8, 8), (4, 8)]
    written = list(read_rows(tmp_path / "run" / checkpoints.MODEL / generate.FILE))
    assert [r["text"][0] for r in written[0]["turns"][1]["responses"]] == list("戊己庚辛")


@pytest.mark.parametrize("said", ["", "多喝水。"])
def test_a_turn_without_enough_different_texts_goes_on_waiting(
    said: str, base: Path, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, encoder, chain("甲乙丙丁", repeat(said)))
    data = write(tmp_path / "data.jsonl", ROWS)
    result = run(tmp_path / "run", base, data, CONFIG.model_copy(update={"generate_batch_size": 4}))
    assert result == {"turns": 1, "responses": 4, "near_duplicates_kept": 0, "left_waiting": 2}
    written = list(read_rows(tmp_path / "run" / checkpoints.MODEL / generate.FILE))
    assert [len(turn.get("responses", [])) for row in written for turn in row["turns"]] == [4, 0, 0, 4]
    [event] = [row for row in read_rows(tmp_path / "run" / FILE) if row.get("event") == "turns left waiting"]
    assert event["values"] == {"turns": 2, "of": 3}


def test_the_model_answers_where_computing_is_fastest(
    base: Path, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "best_device", lambda: torch.device("meta"))
    asked = says(monkeypatch, encoder, "甲乙丙丁戊己庚辛壬癸子丑")
    run(tmp_path / "run", base, write(tmp_path / "data.jsonl", ROWS))
    assert {each["model"].device.type for each in asked} == {"meta"}


def test_a_response_ends_with_its_first_end_token() -> None:
    assert up_to_end([5, 6, 2, 7, 2], 2) == [5, 6, 2]
    assert up_to_end([5, 6], 2) == [5, 6]
