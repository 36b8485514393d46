"""Alerts on figures: raised, cleared, and silent while there is no value."""

from __future__ import annotations

from datetime import UTC, datetime

from agent.cli.status import _farm
from agent.events import AlertState
from agent.farm.figure import Figure, Formula
from agent.pipeline.farm import FarmSettings
from agent.pipeline.farm.tank import TankFigures
from agent.pipeline.farm.watch import FigureWatch


class Heard:
    def __init__(self):
        self.said = []
        self.possible = set()

    def say(self, alert):
        self.said.append((alert.alert_id, alert.state, alert.text))

    def end_others(self, kinds, possible, why):
        self.possible = set(possible)


def tank(began=datetime(2026, 3, 1, tzinfo=UTC), **values):
    formula = Formula("", "")
    units = {"mortality_rolling": "%"}
    figures = [Figure(name, value, units.get(name, "1"), formula) for name, value in values.items()]
    return TankFigures("pen-1", "salmon", began, tuple(figures))


def look(*tanks, **settings):
    heard = Heard()
    FigureWatch(heard).look(tanks, FarmSettings("site", **settings))
    return heard


def test_mortality_a_day_against_the_usual_and_the_score_raise_alerts():
    heard = look(tank(mortality_rolling=5.2, mortality_times_usual=6.0, water_score=79.0))
    assert [(name, state) for name, state, _ in heard.said] == [
        ("pen-1/mortality", AlertState.RAISED),
        ("pen-1/mortality_day", AlertState.RAISED),
        ("pen-1/water_score", AlertState.RAISED),
    ]
    assert heard.said[0][2] == "mortality over 30 days in pen-1 is above 5 %: 5.2 %"


def test_within_the_limits_they_clear():
    heard = look(tank(mortality_rolling=4.9, water_score=80.0))
    assert {state for _, state, _ in heard.said} == {AlertState.CLEARED}


def test_without_a_value_nothing_is_judged_and_what_is_raised_stays():
    heard = look(tank(mortality_rolling=None, water_score=None))
    assert heard.said == []
    assert heard.possible == {"pen-1/mortality", "pen-1/water_score"}


def test_a_limit_of_none_and_an_empty_tank_raise_nothing():
    assert look(tank(water_score=10.0), score_alert=None).possible == set()
    assert look(tank(began=None, mortality_rolling=50.0)).possible == set()


def test_status_says_what_has_no_value_and_which_calibration_is_due():
    assert _farm({}) == ""
    said = _farm(
        {
            "farm": {"tanks": 2, "events": {"recorded": 3, "known": 0, "refused": 1}},
            "derived": [{"name": "a", "value": 1.0}, {"name": "b", "value": None, "reason": "t is too old"}],
            "calibrations": [{"sensor_id": "ph", "overdue": True}, {"sensor_id": "o2", "overdue": False}],
        }
    )
    assert said == (
        "figures of 2 tanks, 1 refused since the start; 1 of 2 derived quantities have a value; "
        "no value of b (t is too old); calibration overdue: ph"
    )
