"""What is wrong with a row of a file is said in one language, all of it."""

from __future__ import annotations

from typing import Any

import pytest

from annotation.formats.rows import Problem, shown
from app.rows import in_words


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "缺失"),
        (" ", "空白"),
        ("头痛", "2 个字符的文本"),
        ([1, 2], "含 2 项的列表"),
        ({"a": 1}, "含 1 项的对象"),
        (3, "3"),
    ],
)
def test_what_stands_there_is_said_in_chinese_too(value: Any, said: str) -> None:
    problem = Problem(1, "turns.1", "a text that is not empty was expected, but it is {found}", {"found": shown(value)})
    assert in_words("zh", problem).endswith(said)


def test_what_the_parser_found_is_said_in_our_words() -> None:
    problem = Problem(1, "row", "one JSON object was expected, but: {why}", {"why": "Expecting ',' delimiter"})
    assert in_words("en", problem) == "one JSON object was expected, but: a comma is missing"
