"""The best of n responses becomes a dialogue to fine-tune on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from rlhf import best_of_n, checkpoints, networks
from rlhf.config import BestOfNConfig, PpoConfig
from rlhf.data import DataError, Snapshot, prompts_to_train_on, read_dialogues
from rlhf.records import Records, read_rows
from rlhf.rollout import grouped
from rlhf.sequences import Encoder
from rlhf.stage import Stage
from tests.rlhf.material import PLAIN, POLITE, RUDE, reward_model_in, scores_alone

CONFIG = BestOfNConfig(responses=3, max_new_tokens=12, generate_batch_size=9, max_length=128, despite_gate=True)


@pytest.fixture(scope="module")
def reward(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("best-reward")
    reward_model_in(folder, base, PpoConfig(lora_rank=2))
    return folder


@pytest.fixture(autouse=True)
def ending(monkeypatch: pytest.MonkeyPatch, encoder: Encoder) -> None:
    """The tiny base hardly ever ends a response: one of these texts is drawn instead, one of them without an end."""
    texts = [encoder.response(POLITE), encoder.response(PLAIN), encoder.response(RUDE)[:-1]]

    def sample(_model: Any, prompts: Any, *_: Any, **__: Any) -> list[list[int]]:
        return [list(texts[int(torch.randint(3, ()))]) for _ in prompts]

    monkeypatch.setattr("rlhf.engines.sample", sample)


def run(folder: Path, base: Path, reward: Path, snapshot: Path, config: BestOfNConfig = CONFIG) -> Any:
    paths = {"base": base, "reward": reward, "snapshot": snapshot}
    return best_of_n.run(Stage("best_of_n", folder, paths, Records(folder)), config)


def test_what_is_written_is_to_fine_tune_on_and_answers_the_training_prompts(
    base: Path, reward: Path, snapshot_folder: Path, tmp_path: Path
) -> None:
    result = run(tmp_path, base, reward, snapshot_folder)
    dialogues = read_dialogues(tmp_path / checkpoints.MODEL / best_of_n.FILE)
    asked = {(each.exchanges[:-1], each.exchanges[-1][0]) for each in dialogues}
    known = {(prompt.history, prompt.message) for prompt in prompts_to_train_on(Snapshot.load(snapshot_folder), None)}
    assert asked <= known
    assert (result["prompts"], result["kept"] + result["none_ended"]) == (8, 8)
    assert len(dialogues) == result["kept"] > 4
    assert {each.exchanges[-1][1] for each in dialogues} <= {POLITE, PLAIN}
    scores = [row["score"] for row in read_rows(tmp_path / checkpoints.MODEL / best_of_n.FILE)]
    assert result["score_of_kept"] == pytest.approx(sum(scores) / len(scores), abs=1e-3)


def test_of_the_responses_that_ended_the_one_with_the_highest_score_is_kept(encoder: Encoder) -> None:
    responses = [encoder.response(POLITE), encoder.response(PLAIN), encoder.response(RUDE)[:-1]]
    answered = grouped([(5,), (6,)], [*responses, responses[2], responses[2], responses[2]], encoder)
    best, nothing = best_of_n._best(encoder, answered, [[0.5, 1.5, 9.0], [1.0, 2.0, 3.0]])
    assert best == {"text": PLAIN, "score": 1.5, "mean": pytest.approx(11 / 3)}
    assert nothing == {"text": "", "score": None, "mean": 2.0}


def test_the_scores_are_those_of_the_reward_model(
    base: Path, reward: Path, snapshot_folder: Path, encoder: Encoder, tmp_path: Path
) -> None:
    run(tmp_path, base, reward, snapshot_folder)
    rows = (tmp_path / checkpoints.MODEL / best_of_n.FILE).read_text(encoding="utf-8").splitlines()
    model = networks.load_reward_model(base, reward, "float32", encoder.pad_id)
    by_text = {(r["messages"][-2]["content"], r["messages"][-1]["content"]): r["score"] for r in map(json.loads, rows)}
    prompts = prompts_to_train_on(Snapshot.load(snapshot_folder), None)
    for prompt in prompts:
        for text in (POLITE, PLAIN):
            if (prompt.message, text) in by_text:
                [score] = scores_alone(model, [[*encoder.prompt(prompt), *encoder.response(text)]])
                assert by_text[prompt.message, text] == pytest.approx(score, abs=1e-3)


def test_a_share_keeps_the_prompts_whose_best_scores_highest(
    base: Path, reward: Path, snapshot_folder: Path, tmp_path: Path
) -> None:
    whole, half = tmp_path / "whole", tmp_path / "half"
    run(whole, base, reward, snapshot_folder)
    run(half, base, reward, snapshot_folder, CONFIG.model_copy(update={"keep_share": 0.5}))
    rows = [
        (each / checkpoints.MODEL / best_of_n.FILE).read_text(encoding="utf-8").splitlines() for each in (whole, half)
    ]
    assert rows[1] == rows[0][: round(len(rows[0]) / 2)]
    scores = [json.loads(row)["score"] for row in rows[0]]
    assert scores == sorted(scores, reverse=True)


def test_a_run_that_was_cut_short_goes_on_behind_what_it_answered(
    base: Path, reward: Path, snapshot_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "whole", base, reward, snapshot_folder)
    asked: list[int] = []
    original = best_of_n.answer

    def dies(*args: Any) -> Any:
        asked.append(len(args[2]))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(best_of_n, "answer", dies)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", base, reward, snapshot_folder)
    run(tmp_path / "cut", base, reward, snapshot_folder)
    assert asked == [3, 3, 3, 2]
    files = [tmp_path / name / checkpoints.MODEL / best_of_n.FILE for name in ("whole", "cut")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_without_prompts_there_is_nothing_to_answer(base: Path, reward: Path, tmp_path: Path) -> None:
    stage = Stage("best_of_n", tmp_path, {"base": base, "reward": reward}, Records(tmp_path))
    with pytest.raises(DataError, match="no prompt"):
        best_of_n.run(stage, CONFIG)
