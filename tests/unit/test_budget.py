"""The day's count: what ends a day, and what a jumping clock can do to it (B1 to B4)."""

from __future__ import annotations

import pytest

from sync.shipper.link.budget import DAY_S, Budget, Day, Days, LaneLimit, unpacked
from sync.values import Lane

NOON = 20_000 * DAY_S + 43_200.0
HOUR = 3_600.0


@pytest.fixture
def days():
    days = Days()
    days.advance(NOON, 0.0)
    days.today.moved[Lane.LIVE] = 900
    return days


def run(days, from_wall_s, hours):
    """So many hours with a clock that goes as clocks do."""
    for minute in range(int(hours * 60)):
        days.advance(from_wall_s + (minute + 1) * 60.0, 60.0)


def test_b1_a_day_ends_at_midnight_and_not_before(days):
    run(days, NOON, 11.9)
    assert days.today.total == 900
    run(days, NOON + 11.9 * HOUR, 0.2)
    assert days.today.total == 0


def test_three_days_of_an_honest_clock_are_three_days(days):
    seen = []
    for hour in range(72):
        run(days, NOON + hour * HOUR, 1)
        days.today.moved[Lane.LIVE] = days.today.moved.get(Lane.LIVE, 0) + 1
        seen.append(days.today.number)
    assert len(set(seen)) == 4
    assert [seen.count(number) for number in sorted(set(seen))] == [11, 24, 24, 13]


def test_b1_a_clock_that_goes_back_gives_nothing(days):
    days.advance(NOON - 365 * DAY_S, 1.0)
    days.advance(0.0, 1.0)
    days.advance(NOON, 1.0)
    assert days.today.total == 900


def test_b2_a_clock_that_jumps_on_and_on_gives_two_fresh_days_and_no_more(days):
    fresh = 0
    for jump in range(1, 50):
        days.advance(NOON + jump * 400 * DAY_S, 60.0)
        days.advance(NOON, 60.0)
        fresh += days.today.total == 0
        days.today.moved[Lane.LIVE] = 900
    assert fresh <= 2


def test_b3_a_date_from_the_future_locks_nobody_out_for_longer_than_25_hours(days):
    days.advance(NOON + 400 * DAY_S, 60.0)
    days.today.moved[Lane.LIVE] = 900
    run(days, NOON, 24.9)
    assert days.today.total == 900
    run(days, NOON + 24.9 * HOUR, 0.2)
    assert days.today.total == 0
    days.today.moved[Lane.LIVE] = 900
    run(days, NOON + 25.1 * HOUR, 11)
    assert days.today.total == 0, "from then on midnights count again"


def test_hours_of_running_add_up_over_restarts_where_the_clock_stands(days):
    """A box without a battery for its clock, on for ten hours a day: each start is the same date."""
    for _ in range(3):
        run(days, NOON, 9)
        days.today = unpacked({Lane.LIVE: days.today.packed(Lane.LIVE)})
    assert days.today.total == 0


def test_what_was_kept_comes_back(days):
    days.advance(NOON, 7_200.0)
    days.today.moved["control"] = 5
    kept = {line: days.today.packed(line) for line in days.today.moved}
    assert all(0 <= value < 2**63 for value in kept.values())
    assert unpacked(kept) == Day(20_000, 7_200.0, {Lane.LIVE: 900, "control": 5})
    kept["control"] = Day(19_999, 0.0, {"control": 77}).packed("control")
    assert unpacked(kept).moved == {Lane.LIVE: 900}


@pytest.mark.parametrize("number", [-1, 65_535, 65_536, 2_932_896])
def test_the_count_of_any_day_that_a_clock_can_name_is_one_that_the_log_can_keep(number):
    kept = Day(number, 90_000.0, {Lane.LIVE: 900}).packed(Lane.LIVE)
    assert 0 <= kept < 1 << 63
    assert unpacked({Lane.LIVE: kept}).moved == {Lane.LIVE: 900}


def test_b4_a_reserve_is_left_for_alarms_and_they_are_never_bounded(days):
    budget = Budget(bytes_per_day=1_000, alert_reserve_bytes=50)
    assert days.left(budget, Lane.LIVE) == 50
    days.today.moved[Lane.ALERT] = 30
    assert days.left(budget, Lane.LIVE) == 50, "what alarms use comes out of their reserve first"
    days.today.moved[Lane.ALERT] = 80
    assert days.left(budget, Lane.LIVE) == 20
    assert days.left(budget, Lane.ALERT) == float("inf")


def test_a_lane_has_bounds_of_its_own_within_that_of_the_link(days):
    budget = Budget(bytes_per_day=10_000, backfill=LaneLimit(bytes_per_day=300))
    assert days.left(budget, Lane.BACKFILL) == 300
    assert days.left(budget, Lane.LIVE) == 9_100
    assert days.left(Budget(), Lane.BULK) == float("inf")
