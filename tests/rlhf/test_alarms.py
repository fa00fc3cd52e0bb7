"""When a PPO run raises an alarm, and when it stops."""

from __future__ import annotations

from typing import Any

import pytest

from rlhf.alarms import Watch, shift
from rlhf.config import PpoConfig

FIRST: dict[str, float] = {"kl": 0.0, "surprise": 2.0, "response_tokens": 100.0}
SCORES = [-1.0, 0.0, 1.0]


def watching(**settings: Any) -> Watch:
    """A watch that has seen an ordinary first rollout."""
    watch = Watch(PpoConfig(**settings))
    assert watch.see(FIRST, SCORES) == []
    return watch


@pytest.mark.parametrize(
    ("changed", "event", "limit"),
    [
        ({"kl": 50.1}, "KL alarm", 50.0),
        ({"surprise": 0.49}, "entropy alarm", 0.5),
        ({"response_tokens": 201.0}, "length alarm", 200.0),
        ({"response_tokens": 49.0}, "length alarm", 50.0),
    ],
)
def test_an_alarm_goes_off_beyond_its_limit_and_not_before(changed: dict[str, float], event: str, limit: float) -> None:
    [alarm] = watching().see(FIRST | changed, SCORES)
    assert (alarm.event, alarm.measured, alarm.limit) == (event, *changed.values(), limit)
    [name] = changed
    assert watching().see(FIRST | {name: limit}, SCORES) == []


def test_scores_that_have_moved_raise_an_alarm_and_a_new_order_of_them_does_not() -> None:
    assert watching().see(FIRST, [1.0, -1.0, 0.0]) == []
    assert [alarm.event for alarm in watching().see(FIRST, [2.2, 3.1, 4.0])] == ["score shift alarm"]


def test_the_shift_is_the_mean_distance_of_the_quantiles() -> None:
    assert shift([-1.0, 0.0, 1.0], [3.0, 0.0, -3.0]) == pytest.approx(4 / 3)


def test_an_alarm_that_is_switched_off_stays_silent() -> None:
    silent = watching(alarm_kl=0, alarm_entropy=0, alarm_length=0, alarm_score_shift=0)
    assert silent.see({"kl": 1e9, "surprise": 0.0, "response_tokens": 1.0}, [9.0, 99.0, 999.0]) == []


def test_a_run_stops_after_so_many_rollouts_in_a_row_and_never_where_not_told_to() -> None:
    patient, told = watching(), watching(abort_after=2)
    bad = FIRST | {"kl": 60.0}
    for rollout in (bad, FIRST, bad):
        told.see(rollout, SCORES)
        assert not told.enough
    told.see(bad, SCORES)
    assert told.enough
    for _ in range(9):
        patient.see(bad, SCORES)
    assert not patient.enough


def test_a_checkpoint_keeps_what_the_first_rollout_was_like() -> None:
    watch, resumed = watching(abort_after=2), Watch(PpoConfig(abort_after=2))
    watch.see(FIRST | {"kl": 60.0}, SCORES)
    resumed.take_up(watch.state())
    [alarm] = resumed.see(FIRST | {"surprise": 0.1}, SCORES)
    assert (alarm.event, alarm.limit, resumed.enough) == ("entropy alarm", 0.5, True)
