"""Derived quantities carry their inputs and ages; one that is missing or old gives no number and the reason."""

from __future__ import annotations

import pytest

from agent.farm.water.derived import INPUTS, DerivedSettings, Newest, derive
from agent.farm.water.swing import History

NOW = 1_800_000_000.0


def newest(value, unit, age_s=5.0, history=None, note=""):
    found = Newest(history)
    found.value, found.unit, found.at_s, found.note = value, unit, NOW - age_s, note
    return found


def settings(kind="oxygen_saturation", fixed=None, max_age_s=600.0, **sensors):
    return DerivedSettings("pen-1_derived", kind, "pen-1", sensors, fixed or {}, max_age_s)


def saturation(**values):
    known = {"o2": newest(7.2, "mg/L"), "t": newest(12.0, "degC", 90.0), "p": newest(1005.0, "hPa")}
    wanted = settings(oxygen="o2", temperature="t", pressure="p", fixed={"salinity": 33.0})
    return derive(wanted, known | values, NOW)


def test_g2_a_value_names_its_inputs_with_their_ages_its_formula_and_source():
    found = saturation()
    assert found.value == pytest.approx(82.9, abs=0.05)
    assert [(one.name, one.value, one.unit, one.origin, one.age_s) for one in found.inputs] == [
        ("oxygen", 7.2, "mg/L", "o2", 5.0),
        ("temperature", 12.0, "degC", "t", 90.0),
        ("salinity", 33.0, "PSU", "config", None),
        ("pressure", 1005.0, "hPa", "p", 5.0),
    ]
    assert "Benson" in found.formula.source


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"t": newest(12.0, "degC", 700.0)}, "t was last measured 700 s ago, and may be 600 s old"),
        ({"t": Newest()}, "t has sent nothing since the start"),
        ({"o2": newest(82.0, "%")}, "o2: oxygen must be in mg/L or umol/L, not in %"),
        ({"t": newest(85.0, "degC")}, "temperature is 85 degC"),
    ],
)
def test_g1_an_input_that_is_missing_old_or_out_of_range_gives_no_number_and_the_reason(values, why):
    found = saturation(**values)
    assert found.value is None
    assert why in found.reason
    assert len(found.inputs) == 4


def test_inputs_are_taken_in_whatever_unit_of_their_quantity_they_come():
    in_other_units = saturation(t=newest(53.6, "degF"), o2=newest(7.2 / 0.0319988, "umol/L"), p=newest(100.5, "kPa"))
    assert in_other_units.value == pytest.approx(saturation().value)


def test_ammonia_in_sea_water_beyond_its_data_is_noted():
    known = {"tan": newest(1.0, "mg/L"), "ph": newest(8.0, "pH"), "t": newest(28.0, "degC"), "s": newest(34, "PSU")}
    wanted = settings("nh3", tan="tan", ph="ph", temperature="t", salinity="s")
    found = derive(wanted, known, NOW)
    assert found.value is not None
    assert "extrapolated" in found.notes[0]


def test_what_is_noted_of_an_input_is_noted_of_the_value():
    assert saturation(t=newest(12.0, "degC", note="calibration overdue")).notes == ("calibration overdue",)


def test_a_rate_is_in_the_sensor_s_own_unit_an_hour():
    history = History()
    for minute in range(60):
        history.add(int(NOW // 60) - 59 + minute, 8.0 - minute / 30)
    found = derive(settings("rate", of="o2"), {"o2": newest(6.0, "mg/L", history=history)}, NOW)
    assert found.value == pytest.approx(-2.0)
    assert found.unit == "mg/L/h"


def test_a_clock_that_was_set_back_makes_no_negative_age():
    assert saturation(t=newest(12.0, "degC", -3_600.0)).inputs[1].age_s == 0.0


def test_every_kind_can_be_asked_for_without_any_value():
    for kind, names in INPUTS.items():
        found = derive(settings(kind, **{name: f"sensor-{name}" for name in names}), {}, NOW)
        assert found.value is None
        assert found.reason
