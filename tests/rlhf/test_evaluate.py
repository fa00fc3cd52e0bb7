"""Held-out figures, worked out by hand."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from annotation import snapshot as files
from rlhf import checkpoints, evaluate, gate, networks, reward, sft
from rlhf.answered import Answered, in_rows
from rlhf.checkpoints import CheckpointError, Lineage
from rlhf.config import EvaluateConfig, PpoConfig, RewardConfig, SftConfig
from rlhf.data import Pair, Prompt, Snapshot, Turn
from rlhf.evaluate import EVALUATION, accuracies, by, disagreements, experts_agree, judge_pairs, longer_wins, share
from rlhf.quartet import Quartet
from rlhf.records import Records
from rlhf.stage import Stage
from tests.rlhf.material import PLAIN, turn_row


def turn(dialogue: str, responses: tuple[str, ...], *pairs: tuple[int, int]) -> Turn:
    made = tuple(Pair(b, w, b + 1, "agreed") for b, w in pairs)
    places = tuple(range(len(responses)))
    return Turn(dialogue, 1, "report", Prompt((), "?"), responses, made, places=places)


def test_accuracy_counts_pairs_and_half_of_equal_scores() -> None:
    turns = [turn("a", ("x", "y", "z"), (0, 1), (0, 2), (1, 2))]
    judged = judge_pairs(turns, [[3.0, 1.0, 1.0]])
    assert [each.right for each in judged] == [1.0, 1.0, 0.5]
    assert share(judged)["value"] == pytest.approx(2.5 / 3)


def test_the_interval_resamples_dialogues() -> None:
    good, bad = turn("a", ("x", "y"), (0, 1)), turn("b", ("x", "y"), (0, 1))
    found = share(judge_pairs([good] * 30 + [bad] * 30, [[1.0, 0.0]] * 30 + [[0.0, 1.0]] * 30))
    assert (found["value"], found["low"], found["high"], found["n"]) == (0.5, 0.0, 1.0, 60)


def test_a_single_dialogue_has_no_interval() -> None:
    turns = [turn("a", ("x", "y", "z"), (0, 1), (0, 2), (1, 2))]
    assert share(judge_pairs(turns, [[3.0, 1.0, 2.0]])) == {
        "value": pytest.approx(2 / 3),
        "low": None,
        "high": None,
        "n": 3,
    }


def test_nothing_to_measure_is_no_number() -> None:
    assert share([]) == {"value": None, "low": None, "high": None, "n": 0}


def test_the_baseline_prefers_the_longer_answer() -> None:
    turns = [turn("a", ("长长长", "短", "长长长"), (0, 1), (1, 2), (0, 2))]
    assert [each.right for each in longer_wins(turns)] == [1.0, 0.0, 0.5]


def test_figures_are_broken_down_by_gap_and_by_ability() -> None:
    turns = [turn("a", ("x", "y", "z"), (0, 1), (0, 2), (1, 2))]
    judged = judge_pairs(turns, [[3.0, 1.0, 2.0]])
    by_gap = by(judged, lambda j: j.turn.gap(j.pair))
    assert {name: (s["value"], s["n"]) for name, s in by_gap.items()} == {"1": (0.5, 2), "2": (1.0, 1)}
    by_ability = by(judged, lambda j: j.pair.ability)
    assert {name: s["n"] for name, s in by_ability.items()} == {"1": 2, "2": 1}


def test_every_stratum_stands_beside_the_longer_answer_and_the_experts() -> None:
    one = replace(turn("a", ("x", "yy", "z"), (0, 1), (0, 2)), number=2, department="儿科", in_distribution=False)
    other = replace(turn("b", ("x", "yy"), (1, 0)), number=10, department="内科")
    turns, scores = [one, other], [[3.0, 1.0, 4.0], [1.0, 2.0]]
    judged, longer = judge_pairs(turns, scores), longer_wins(turns)
    found = accuracies(judged, longer, judged[:1])
    plain = {name: {key: each["value"] for key, each in found[name].items()} for name in found if "by_" in name}
    assert plain["by_department"] == {"儿科": 0.5, "内科": 1.0}
    assert plain["longer_wins_by_department"] == {"儿科": 0.25, "内科": 1.0}
    assert plain["experts_agree_by_department"] == {"儿科": 1.0}
    assert list(plain["by_depth"].items()) == [("2", 0.5), ("10", 1.0)]
    assert plain["by_source"] == {"-1": 1.0, "0": 0.5}
    assert plain["longer_wins_by_gap"] == {"-1": 1.0, "1": 0.0, "2": 0.5}
    assert (found["accuracy"]["n"], found["experts_agree"]["n"]) == (3, 1)


def test_two_experts_agree_on_a_pair_if_both_give_it_the_same_relation(tmp_path: Path) -> None:
    row = turn_row(10)
    about = {"dialogue": "d10", "number": row["number"]}
    orders = {"x": [[0], [1], [2, 3]], "y": [[1], [0], [2], [3]]}
    given = [{"annotator": name, "groups": groups, **about} for name, groups in orders.items()]
    rows = [(files.TURNS, row), *((files.RANKINGS, each) for each in given)]
    files.write(tmp_path / "s", {}, rows)
    snapshot = Snapshot.load(tmp_path / "s")
    agreed = {(j.pair.better, j.pair.worse): j.right for j in experts_agree(snapshot, snapshot.part("report"))}
    assert agreed == {(0, 1): 0.0, (0, 2): 1.0, (0, 3): 1.0, (1, 2): 1.0, (1, 3): 1.0}


def test_the_turns_that_the_scores_contradict_most_are_named_worst_first() -> None:
    turns = [
        turn("right", ("x", "y"), (0, 1)),
        turn("wrong", ("x", "y", "z"), (0, 1), (0, 2), (1, 2)),
        turn("worst", ("x", "y"), (1, 0)),
        turn("even", ("x", "y"), (0, 1)),
        turn("nothing", ("x", "y")),
    ]
    found = disagreements(turns, [[2.0, 1.0], [0.0, 1.0, 1.5], [3.0, 1.0], [1.0, 1.0], [0.0, 9.0]])
    assert [(each["dialogue"], each["better"], each["worse"], each["margin"]) for each in found] == [
        ("worst", 1, 0, 2.0), ("wrong", 0, 2, 1.5),
    ]  # fmt: skip
    assert (found[0]["number"], found[0]["split"], found[0]["provenance"]) == (1, "report", "agreed")


def test_no_more_turns_are_named_than_somebody_looks_at() -> None:
    turns = [turn(str(n), ("x", "y"), (0, 1)) for n in range(40)]
    found = disagreements(turns, [[0.0, float(n)] for n in range(40)])
    assert [each["dialogue"] for each in found] == [str(n) for n in range(39, 14, -1)]


@pytest.mark.parametrize(
    ("evaluation", "passes"),
    [
        ({"accuracy": {"value": 0.8, "low": 0.7}, "longer_wins": {"value": 0.6}}, True),
        ({"accuracy": {"value": 0.8, "low": 0.6}, "longer_wins": {"value": 0.6}}, False),
        ({"accuracy": {"value": 0.8, "low": None}, "longer_wins": {"value": 0.6}}, False),
        ({"accuracy": {"value": None, "low": None}, "longer_wins": {"value": 0.6}}, False),
        ({}, False),
    ],
)
def test_a_reward_model_passes_only_beyond_the_baseline(evaluation: dict[str, object], passes: bool) -> None:
    assert (gate.objection(evaluation) is None) is passes


@pytest.fixture(scope="module")
def reward_model(base: Path, snapshot_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished reward run."""
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    config = RewardConfig(epochs=1, batch_size=4, save_every=1, lora_rank=2, max_length=256)
    reward.run(Stage("reward", folder, {"base": base, "snapshot": snapshot_folder}, Records(folder)), config)
    return folder / checkpoints.MODEL


