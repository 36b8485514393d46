"""Two series that move together are said to do so, with n and interval, and nothing is said of noise (G8)."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from agent.farm.correlation import interval, rank_correlation, together
from agent.farm.stock.events import Cycle, StockEvent
from agent.pipeline.farm import FarmSettings, TankSettings
from agent.pipeline.farm.trouble import look

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def test_ranks_of_ties_are_their_mean():
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx(1.0)
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1.0)
    # By hand: ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4.
    assert rank_correlation([1, 5, 5, 9], [1, 2, 3, 4]) == pytest.approx(4.5 / (4.5 * 5) ** 0.5)
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None


def test_the_interval_narrows_with_n_and_holds_the_value():
    assert interval(0.5, 1_000)[0] > interval(0.5, 30)[0]
    low, high = interval(0.5, 30)
    assert low < 0.5 < high


def test_g8_less_than_30_pairs_say_nothing():
    rising = {day: float(day) for day in range(29)}
    assert together(rising, rising) is None
    rising[29] = 29.0
    found = together(rising, rising)
    assert (found.n, found.lag_days) == (30, 0)
    assert found.low > 0


def test_a_lag_is_found():
    draw = random.Random(7)
    first = {day: draw.random() for day in range(60)}
    second = {day + 2: value for day, value in first.items()}
    assert together(first, second).lag_days == 2


def test_noise_is_rarely_taken_for_more():
    draw = random.Random(11)
    series = [{day: draw.random() for day in range(60)} for _ in range(400)]
    found = [together(one, other) for one, other in zip(series[::2], series[1::2], strict=True)]
    assert sum(one is not None for one in found) <= 10, "5 % of 200, one-sided"


def test_a_silent_probe_during_a_mortality_rise_is_told_without_a_cause():
    events = [StockEvent("s", "stocking", "t1", BEGUN, count=100_000)]
    seen = {}
    for day in range(50):
        silent_hours, dead = (12, 400 + day) if day % 5 == 0 else (0, 20 + day % 3)
        at = BEGUN + timedelta(days=day, hours=10)
        events.append(StockEvent(f"d{day}", "mortality", "t1", at, count=dead))
        first = int((BEGUN + timedelta(days=day)).timestamp() // 3600)
        seen |= {first + hour: 0 if hour < silent_hours else 60 - (day * 7 + hour) % 5 for hour in range(24)}
    cycle = Cycle("t1", "salmon", BEGUN, None, tuple(events))
    (told,) = look(TankSettings("t1"), cycle, {"oxygen": seen}, FarmSettings("site"), BEGUN + timedelta(days=50))
    assert "together with" in told.text
    assert "because" not in told.text
    assert told.data["n"] >= 30
    assert told.data["technical"] == "oxygen silent"
    assert told.data["figure"] == "mortality_rate_day"
