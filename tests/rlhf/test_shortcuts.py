"""What scores may follow instead of quality, worked out by hand."""

from __future__ import annotations

import pytest

from rlhf.data import Pair, Prompt, Turn
from rlhf.shortcuts import boilerplate, is_boilerplate, length_correlations


def turn(
    dialogue: str, responses: tuple[str, ...], *pairs: tuple[int, int], places: tuple[int, ...] | None = None
) -> Turn:
    made = tuple(Pair(b, w, None, "agreed") for b, w in pairs)
    return Turn(dialogue, 1, "report", Prompt((), "?"), responses, made, places=places)


@pytest.mark.parametrize(
    "text",
    [
        "很抱歉，我不知道。", "抱歉，我无法给出诊断。", "不知道。", "我无法判断，请就医。",
        "作为一个人工智能，我建议就医。",
        "I'm sorry, but I don't know the answer.", "Sorry, I am unable to say.", "I do not know.",
        "As an AI, I would see a doctor.",
    ],
)  # fmt: skip
def test_what_admits_to_knowing_nothing_is_boilerplate(text: str) -> None:
    assert is_boilerplate(text, "")


@pytest.mark.parametrize(
    "text",
    [
        "很抱歉听到您不舒服，多喝水。",
        "您知道自己的血压吗？",
        "I am sorry to hear that. Drink more water.",
        "不能吃辣。",
        "",
    ],
)
def test_sympathy_and_advice_are_not(text: str) -> None:
    assert not is_boilerplate(text, "")


def test_the_template_of_the_campaign_is_boilerplate_wherever_it_stands() -> None:
    assert is_boilerplate("这个问题请咨询专科医生。谢谢。", "请咨询专科医生")
    assert not is_boilerplate("多喝水。", " ")


def test_boilerplate_is_set_beside_the_others_of_its_turn() -> None:
    """Above one of two in the first turn and level with the only other of the second: (1 + 0 + 0.5) / 3.

    Of the scores 1, 0, 2 and 1, 1 the mean is 1 and the variance 2/5; the two texts lie at 1: 0 deviations.
    """
    turns = [turn("a", ("不知道。", "x", "y"), (1, 0), (2, 1)), turn("b", ("y", "不知道。"), (1, 0))]
    found = boilerplate(turns, [[1.0, 0.0, 2.0], [1.0, 1.0]], "")
    assert (found["n"], found["mean"]) == (2, 0.0)
    assert (found["scored_above"]["value"], found["scored_above"]["n"]) == (0.5, 3)
    assert (found["settled_above"]["value"], found["settled_above"]["n"]) == (0.5, 2)
    higher = boilerplate(turns[1:], [[0.0, 2.0]], "")
    assert (higher["n"], higher["mean"]) == (1, 1.0)


def test_without_boilerplate_there_is_nothing_to_say_of_it() -> None:
    found = boilerplate([turn("a", ("x", "y"))], [[1.0, 0.0]], "")
    assert (found["n"], found["mean"], found["scored_above"]["value"]) == (0, None, None)


def test_length_is_correlated_over_all_and_within_turns() -> None:
    """Within each turn the longer is scored lower; the turn with the longer texts is scored higher as a whole."""
    turns = [turn("a", ("x", "xx"), places=(0, 1)), turn("b", ("x" * 9, "x" * 10), places=(1, 0))]
    found = length_correlations(turns, [[1.0, 0.0], [6.0, 5.0]])
    assert found["pearson_within"] == pytest.approx(-1.0)
    assert found["spearman_within"] == pytest.approx(-1.0)
    assert found["settled_within"] == pytest.approx(0.0)  # experts: the shorter in one turn, the longer in the other
    assert found["spearman"] == pytest.approx(1 - 6 * 4 / (4 * 15))  # ranks 2 1 4 3 against 1 2 3 4
    # Deviations of scores from 3: -2 -3 3 2, of lengths from 5.5: -4.5 -3.5 3.5 4.5.
    assert found["pearson"] == pytest.approx((9 + 10.5 + 10.5 + 9) / (26 * 65) ** 0.5)
    assert found["n"] == 4


def test_what_does_not_vary_has_no_correlation() -> None:
    found = length_correlations([turn("a", ("x", "y"))], [[1.0, 0.0]])
    assert (found["pearson"], found["spearman_within"], found["settled_within"]) == (None, None, None)
