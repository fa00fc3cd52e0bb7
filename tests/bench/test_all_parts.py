"""``make bench`` leaves nothing out."""

from __future__ import annotations

from annotation.tables import TurnOrder
from bench.__main__ import PARTS


def test_growth_is_measured_in_every_order_of_turns() -> None:
    assert [part[2] for part in PARTS if part[0] == "bench.growth"] == [order.value for order in TurnOrder]
