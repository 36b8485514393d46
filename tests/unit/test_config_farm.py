"""Derived quantities, calibrations and tanks in a document: what does not fit together is one line each."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.app.farm import derived_settings, farm_settings
from agent.config import parse
from agent.farm.water.score import Objective
from tests.support.document import GOOD, problems_of

SATURATION = """\
derived:
  - id: pen-1_saturation
    kind: oxygen_saturation
    tank: pen-1
    oxygen: pen-1_oxygen
    temperature: pen-1_temperature
    salinity_psu: 33
    pressure_hpa: 1005
"""
FARM = """\
farm:
  zone: Europe/Oslo
  tanks:
    - tank: pen-1
      temperature: pen-1_temperature
      score:
        - {sensor: pen-1_saturation, low: 70, source: Remen 2016}
  lice_limits:
    - {limit: 0.2, first_week: 16, last_week: 21, least_fish: 20}
"""
CALIBRATION = """\
calibrations:
  - sensor: pen-1_temperature
    points: [[0.3, 0], [20.1, 20]]
    done: 2026-03-01
    valid_days: 90
    by: Ida
"""


def test_a_document_with_all_of_it_becomes_what_the_farm_takes():
    config = parse(GOOD + SATURATION + FARM + CALIBRATION, "c.yaml", {})
    (derived,) = (derived_settings(one) for one in config.derived)
    assert derived.sensors == {"oxygen": "pen-1_oxygen", "temperature": "pen-1_temperature"}
    assert derived.fixed == {"salinity": 33.0, "pressure": 1005.0}
    settings = farm_settings(config)
    assert str(settings.zone) == "Europe/Oslo"
    assert settings.tanks[0].sensors == ("pen-1_saturation", "pen-1_temperature")
    assert settings.tanks[0].variables[0].objective == Objective(70.0, None, "Remen 2016")
    assert settings.lice_limits[0].least_fish == 20
    assert config.calibrations[0].done.isoformat() == "2026-03-01"


@pytest.mark.parametrize(
    ("text", "old", "new", "said"),
    [
        (
            SATURATION,
            "    pressure_hpa: 1005\n",
            "",
            "oxygen_saturation needs pressure or pressure_hpa (hint: add pressure with the id of a sensor)",
        ),
        (
            SATURATION,
            "salinity_psu: 33",
            "salinity_psu: 33\n    salinity: pen-1_salt",
            "derived[0].salinity_psu: has no effect beside salinity (hint: remove one of the two)",
        ),
        (
            SATURATION,
            "salinity_psu: 33",
            "salinity_psu: 33\n    ph: pen-1_ph",
            "derived[0].ph: is not used for oxygen_saturation",
        ),
        (
            SATURATION,
            "oxygen: pen-1_oxygen",
            "oxygen: pen-1_temperature",
            "derived[0].oxygen: pen-1_temperature measures temperature, not oxygen",
        ),
        (
            SATURATION,
            "id: pen-1_saturation",
            "id: pen-1_temperature",
            "derived[0].id: pen-1_temperature is also the id of a sensor",
        ),
        (SATURATION, "kind: oxygen_saturation", "kind: oxygen", "derived[0].kind: must be oxygen_saturation"),
        (FARM, "low: 70, ", "", "farm.tanks[0].score[0]: needs low or high"),
        (FARM, "low: 70", "low: 70, high: 60", "farm.tanks[0].score[0].low: must be below high, which is 60"),
        (
            FARM,
            "  lice_limits",
            "    - tank: pen-1\n  lice_limits",
            "farm.tanks[1].tank: pen-1 is already farm.tanks[0]",
        ),
        (FARM, "  zone: Europe/Oslo", "  topic: farm/#/events", "farm.topic"),
        (CALIBRATION, "[[0.3, 0], [20.1, 20]]", "[[1, 0], [1, 20]]", "both points have the same raw value"),
        (CALIBRATION, "[[0.3, 0], [20.1, 20]]", "[[1, 0]]", "has 2 points, not 1"),
        (CALIBRATION, "[[0.3, 0], [20.1, 20]]", "[[1, 0], [2, 1, 3]]", "a point is two numbers"),
        (CALIBRATION, "    points: [[0.3, 0], [20.1, 20]]\n", "", "either two points or coefficients"),
        (CALIBRATION, "2026-03-01", "yesterday", "calibrations[0].done: must be a date, such as 2026-03-01"),
    ],
)
def test_what_does_not_fit_is_named_with_its_key(text, old, new, said):
    assert text.count(old) == 1
    assert any(said in problem for problem in problems_of(GOOD + text.replace(old, new)))


def test_tan_must_be_said_to_be_tan():
    sensor = "  - id: pen-1_ammonia\n    type: ammonia\n    unit: mg/L\n    tank: pen-1\nmodels:"
    ammonia = SATURATION.replace("oxygen_saturation", "nh3_n").replace("oxygen: pen-1_oxygen", "tan: pen-1_ammonia")
    ammonia = ammonia.replace("pressure_hpa: 1005", "ph: pen-1_ph")
    (problem,) = problems_of(GOOD.replace("models:", sensor) + ammonia)
    assert "measures ammonia, not tan" in problem
    assert "write type: tan" in problem


def test_a_push_may_change_all_of_it():
    folder = Path("/etc/tidegate")
    assert parse(GOOD + SATURATION + FARM + CALIBRATION, "push", {}, folder=folder, pushed=True).farm is not None
