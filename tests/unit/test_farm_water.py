"""U1 to U3: calibrated values beside raw ones, and derived quantities at their interval, in the pipeline itself."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from agent.events import Encoder
from agent.farm.water.calibration import Calibration
from agent.farm.water.derived import DerivedSettings
from agent.pipeline.farm import Hours, Water
from drivers import Doubt, Reading

NOW_S = datetime(2026, 3, 2, 6, tzinfo=UTC).timestamp()


class Clock:
    now_s = NOW_S

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def water(clock):
    found = Water("site", Hours(None), clock)
    rate = DerivedSettings("t_deficit", "oxygen_deficit", "t", {"oxygen": "o2", "temperature": "t"},
                           {"salinity": 0.0, "pressure": 1013.25}, 600.0, 60.0)  # fmt: skip
    found.reconfigure([rate])
    return found


def reading(name, value, unit, age_s=0.0, doubt=None, *, device=True):
    at = datetime.fromtimestamp(NOW_S - age_s, UTC)
    return Reading(name, "kind", value, unit, "t", "site", at, device, 0, None, doubt)


def test_u1_the_raw_value_goes_upstream_with_the_calibrated_one_beside_it(water):
    water.calibrate({"o2": Calibration("o2", (0.5, 1.0), date(2026, 3, 1), "Ida", 30)})
    raw = [reading("o2", 8.0, "mg/L"), reading("x", 1.0, "V")]
    calibrated = water.calibrated(raw)
    assert [one.value for one in calibrated] == [8.5, 1.0]
    back = water.observe(calibrated, raw)
    assert back == raw
    envelopes = Encoder("gw", "site").readings(back)
    water.stamp(back, envelopes)
    first, second = (json.loads(one.value) for one in envelopes)
    assert (first["value"], first["calibrated"], first["calibrated_on"]) == (8.0, 8.5, "2026-03-01")
    assert "calibration_overdue" not in first
    assert "calibrated" not in second


def test_without_a_calibrated_probe_in_a_batch_the_list_itself_is_passed_on(water):
    raw = [reading("x", 1.0, "V")]
    assert water.calibrated(raw) is raw
    assert water.observe(raw, raw) is raw


def test_u2_an_overdue_calibration_is_noted_of_what_is_derived(water):
    water.calibrate({"o2": Calibration("o2", (0.5, 1.0), date(2025, 3, 1), "Ida", 30)})
    values = [reading("o2", 8.0, "mg/L"), reading("t", 12.0, "degC")]
    raw = water.observe(water.calibrated(values), values)
    envelopes = Encoder("gw", "site").readings(raw)
    water.stamp(raw, envelopes)
    assert json.loads(envelopes[0].value)["calibration_overdue"] is True
    _, (derived,) = water.derive()
    body = json.loads(derived.value)
    assert body["notes"] == ["o2: calibration overdue"]
    assert body["quality"] == "suspect"
    assert body["inputs"][0]["value"] == 8.5, "derived from the calibrated value"


def test_u3_a_derived_quantity_goes_upstream_each_interval_with_a_value_or_a_reason(water, clock):
    (readings, (first,)) = water.derive()
    assert readings == []
    assert json.loads(first.value)["quality"] == "bad"
    assert json.loads(first.value)["reason"]
    values = [reading("o2", 8.0, "mg/L"), reading("t", 12.0, "degC")]
    water.observe(values, values)
    assert water.derive() == ([], [])
    clock.now_s += 60
    ((judged,), _) = water.derive()
    assert (judged.sensor_id, judged.tank_id, judged.unit) == ("t_deficit", "t", "mg/L")
    clock.now_s -= 3_600
    assert len(water.derive()[1]) == 1, "a clock that was set back does not stop it"


@pytest.mark.parametrize("doubt", [Doubt(far=True), Doubt(retained=True), Doubt(queued=True)])
def test_a_value_whose_time_is_in_doubt_says_nothing_of_now(water, doubt):
    values = [reading("o2", 8.0, "mg/L", doubt=doubt), reading("t", 12.0, "degC")]
    water.observe(values, values)
    _, (found,) = water.derive()
    assert "o2 has sent nothing" in json.loads(found.value)["reason"]


def test_a_late_value_does_not_replace_a_newer_one(water):
    for age_s, value in ((10.0, 8.0), (300.0, 2.0)):
        values = [reading("o2", value, "mg/L", age_s), reading("t", 12.0, "degC")]
        water.observe(values, values)
    _, (found,) = water.derive()
    given = json.loads(found.value)["inputs"][0]
    assert (given["value"], given["age_s"]) == (8.0, timedelta(seconds=10).total_seconds())
