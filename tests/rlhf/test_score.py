"""Scoring turns: normalised, in the order of the file, going on after a kill."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from rlhf import checkpoints, networks, reward, score
from rlhf.checkpoints import CheckpointError
from rlhf.config import ConfigError, RewardConfig, ScoreConfig
from rlhf.data import DataError, digest_of, read_answered
from rlhf.records import FILE, Records, read_rows
from rlhf.scoring import score_turns
from rlhf.sequences import Encoder, fit
from rlhf.stage import JOURNAL, Stage
from tests.rlhf.material import PLAIN, POLITE, RUDE, WRONG, scores_alone

CONFIG = ScoreConfig(max_length=128, pack_tokens=256)
FOUR = [POLITE, PLAIN, RUDE, WRONG]


def rows(count: int) -> list[dict[str, Any]]:
    return [
        {"id": f"d{n}", "turns": [{"message": f"头痛{n}天了。", "responses": FOUR[n % 4 :] + FOUR[: n % 4]}]}
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def reward_model(base: Path, snapshot_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished reward run."""
    folder = tmp_path_factory.mktemp("scoring") / "run"
    config = RewardConfig(epochs=1, batch_size=4, save_every=1, lora_rank=2, max_length=128)
    reward.run(Stage("reward", folder, {"base": base, "snapshot": snapshot_folder}, Records(folder)), config)
    return folder / checkpoints.MODEL


def write(file: Path, given: list[Any]) -> Path:
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in given), encoding="utf-8")
    return file


Scored = tuple[dict[str, Any], list[dict[str, Any]]]


def scored(folder: Path, given: list[Any], config: ScoreConfig = CONFIG, **paths: Path) -> Scored:
    """What a run says, and the rows that it wrote."""
    folder.mkdir(exist_ok=True)
    data = write(folder / "turns.jsonl", given)
    result = score.run(Stage("score", folder, {"data": data, **paths}, Records(folder)), config)
    return result, list(read_rows(folder / checkpoints.MODEL / score.FILE))


def test_scores_stand_in_the_order_of_the_file_and_are_normalised(
    base: Path, reward_model: Path, encoder: Encoder, tmp_path: Path
) -> None:
    given = rows(3)
    given[1]["turns"][0]["reply"] = PLAIN
    given[1]["turns"].append({"message": "然后呢？", "responses": [{"text": PLAIN}, {"text": RUDE}]})
    result, written = scored(tmp_path / "run", given, base=base, reward=reward_model)
    assert (result["turns"], result["responses"], result["normalised"]) == (4, 14, True)
    assert [(row["dialogue"], row["number"]) for row in written] == [("d0", 1), ("d1", 1), ("d1", 2), ("d2", 1)]
    model = networks.load_reward_model(base, reward_model, "float32", encoder.pad_id)
    mean, deviation = networks.read_scale(reward_model)
    for turn, row in zip(read_answered(tmp_path / "run" / "turns.jsonl"), written, strict=True):
        sequences = fit(encoder, turn.prompt, turn.responses, 128).sequences
        alone = scores_alone(model, sequences)
        assert row["scores"] == pytest.approx([(each - mean) / deviation for each in alone], abs=1e-4)
        assert row["best"] == max(row["scores"])
        middle = sum(row["scores"]) / len(alone)
        assert row["spread"] == pytest.approx((sum((s - middle) ** 2 for s in row["scores"]) / len(alone)) ** 0.5)
        assert row["responses"] == digest_of(turn.responses)


def test_a_reward_model_made_elsewhere_gives_its_scores_as_they_are(
    base: Path, reward_model: Path, tmp_path: Path
) -> None:
    normal, usual = scored(tmp_path / "a", rows(2), base=base, reward=reward_model)
    bare = Path(shutil.copytree(reward_model, tmp_path / "bare"))
    mean, deviation = networks.read_scale(bare)
    (bare / networks.SCALE).unlink()
    result, plain = scored(tmp_path / "b", rows(2), base=base, reward=bare)
    assert (normal["normalised"], result["normalised"]) == (True, False)
    assert [(s - mean) / deviation for s in plain[1]["scores"]] == pytest.approx(usual[1]["scores"])


