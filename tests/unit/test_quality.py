"""The judge of one sensor: each check alone, on series made for it."""

from __future__ import annotations

from math import sin

import pytest

from agent.farm.quality import PLAUSIBLE, QualitySettings, SensorJudge, plausible, verdict_of
from agent.farm.quality.verdicts import DRIFT, NEIGHBOUR, RANGE, RATE, SCATTER, SPIKE, STUCK, UNJUDGED
from agent.farm.units import UNITS

MINUTE = 60.0


def usual(number):
    """A quiet sensor: a slow swing, and the last digit at work."""
    return round(8.0 + sin(number / 200) + (number * 7 % 5 - 2) * 0.01, 2)


def fed(settings, count=300, first=0):
    judge = SensorJudge(settings)
    for number in range(first, count):
        judge.judge(usual(number), number * MINUTE)
    return judge


def test_q1_a_quiet_sensor_is_good_throughout():
    judge = SensorJudge(
        QualitySettings(low=0, high=20, rate_per_minute=1, stuck_s=3_600, spike=20, scatter=20, drift=9)
    )
    assert {judge.judge(usual(number), number * MINUTE) for number in range(10_000)} == {0}
    assert verdict_of(0) == ("good", ())


def test_q2_outside_of_the_range_is_bad_and_the_next_value_is_no_jump():
    judge = fed(QualitySettings(low=0, high=20, rate_per_minute=1, spike=20))
    assert verdict_of(judge.judge(-127.0, 300 * MINUTE)) == ("bad", ("range",))
    assert judge.judge(float("nan"), 300 * MINUTE) == RANGE
    assert judge.judge(usual(301), 301 * MINUTE) == 0


def test_a_spike_is_suspect_and_what_comes_after_it_is_not():
    judge = fed(QualitySettings(spike=20))
    assert judge.judge(14.0, 300 * MINUTE) == SPIKE
    assert judge.judge(usual(301), 301 * MINUTE) == 0


def test_a_jump_that_stays_is_a_new_level_after_a_few_readings():
    judge = fed(QualitySettings(spike=20))
    found = [judge.judge(usual(number) + 3, number * MINUTE) for number in range(300, 320)]
    assert found[:4] == [SPIKE] * 4
    assert not any(found[5:])


def test_no_jump_is_told_over_a_gap():
    judge = fed(QualitySettings(spike=20))
    assert judge.judge(14.0, 300 * MINUTE + 86_400) == 0


def test_a_value_that_stays_exactly_the_same_is_stuck_after_its_time():
    judge = fed(QualitySettings(stuck_s=1_800))
    found = [judge.judge(8.0, number * MINUTE) for number in range(300, 340)]
    assert found.index(STUCK) == 31
    assert judge.judge(8.01, 341 * MINUTE) == 0


def test_a_change_faster_than_water_is_suspect_also_by_a_steady_ramp():
    judge = fed(QualitySettings(rate_per_minute=0.5))
    assert judge.judge(usual(299) + 0.7, 300 * MINUTE) == RATE
    assert judge.judge(usual(299) + 0.6, 301 * MINUTE) == 0


def test_values_that_jump_about_are_scatter_and_a_steady_rise_is_not():
    judge = fed(QualitySettings(scatter=10))
    found = [judge.judge(usual(n) + (2 if n % 2 else -2), n * MINUTE) for n in range(300, 330)]
    assert found[-1] == SCATTER
    judge = fed(QualitySettings(scatter=10))
    assert not any(judge.judge(usual(299) + 0.1 * n, (300 + n) * MINUTE) for n in range(60))


def test_daily_means_that_move_one_way_for_three_days_are_drift():
    judge = SensorJudge(QualitySettings(drift=1.0))
    found = [judge.judge(usual(n) + n / 1_440 * 0.8, n * MINUTE) for n in range(6 * 1_440)]
    assert not any(found[: 3 * 1_440])
    assert found[-1] == DRIFT


def pair(**settings):
    one, two = (SensorJudge(QualitySettings(tolerance=1.0, **settings)) for _ in range(2))
    one.neighbour, two.neighbour = two, one
    for number in range(300):
        for judge in (one, two):
            judge.judge(usual(number), number * MINUTE)
    return one, two


def test_q3_a_fall_that_both_show_is_of_the_water():
    one, two = pair(rate_per_minute=0.5, spike=20)
    first = one.judge(4.0, 300 * MINUTE)
    assert first & (RATE | SPIKE)
    assert two.judge(4.1, 300 * MINUTE) == 0
    assert one.judge(3.9, 301 * MINUTE) == 0


def test_q3_of_two_that_differ_the_one_with_a_doubt_of_its_own_is_suspect_alone():
    one, two = pair(spike=20)
    assert one.judge(4.0, 300 * MINUTE) == SPIKE | NEIGHBOUR
    assert two.judge(usual(300), 300 * MINUTE) == 0


def test_q3_of_two_that_drift_apart_without_a_jump_both_are_suspect():
    one, two = pair()
    one.judge(usual(300) + 1.5, 300 * MINUTE)
    assert two.judge(usual(300), 300 * MINUTE) == NEIGHBOUR
    assert one.judge(usual(301) + 1.5, 301 * MINUTE) == NEIGHBOUR


def test_an_old_or_impossible_value_of_the_neighbour_says_nothing():
    one, two = pair(low=0, high=20)
    assert two.judge(99.0, 300 * MINUTE) == RANGE
    assert one.judge(usual(300) + 1.5, 300 * MINUTE) == 0
    assert one.judge(usual(301) + 1.5, 300 * MINUTE + 700) == 0


def test_q5_a_late_value_is_held_against_the_range_only_and_changes_nothing():
    judge = fed(QualitySettings(low=0, high=20, rate_per_minute=0.1, spike=20))
    assert judge.judge(19.0, 100 * MINUTE) == UNJUDGED
    assert judge.judge(21.0, 100 * MINUTE) == RANGE
    assert judge.judge(usual(300), 300 * MINUTE) == 0


def test_ranges_are_of_known_units():
    for kind, units in PLAUSIBLE.items():
        assert set(units) <= set(UNITS[kind]), kind
    assert plausible("oxygen", "mg/L")[1] == pytest.approx(60)
    assert plausible("wind", "m/s") == (-float("inf"), float("inf"))
