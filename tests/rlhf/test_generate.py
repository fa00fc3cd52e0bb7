"""Sampling K responses a turn: distinct where that can be had, and in a file that imports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annotation.formats.reading import read_file, turns_of
from rlhf import checkpoints, generate
from rlhf.config import GenerateConfig
from rlhf.data import DataError
from rlhf.records import Records
from rlhf.sampling import up_to_end
from rlhf.sequences import Encoder
from rlhf.stage import Stage

CONFIG = GenerateConfig(max_new_tokens=12, max_length=128, attempts=2)
ROWS = [
    {"id": "d1", "turns": [{"message": "头痛三天了。", "reply": "多喝水。"}, {"message": "孩子发烧怎么办？"}]},
    {"id": "d2", "history": [["头痛", "几天了？"]], "turns": [{"message": "头痛三天了。"}]},
    {"id": "d3", "turns": [{"message": "头痛三天了。", "responses": ["a", "b", "c", "d"]}]},
]


def write(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return file


def run(folder: Path, base: Path, data: Path) -> dict[str, Any]:
    return generate.run(Stage("generate", folder, {"base": base, "data": data}, Records(folder)), CONFIG)


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


def test_near_duplicates_are_resampled_and_those_that_stay_are_counted(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter(["甲甲甲甲", "甲甲甲甲", "乙乙乙乙", "乙乙乙乙", "丙丙丙丙", "丙丙丙丙", "丙丙丙丙"])

    def sample(_model: Any, prompts: list[Any], *_args: Any, **_kwargs: Any) -> list[tuple[int, ...]]:
        return [encoder.response(next(drawn)) for _ in prompts]

    monkeypatch.setattr(generate, "sample", sample)
    rule: Any = None
    texts, kept_alike = generate._distinct(None, encoder, [1], rule, CONFIG)
    assert texts[:3] == ["甲甲甲甲", "乙乙乙乙", "丙丙丙丙"]
    assert len(set(texts)) == 4
    assert kept_alike == 1


def test_a_response_ends_with_its_first_end_token() -> None:
    assert up_to_end([5, 6, 2, 7, 2], 2) == [5, 6, 2]
    assert up_to_end([5, 6], 2) == [5, 6]
