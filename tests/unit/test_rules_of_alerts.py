"""The pure machines of rules: conditions, escalation, windows, forecasts."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from itertools import pairwise
from math import pi, sin

import pytest

from agent.farm.rules import Change, Condition, Escalation, Forecast, is_open, window_of
from tests.support.rivers import rivers


def test_a_condition_is_raised_after_its_hold_off_and_cleared_after_its_hysteresis():
    condition = Condition(hold_off_s=60, clear_after_s=300)
    looks = [(0, True), (59, True), (60, True), (70, False), (80, True), (90, False), (389, False), (390, False)]
    found = [condition.look(now, holds=holds) for now, holds in looks]
    assert found == [None, None, Change.RAISED, None, None, None, None, Change.CLEARED]


def test_what_is_not_known_changes_nothing_and_the_first_calm_look_says_so():
    condition = Condition()
    assert [condition.look(0, holds=None), condition.look(1, holds=False)] == [None, Change.CLEARED]
    assert condition.look(2, holds=False) is None
    assert condition.look(3, holds=True) is Change.RAISED
    assert condition.look(4, holds=None) is None
    assert (condition.end(), condition.end()) == (Change.CLEARED, None)


def test_an_alert_that_nobody_acknowledges_escalates_once():
    escalation = Escalation(600)
    raised = [("a", False), ("b", True), ("c", False)]
    assert escalation.due(raised, 0) == []
    escalation.acknowledge("c", 10)
    assert [escalation.due(raised, now) for now in (599, 600, 2_000)] == [[], ["a"], []]
    # Over and raised again: its time begins again.
    assert escalation.due([], 2_100) == []
    assert [escalation.due([("a", False)], now) for now in (2_200, 2_700, 2_800)] == [[], [], ["a"]]


def test_a_snooze_puts_escalation_off_and_no_longer():
    escalation = Escalation(600)
    escalation.due([("a", False)], 0)
    escalation.acknowledge("a", 100, snooze_s=3_600)
    assert [escalation.due([("a", False)], now) for now in (3_699, 3_700)] == [[], ["a"]]


def test_windows_are_daily_also_over_midnight_or_once():
    daily, night = window_of("t", "07:30", "08:30", "UTC"), window_of("t", "23:00", "01:00", "UTC")
    once = window_of("t", "2026-03-01T07:30", "2026-03-02T07:30", "Europe/Oslo")

    def at(hour, minute=0, day=1):
        return datetime(2026, 3, day, hour, minute, tzinfo=UTC)

    assert [daily.holds(at(7, 29)), daily.holds(at(7, 30)), daily.holds(at(8, 30))] == [False, True, False]
    assert [night.holds(at(23)), night.holds(at(0)), night.holds(at(1))] == [True, True, False]
    assert [once.holds(at(6, 29)), once.holds(at(6, 30)), once.holds(at(6, 29, 2)), once.holds(at(6, 30, 2))] == [
        False,
        True,
        True,
        False,
    ]
    assert not is_open([once], "other", at(12))


@pytest.mark.parametrize(("begins", "ends"), [("7h", "8h"), ("07:30", "2026-03-01T07:30"), ("25:00", "01:00")])
def test_a_window_that_cannot_be_read_is_refused(begins, ends):
    with pytest.raises(ValueError, match=r"neither|other"):
        window_of("t", begins, ends, "UTC")


def swing(seconds):
    """Oxygen of a pond: lowest in the morning, 2 mg/L up and down."""
    return 8 + 2 * sin(2 * pi * seconds / 86_400)


def test_a7_a_usual_evening_is_no_forecast_once_a_few_days_were_seen_and_a_fall_beyond_it_is():
    forecast, found = Forecast(), []
    for minute in range(6 * 1_440):
        forecast.add(swing(minute * 60), minute * 60)
        if minute > 4 * 1_440:
            found.append(forecast.crosses_in_s(5.5, None, minute * 60, 2_400))
    assert not any(found)
    first = None
    for minute in range(6 * 1_440, 6 * 1_440 + 240):
        fallen = (minute - 6 * 1_440) * 0.03
        forecast.add(swing(minute * 60) - fallen, minute * 60)
        ahead = forecast.crosses_in_s(5.5, None, minute * 60, 2_400)
        if ahead is not None and first is None:
            first = minute
        if swing(minute * 60) - fallen < 5.5:
            break
    assert first is not None
    assert 15 <= minute - first <= 45


def test_without_a_settled_trend_nothing_is_forecast():
    forecast = Forecast()
    for minute in range(29):
        forecast.add(8 - minute * 0.1, minute * 60)
    assert forecast.crosses_in_s(5, None, 29 * 60, 2_400) is None


def test_a7_on_real_water_untouched_days_bring_no_forecast_and_a_crash_does_in_time():
    """26 days of a creek's oxygen brought to one minute, with scatter added; then it falls by 2 mg/L an hour."""
    creek = next(one for one in rivers() if (one.site, one.variable) == ("BlackSmithFork", "do"))
    rows = [row for row in zip(creek.at_s, creek.values, creek.labels, strict=True) if not row[2]]
    rows = [row for row in rows if row[0] <= rows[0][0] + 26 * 86_400]
    low = min(value for _, value, _ in rows) - 0.2
    noise = random.Random(3)
    forecast, raised = Forecast(), 0
    for (at, value, _), (later, after, _) in pairwise(rows):
        for minute in range(int((later - at) // 60)):
            now = at + minute * 60
            forecast.add(value + (after - value) * minute / ((later - at) / 60) + noise.gauss(0, 0.03), now)
            known = now - rows[0][0] > 14 * 86_400
            raised += known and forecast.crosses_in_s(low, None, now, 2_400) is not None
    assert raised == 0
    at, value, _ = rows[-1]
    first = None
    for minute in range(600):
        now, fallen = at + minute * 60, value - minute / 30 + noise.gauss(0, 0.03)
        if fallen < low:
            break
        forecast.add(fallen, now)
        if first is None and forecast.crosses_in_s(low, None, now, 2_400) is not None:
            first = now
    assert first is not None
    assert now - first >= 20 * 60
