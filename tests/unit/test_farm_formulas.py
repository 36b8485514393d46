"""The check values of the farm's formulas. Sections are those of the sources that each module names."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from agent.farm.figure import NoValue
from agent.farm.stock import growth, lice
from agent.farm.units import Unconvertible, in_standard_unit
from agent.farm.water import ammonia, oxygen, salinity, score
from agent.farm.water.calibration import Calibration, coefficients_of, newest, two_point
from agent.farm.water.swing import History

TEMPERATURES = (0, 5, 10, 15, 20, 25, 30)


# 1. Oxygen saturation: Benson & Krause 1980/84, APHA 4500-O


@pytest.mark.parametrize(
    ("psu", "table"),
    [
        (0, (14.621, 12.771, 11.288, 10.084, 9.092, 8.263, 7.559)),
        (20, (12.712, 11.174, 9.933, 8.919, 8.080, 7.375, 6.772)),
        (35, (11.446, 10.108, 9.024, 8.135, 7.396, 6.772, 6.237)),
    ],
)
def test_the_oxygen_that_water_holds_is_that_of_the_table(psu, table):
    assert [round(oxygen.solubility(t, psu), 3) for t in TEMPERATURES] == pytest.approx(table, abs=0.0011)


@pytest.mark.parametrize(("mmhg", "held"), [(780, 10.354), (740, 9.814), (700, 9.275), (650, 8.600)])
def test_it_falls_with_the_air_pressure(mmhg, held):
    assert oxygen.solubility(15, 0, mmhg / 760 * oxygen.HPA_PER_ATM) == pytest.approx(held, abs=0.001)


def test_saturation_takes_salinity_and_station_pressure_into_account():
    assert oxygen.solubility(12, 33, 1005) == pytest.approx(8.685, abs=0.001)
    assert oxygen.saturation(7.2, 12, 33, 1005) == pytest.approx(82.9, abs=0.05)
    assert oxygen.deficit(7.2, 12, 33, 1005) == pytest.approx(1.485, abs=0.001)


def test_a_probe_with_its_salinity_left_at_zero_overstates_by_a_quarter():
    assert oxygen.solubility(10, 0) / oxygen.solubility(10, 35) == pytest.approx(1.25, abs=0.002)


@pytest.mark.parametrize("given", [(-1, 33, 1013), (41, 0, 1013), (10, 41, 1013), (10, -1, 1013), (10, 33, 10.13)])
def test_outside_its_range_there_is_no_number_but_a_reason(given):
    with pytest.raises(NoValue, match="and the formula holds from"):
        oxygen.saturation(8.0, *given)


# 2. Un-ionised ammonia


@pytest.mark.parametrize(
    ("temperature", "ph", "fraction"),
    [
        (6, 7.0, 0.0013),
        (20, 7.0, 0.0039),
        (10, 8.0, 0.0182),
        (20, 8.0, 0.0381),
        (24, 8.0, 0.0502),
        (30, 8.0, 0.0743),
        (28, 8.2, 0.0998),
        (20, 8.4, 0.0904),
        (10, 8.6, 0.0688),
    ],
)
def test_the_un_ionised_part_in_fresh_water_is_that_of_emerson(temperature, ph, fraction):
    assert ammonia.fraction(temperature, ph, 0) == pytest.approx(fraction, abs=0.00006)


@pytest.mark.parametrize(("temperature", "percent"), [(10, 1.44), (15, 2.07), (20, 2.98), (25, 4.28)])
def test_in_sea_water_it_is_within_2_percent_of_bower_and_bidwell(temperature, percent):
    assert 100 * ammonia.fraction(temperature, 8.0, 34) == pytest.approx(percent, rel=0.02)


def test_emerson_in_sea_water_would_overstate():
    for temperature in (10, 15, 20, 25):
        excess = ammonia.fraction_fresh(temperature, 8.0) / ammonia.fraction_sea(temperature, 8.0, 34) - 1
        assert 0.23 <= round(excess, 2) <= 0.29


def test_between_salinity_5_and_10_the_two_are_blended_without_a_step():
    fresh, sea = ammonia.fraction_fresh(15, 8.0), ammonia.fraction_sea(15, 8.0, 7.5)
    assert ammonia.fraction(15, 8.0, 7.5) == pytest.approx((fresh + sea) / 2)
    assert ammonia.fraction(15, 8.0, 4.999) == pytest.approx(ammonia.fraction(15, 8.0, 5.0), rel=1e-3)
    assert ammonia.fraction(15, 8.0, 9.999) == pytest.approx(ammonia.fraction(15, 8.0, 10.0), rel=1e-3)


def test_tan_nh3_n_and_nh3_are_three_quantities():
    assert ammonia.nh3_n(2.0, 20, 8.0, 0) == pytest.approx(0.0762, abs=0.0001)
    assert ammonia.nh3(2.0, 20, 8.0, 0) == pytest.approx(1.2159 * ammonia.nh3_n(2.0, 20, 8.0, 0))
    assert ammonia.notes(28, 34)
    assert not ammonia.notes(20, 34)


# Salinity: PSS-78 of gsw, guarded


def test_standard_sea_water_has_salinity_35():
    assert salinity.practical_salinity(42.914, 15) == pytest.approx(34.9968, abs=0.0001)


@pytest.mark.parametrize(
    ("conductivity", "temperature", "why"),
    [
        (0, 15, "dry or off"),
        (-0.1, 15, "dry or off"),
        (42_914, 15, "is the value in uS/cm"),
        (42.914, 85, "temperature is 85"),
        (42.914, -99, "temperature is -99"),
        (70, 10, "salinity is"),
    ],
)
def test_what_the_library_would_answer_with_a_number_is_refused(conductivity, temperature, why):
    with pytest.raises(NoValue, match=why):
        salinity.practical_salinity(conductivity, temperature)


# 3. Mortality: Norwegian Veterinary Institute


def test_mortality_rates_are_summed_and_make_a_risk():
    rates = [
        growth.mortality_rate(dead, start, end)
        for dead, start, end in ((1000, 100_000, 98_500), (1200, 98_500, 97_000), (1500, 97_000, 95_000))
    ]
    assert [round(rate, 6) for rate in rates] == [0.010076, 0.012276, 0.015625]
    assert sum(rates) == pytest.approx(0.037977, abs=5e-7)
    assert growth.mortality_risk_percent(rates) == pytest.approx(3.7265, abs=5e-5)


# 4. Feed and growth


def test_feed_conversion_economic_and_biological():
    assert growth.fcr(12_000, 8_000, 2_000, 0) == pytest.approx(1.200)
    assert growth.fcr(12_000, 8_000, 2_000, 0, 500) == pytest.approx(1.143, abs=0.0005)
    with pytest.raises(NoValue, match="the gain is -1000 kg"):
        growth.fcr(12_000, -1_000, 0, 0)


def test_growth_rates_and_the_condition_factor():
    assert growth.sgr_percent(1000, 1200, 30) == pytest.approx(0.6077, abs=5e-5)
    assert growth.tgc(1000, 1200, 300) == pytest.approx(2.0886, abs=5e-5)
    assert growth.condition(4500, 72) == pytest.approx(1.2056, abs=5e-5)


# 5. Water-quality score: CCME WQI

OBJECTIVES = {
    "oxygen": score.Objective(low=70),
    "nh3": score.Objective(high=0.025),
    "temperature": score.Objective(high=18),
    "ph": score.Objective(6.5, 9),
}
TESTS = {
    "oxygen": [82, 75, 66, 60],
    "nh3": [0.01, 0.02, 0.03, 0.012],
    "temperature": [12] * 4,
    "ph": [7.5] * 4,
}


def test_the_score_has_the_parts_of_the_worked_example():
    found = score.wqi(TESTS, OBJECTIVES)
    assert (found.f1, found.f2) == (50, 18.75)
    assert found.f3 == pytest.approx(2.601, abs=0.0005)
    assert found.score == pytest.approx(69.13, abs=0.005)
    assert score.grade(found.score) == "fair"


def test_a_value_of_0_against_a_minimum_makes_f3_100():
    assert score.wqi(TESTS | {"oxygen": [0, 75, 82, 82]}, OBJECTIVES).f3 == 100


def test_g1_a_missing_variable_gives_no_score_and_the_reason():
    with pytest.raises(NoValue, match=r"nh3 \(0\)"):
        score.wqi({name: values for name, values in TESTS.items() if name != "nh3"}, OBJECTIVES)
    with pytest.raises(NoValue, match="the score needs 4"):
        score.wqi(TESTS, {"oxygen": score.Objective(low=70)})


def test_the_limiting_factor_may_only_lower_the_grade():
    newest_values = {"oxygen": 63.0, "nh3": 0.01, "temperature": 12.0, "ph": 7.5}
    name, margin = score.limiting(newest_values, OBJECTIVES)
    assert (name, margin) == ("oxygen", pytest.approx(-0.1))
    assert score.grade(97.0) == "excellent"
    assert score.grade(97.0, margin) == "fair"
    assert score.grade(30.0, 0.5) == "poor"
    with pytest.raises(NoValue, match="no value of nh3"):
        score.limiting({"oxygen": 80.0, "temperature": 12.0, "ph": 7.5}, OBJECTIVES)


# 6. Limits by species


@pytest.mark.parametrize(
    ("temperature", "percent"), [(5, 42), (7, 42), (9, 48), (11, 53), (13, 59), (15, 65), (17, 70)]
)
def test_salmon_s_oxygen_limit_rises_with_the_temperature(temperature, percent):
    assert oxygen.feed_limit_percent(temperature, feeding=True) == pytest.approx(percent, abs=0.5)
    assert oxygen.feed_limit_percent(25, feeding=True) == 76
    assert oxygen.feed_limit_percent(25, feeding=False) == 40


def test_clustered_lice_counts_are_worth_few_independent_fish():
    assert lice.effective_fish(10, 20) == pytest.approx(26, abs=0.2)
    found = lice.mean_of([lice.LiceCount(f"pen-{number}", 20, 8) for number in range(10)])
    assert found.mean == 0.4
    assert found.high - found.mean == pytest.approx(1.96 * (0.4 / found.effective_n) ** 0.5)
    assert lice.mean_of([lice.LiceCount("pen-1", 20, 0)]).high > 0


def test_the_strictest_dated_limit_counts():
    limits = [lice.LiceLimit(0.5), lice.LiceLimit(0.2, 16, 21, least_fish=20), lice.LiceLimit(0.1, 1, 53, year=2030)]
    assert lice.limit_on(limits, date(2026, 4, 20)).limit == 0.2
    assert lice.limit_on(limits, date(2026, 7, 1)).limit == 0.5
    assert lice.limit_on(limits, date(2030, 7, 1)).limit == 0.1


# Units


def test_each_quantity_has_one_unit_and_no_other_is_guessed():
    assert in_standard_unit("temperature", 59.0, "degF") == (pytest.approx(15.0), "degC")
    assert in_standard_unit("temperature", 288.15, "K") == (pytest.approx(15.0), "degC")
    assert in_standard_unit("conductivity", 42_914, "uS/cm") == (pytest.approx(42.914), "mS/cm")
    assert in_standard_unit("oxygen", 250.0, "umol/L") == (pytest.approx(7.9997), "mg/L")
    assert in_standard_unit("pressure", 100.5, "kPa") == (pytest.approx(1005.0), "hPa")
    assert in_standard_unit("salinity", 35.16504, "g/kg") == (pytest.approx(35.0), "PSU")
    assert in_standard_unit("tan", 100.0, "umol/L") == (pytest.approx(1.40067), "mg/L")
    for quantity, unit in (("oxygen", "%"), ("ph", "mV"), ("temperature", ""), ("tan", "mg/kg")):
        with pytest.raises(Unconvertible, match=f"{quantity} must be in"):
            in_standard_unit(quantity, 1.0, unit)


# Calibration


def test_two_points_make_a_line_through_both():
    probe = Calibration("pen-1_ph", two_point((6.8, 7.0), (9.7, 10.0)), date(2026, 3, 1), "Ida", 30)
    assert probe.apply(6.8) == pytest.approx(7.0)
    assert probe.apply(9.7) == pytest.approx(10.0)
    assert Calibration("x", (1.0, 2.0, 0.5), date(2026, 3, 1), "Ida").apply(2.0) == pytest.approx(7.0)


def test_u2_a_calibration_past_its_date_is_overdue_and_still_used():
    probe = Calibration("pen-1_ph", (0.0, 1.1), date(2026, 3, 1), "Ida", 30)
    assert not probe.overdue(datetime(2026, 3, 31, 23, tzinfo=UTC))
    assert probe.overdue(datetime(2026, 4, 1, tzinfo=UTC))
    assert probe.apply(1.0) == pytest.approx(1.1)
    assert not Calibration("x", (0.0, 1.0), date(2000, 1, 1), "Ida").overdue(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("points", "coefficients", "why"),
    [
        (None, None, "either two points or coefficients"),
        (((1, 1), (2, 2)), (0, 1), "either two points or coefficients"),
        (((1, 1), (1, 2)), None, "the same raw value"),
        (((1, 2), (2, 1)), None, "swapped"),
        (((1, 1),), None, "has 2 points, not 1"),
        (None, (1.0,), "2 to 6 coefficients"),
        (None, (1.0, 0.0), "depends on the raw value"),
    ],
)
def test_what_makes_no_calibration_is_refused(points, coefficients, why):
    with pytest.raises(ValueError, match=why):
        coefficients_of(points, coefficients)


def test_of_several_calibrations_the_newest_counts():
    old = Calibration("a", (0.0, 1.0), date(2026, 1, 1), "Ida")
    new = Calibration("a", (0.0, 2.0), date(2026, 2, 1), "Ola")
    again = Calibration("a", (0.0, 3.0), date(2026, 2, 1), "Ola")
    assert newest([new, old])["a"] is new
    assert newest([old, new, again])["a"] is again


# Rate and swing


def test_the_rate_is_the_slope_of_the_last_half_hour():
    history = History()
    for minute in range(120):
        history.add(minute, 8.0 - minute / 60)
    assert history.rate_per_hour(119) == pytest.approx(-1.0)
    with pytest.raises(NoValue, match="only 0 of the last 30 minutes"):
        history.rate_per_hour(300)


def test_the_swing_is_between_hourly_medians_so_a_spike_makes_none():
    history = History()
    for minute in range(24 * 60):
        history.add(minute, 8.0 + (1.0 if minute >= 720 else 0.0) + (20 if minute == 100 else 0))
    assert history.swing(24 * 60 - 1) == pytest.approx(1.0)
    with pytest.raises(NoValue, match="of the last 24 hours"):
        history.swing(36 * 60)


def test_several_values_of_a_minute_are_their_mean_and_a_minute_that_is_over_stays():
    history = History()
    for minute in range(20):
        history.add(minute, 1.0)
        history.add(minute, 3.0)
    history.add(3, 1_000.0)
    assert history.rate_per_hour(19) == pytest.approx(0.0)
