"""How long ago something was, and how soon it will be."""

from __future__ import annotations

from datetime import timedelta

import pytest

from annotation.db import utcnow
from app.render import _ago


@pytest.mark.parametrize(
    ("past", "said"),
    [
        (timedelta(0), "1秒前"),
        (timedelta(minutes=12), "12分钟前"),
        (timedelta(hours=3), "3小时前"),
        (timedelta(days=2), "2天前"),
        (timedelta(hours=-5), "5小时后"),
    ],
)
def test_a_moment_is_told_by_its_distance(past: timedelta, said: str) -> None:
    at = utcnow() - past + (timedelta(seconds=0.2) if past < timedelta(0) else timedelta(0))
    assert _ago(at, "zh") == said


def test_nothing_is_told_of_no_moment() -> None:
    assert _ago(None, "zh") == "–"
