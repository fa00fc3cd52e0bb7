"""Seconds, days and projected ends."""

from datetime import date

import numpy as np
import pytest

from annotation.bootstrap import UNDEFINED, Estimate
from annotation.pace import by_day, looking_back, projection, seconds, throughput
from annotation.report import Work, course, finish
from tests.annotation.columns import Double, doubles
from tests.material import ranked

SAME = Double(ranked("A > B > C > D"), ranked("A > B > C > D"))
TODAY = date(2026, 3, 10)


def at(*times: str) -> np.ndarray:
    return np.array(times, dtype="datetime64[s]")


def test_seconds_are_quartiles_and_what_was_not_measured_is_left_out() -> None:
    columns = doubles([SAME.but(seconds=(each, 0.0)) for each in (10.0, 60.0, 80.0, 100.0, 120.0)])
    found = seconds(columns.judgements)
    assert set(found) == {0, 1}
    assert (found[1].lower, found[1].median, found[1].upper, found[1].n) == (60, 80, 100, 5)
    assert found[1].too_fast == 0.2  # 10 s is under a quarter of 80 s


def test_without_a_measured_time_there_is_nothing_to_show() -> None:
    assert seconds(doubles([SAME.but(seconds=(0.0, 0.0))]).judgements) == {}


def test_a_working_day_is_one_with_a_ranking() -> None:
    columns = doubles([SAME.but(at=f"2026-03-{day}T08:00:00") for day in ("01", "01", "04", "09")])
    found = throughput(columns.judgements, TODAY)[1]
    assert (found.rankings, found.days, found.last_week) == (4, 3, 2)
    assert found.a_working_day == pytest.approx(4 / 3)


def test_days_without_work_count_as_nothing() -> None:
    times = at("2026-03-07T23:59:59", "2026-03-09T00:00:00", "2026-03-09T12:00:00", "2026-03-10T09:00:00")
    first, days = looking_back(TODAY, times)
    assert (first, days) == (date(2026, 3, 7), 3)
    assert by_day(times, first, days).tolist() == [1, 0, 2]  # today is not over


def test_looking_back_goes_no_further_than_its_window() -> None:
    assert looking_back(TODAY, at("2025-01-01T00:00:00")) == (date(2026, 2, 10), 28)
    assert looking_back(TODAY, at()) == (TODAY, 0)


def test_steady_work_ends_when_division_says() -> None:
    found = projection(200, np.full(28, 10))
    assert (found.days, found.low, found.high) == (20, pytest.approx(20, abs=0.01), pytest.approx(20, abs=0.01))


def test_uneven_work_has_a_wide_interval_around_the_same_day() -> None:
    found = projection(200, np.array([0, 20] * 14))
    assert found.days == 20
    assert found.low is not None and found.high is not None
    assert found.low < 17
    assert found.high > 23


def test_the_interval_is_that_of_walds_distribution_where_the_pace_is_known() -> None:
    # 10,000 days behind it leave no doubt about the drift of 10: variance of the time is left * s^2 / drift^3 = 2.
    rng = np.random.default_rng(1)
    before = rng.permutation(np.array([0, 20] * 5000))
    found = projection(200, before)
    assert found.low is not None and found.high is not None
    spread = (200 * 100 / 10**3) ** 0.5
    assert found.low == pytest.approx(20 - 1.75 * spread, abs=1.2)  # skewed to the right: less below, more above
    assert found.high == pytest.approx(20 + 2.15 * spread, abs=1.5)


def test_less_than_a_week_gives_no_interval() -> None:
    found = projection(60, np.array([10, 10, 10]))
    assert (found.days, found.low, found.high) == (6, None, None)


def test_work_that_falls_behind_never_ends() -> None:
    assert projection(60, np.full(28, -1)).days is None
    assert projection(60, np.zeros(0)).days is None


def test_where_falling_behind_is_likely_the_end_is_open() -> None:
    found = projection(60, np.array([-9, 10] * 14))
    assert found.days == 120
    assert found.low is not None
    assert found.high is None


def test_nothing_left_is_done() -> None:
    assert projection(0, np.full(28, 10)).days == 0


def work(settled: np.ndarray) -> Work:
    nothing = at()
    return Work(rankings=nothing, settled=settled, contested=nothing, decided=nothing, left=0, waiting=0)


def test_the_way_to_the_end_begins_where_the_settled_turns_are() -> None:
    settled = at("2026-03-08T10:00:00", "2026-03-08T11:00:00", "2026-03-10T01:00:00")
    found = course(work(settled), 9, TODAY, 2.5)
    assert [(key.day, row["settled"].value, row["expected"].value) for key, row in found.items()] == [
        (8, 2, None),
        (9, 2, None),
        (10, 3, 3),
        (11, None, 5),
        (12, None, 7),
        (13, None, 9),
    ]


def test_without_an_end_the_curve_stops_today() -> None:
    found = course(work(at("2026-03-08T10:00:00")), 9, TODAY, None)
    assert [row["settled"].value for row in found.values()] == [1, 1, 1]


def test_everything_is_settled_when_the_later_of_both_is_done() -> None:
    ends = {
        "rankings": {"days_left": Estimate(10, 8, 13, 5)},
        "contested": {"days_left": Estimate(7, 5, None, 3)},
    }
    assert finish(ends) == Estimate(10, 8, None, 8)
    assert finish({**ends, "contested": {"days_left": UNDEFINED}}) == UNDEFINED