def test_a_run_that_was_cut_short_scores_only_what_is_left(
    base: Path, reward_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score, "PIECE", 2)
    paths = {"base": base, "reward": reward_model}
    _, whole = scored(tmp_path / "whole", rows(6), **paths)
    asked: list[int] = []

    def dying(model: Any, layout: Any, turns: list[Any], *rest: Any) -> list[list[float]]:
        asked.append(len(turns))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return score_turns(model, layout, turns, *rest)

    monkeypatch.setattr(score, "score_turns", dying)
    with pytest.raises(KeyboardInterrupt):
        scored(tmp_path / "run", rows(6), **paths)
    with (tmp_path / "run" / JOURNAL).open("a") as journal:
        journal.write('{"key": "cut off in the mid')
    _, resumed = scored(tmp_path / "run", rows(6), **paths)
    assert asked == [2, 2, 2, 2]
    assert resumed == whole
    done = [row["step"] for row in read_rows(tmp_path / "run" / FILE) if row.get("event") == "checkpoint"]
    assert done == [2, 4, 6]


def test_scores_of_another_reward_model_are_not_taken_up(base: Path, reward_model: Path, tmp_path: Path) -> None:
    scored(tmp_path / "run", rows(2), base=base, reward=reward_model)
    head = Path(shutil.copytree(reward_model, tmp_path / "other"))
    weights = networks.load_tensors(head / networks.ADAPTER_WEIGHTS)
    weights[networks.SCORE_WEIGHT] *= 3
    networks.save_tensors(weights, head / networks.ADAPTER_WEIGHTS)
    _, again = scored(tmp_path / "run", rows(2), base=base, reward=head)
    _, afresh = scored(tmp_path / "afresh", rows(2), base=base, reward=head)
    assert again == afresh


@pytest.mark.parametrize(
    ("flag", "best", "below", "low"),
    [
        ({"flag_below": 0.25}, [3.0, 1.0, 4.0, 2.0], 2.0, 1),
        ({"flag_below": 0.3}, [3.0, 1.0, 4.0, 2.0], 3.0, 2),  # a share of less than a turn is a turn
        ({"flag_below": 0.05}, [float(n) for n in range(20)], 1.0, 1),
        ({"flag_below": 0.0}, [3.0, 1.0], 1.0, 0),
        ({"flag_below": 0.5}, [1.0, 1.0, 1.0, 2.0], 1.0, 0),  # who is as good as the next is not below it
        ({"flag_below": 0.9}, [7.0], 7.0, 0),
        ({"flag_by": "score", "flag_below": -1.5}, [-2.0, -1.5, 0.0], -1.5, 1),
    ],
)
def test_a_share_or_all_below_a_score_are_for_a_look(
    flag: dict[str, Any], best: list[float], below: float, low: int
) -> None:
    found = score.threshold(best, ScoreConfig(**flag))
    assert (found, sum(each < found for each in best)) == (below, low)


def test_the_result_says_how_the_scores_lie(base: Path, reward_model: Path, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"flag_by": "score", "flag_below": 100.0})
    result, written = scored(tmp_path / "run", rows(5), config, base=base, reward=reward_model)
    assert (result["flagged"], [row["low"] for row in written]) == (5, [True] * 5)
    for what in ("best", "spread"):
        assert sum(result[what]["counts"]) == 5
        assert len(result[what]["edges"]) == len(result[what]["counts"]) + 1
    assert result["mean_best"] == pytest.approx(sum(row["best"] for row in written) / 5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([{"id": "d", "turns": [{"message": "头痛"}]}], "No turn of the data file has responses"),
        ([{"messages": []}], "own format"),
        ([{"id": "d", "turns": [{"message": "头痛", "responses": [{"txt": "a"}]}]}], "own format"),
    ],
)
def test_a_file_without_anything_to_score_is_refused(
    given: list[Any], said: str, base: Path, reward_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=said):
        scored(tmp_path / "run", given, base=base, reward=reward_model)


def test_scores_that_are_no_numbers_are_refused(
    base: Path, reward_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score, "score_turns", lambda _model, _layout, turns, *_: [[math.nan] * 4 for _ in turns])
    with pytest.raises(DataError, match="float32"):
        scored(tmp_path / "run", rows(1), base=base, reward=reward_model)


def test_a_reward_model_of_another_base_is_refused(other_base: Path, reward_model: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="was trained on the base"):
        scored(tmp_path / "run", rows(1), base=other_base, reward=reward_model)


def test_a_share_that_is_none_is_refused_with_the_mend() -> None:
    with pytest.raises(ConfigError, match="flag_below must be from 0 to below 1"):
        ScoreConfig.of({"flag_below": 5})
    assert ScoreConfig.of({"flag_below": 5, "flag_by": "score"}).flag_below == 5
