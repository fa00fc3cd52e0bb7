"""Held-out figures, worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotation import snapshot as files
from rlhf import gate
from rlhf.data import Pair, Prompt, Snapshot, Turn
from rlhf.evaluate import by, experts_agree, judge_pairs, longer_wins, share
from tests.rlhf.material import turn_row


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


@pytest.mark.parametrize(
    ("evaluation", "passes"),
    [
        ({"accuracy": {"low": 0.7}, "longer_wins": {"value": 0.6}}, True),
        ({"accuracy": {"low": 0.6}, "longer_wins": {"value": 0.6}}, False),
        ({"accuracy": {"low": None}, "longer_wins": {"value": 0.6}}, False),
        ({}, False),
    ],
)
def test_a_reward_model_passes_only_beyond_the_baseline(evaluation: dict[str, object], passes: bool) -> None:
    assert (gate.objection(evaluation) is None) is passes
