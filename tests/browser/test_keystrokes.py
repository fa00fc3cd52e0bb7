"""The measurement of key presses ranks what it means to rank, and counts what the browser saw."""

from __future__ import annotations

import pytest

from bench.keystrokes import measure


@pytest.mark.browser
def test_ten_keys_store_exactly_the_ranking_that_was_meant() -> None:
    done = measure(4, seed=1)
    assert [each.kept for each in done] == [each.meant for each in done]
    assert [each.keys for each in done] == [10, 10, 10, 10]  # three letters, three digits, f a 1, Enter