@pytest.fixture(scope="module")
def policy(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished fine-tuning run."""
    folder = tmp_path_factory.mktemp("evaluated-policy") / "run"
    data = folder.parent / "dialogues.jsonl"
    asked = [{"role": "user", "content": "头痛三天了。"}, {"role": "assistant", "content": PLAIN}]
    data.write_text("\n".join([json.dumps({"messages": asked})] * 4), encoding="utf-8")
    config = SftConfig(epochs=4, batch_size=4, micro_batch_size=4, lora_rank=2, learning_rate=3e-2)
    sft.run(Stage("sft", folder, {"base": base, "data": data}, Records(folder)), config)
    return folder / checkpoints.MODEL


def evaluated(folder: Path, **paths: Path) -> dict[str, Any]:
    config = EvaluateConfig(max_length=128, max_new_tokens=8)
    return evaluate.run(Stage("evaluate", folder, paths, Records(folder)), config)


def test_an_evaluation_leaves_the_reward_model_as_it_is(
    base: Path, snapshot_folder: Path, reward_model: Path, tmp_path: Path
) -> None:
    of_its_run = Path(shutil.copytree(reward_model, tmp_path / "reward"))
    (of_its_run / EVALUATION).write_text('{"accuracy": {"low": 0.123}}')
    before = checkpoints.hash_folder(of_its_run)
    result = evaluated(tmp_path / "run", base=base, reward=of_its_run, snapshot=snapshot_folder)
    assert json.loads((tmp_path / "run" / checkpoints.MODEL / EVALUATION).read_text(encoding="utf-8")) == result
    assert checkpoints.hash_folder(of_its_run) == before


def test_an_evaluation_says_how_scores_order_turns_how_sure_they_are_and_what_they_follow(
    base: Path, snapshot_folder: Path, reward_model: Path
) -> None:
    of_its_run = json.loads((reward_model / EVALUATION).read_text(encoding="utf-8"))
    assert of_its_run["orders"]["model"]["tau"]["n"] == of_its_run["turns"] == 2
    assert of_its_run["orders"]["longer"]["top1"]["value"] == 1.0  # the polite answer is the longest
    assert of_its_run["orders"]["experts"]["tau"]["n"] == 0
    assert (of_its_run["calibration"]["pairs"], of_its_run["calibration"]["fitted_on"]) == (10, 10)
    assert of_its_run["calibration"]["temperature"] > 0
    assert of_its_run["length"]["n"] == 8
    assert of_its_run["boilerplate"]["n"] == 0
    assert of_its_run["by_depth"].keys() == {"1", "2"}


def test_a_reward_model_is_evaluated_on_its_own_base_only(
    other_base: Path, snapshot_folder: Path, reward_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="was trained on the base"):
        evaluated(tmp_path, base=other_base, reward=reward_model, snapshot=snapshot_folder)


def test_a_policy_is_evaluated_beside_the_base_that_it_started_from(
    base: Path, snapshot_folder: Path, reward_model: Path, policy: Path, tmp_path: Path
) -> None:
    paths = {"base": base, "reward": reward_model, "snapshot": snapshot_folder}
    without = evaluated(tmp_path / "without", **paths)
    with_it = evaluated(tmp_path / "with", policy=policy, **paths)
    more = with_it.keys() - without.keys()
    measured = {f"{what}_{side}" for what in ("score", "tokens", "ended", "kl") for side in ("before", "after")}
    assert more == {"compared_prompts", "win_rate", "win_rate_at_equal_length", *measured}
    assert with_it["accuracy"] == without["accuracy"]
    assert with_it["kl_before"] == 0
    assert with_it["kl_after"] > 0.1
    assert len((tmp_path / "with" / "samples.jsonl").read_text(encoding="utf-8").splitlines()) == 2


def test_before_is_the_base_or_the_adapter_that_the_policy_was_trained_from(
    base: Path, reward_model: Path, policy: Path
) -> None:
    ids = torch.tensor([[5, 6, 7, 8]])
    laid = in_rows(Answered(((5,),), (((6, 7, 8),),), 2, 0), ids.device)
    quartet = Quartet(base, policy, reward_model, PpoConfig())
    fine_tuned = quartet("policy", laid)
    quartet.refer_to(None)
    plain = torch.log_softmax(networks.load_causal(base, "float32")(ids).logits[:, :-1], -1)
    of_base = plain.gather(-1, ids[:, 1:, None]).flatten()
    assert torch.allclose(quartet("reference", laid), of_base, atol=1e-5)
    assert not torch.allclose(fine_tuned, of_base, atol=1e-2)
    quartet.refer_to(policy)
    assert torch.equal(quartet("reference", laid), fine_tuned)


def test_an_adapter_that_a_policy_was_trained_from_has_to_be_as_it_was(policy: Path, tmp_path: Path) -> None:
    Lineage("ppo", {"policy": {"path": str(policy), "sha256": checkpoints.hash_folder(policy)}}, {}).write(tmp_path)
    assert checkpoints.trained_from(tmp_path) == policy
    assert checkpoints.trained_from(policy) is None
    Lineage("ppo", {"policy": {"path": str(policy), "sha256": "other"}}, {}).write(tmp_path)
    with pytest.raises(CheckpointError, match="put it back"):
        checkpoints.trained_from(tmp_path)
