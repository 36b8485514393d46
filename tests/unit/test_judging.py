"""Quality and rules in the pipeline: the column of doubts, what it makes of alerts, and the unit with a clock."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from agent.config import ConfigErrors, parse
from agent.events import Alert, AlertState, Encoder, Severity
from agent.events.records import SensorData
from agent.farm.limits import Limits
from agent.farm.quality import QualitySettings
from agent.farm.rules import window_of
from agent.pipeline import Alerts, Intake, Outbox, RaisedAlerts, SensorLimits
from agent.pipeline.judging import Judged, Judgement, Rule, RuleBook, RuleWatch
from drivers import Doubt, Reading
from sync.log import LogSettings, MemoryLog

OXYGEN = "t1_oxygen"
BESIDE = "t1_oxygen_2"


class Kept(Outbox):
    def __init__(self):
        super().__init__(MemoryLog(LogSettings(path="unused", gateway_id="gw-1")))
        self.records = []

    def post(self, envelopes, receipts=()):
        self.records += [(envelope.topic, json.loads(envelope.value)) for envelope in envelopes]
        return super().post(envelopes, receipts)


class Farm:
    """An intake with its judgement and rules; `serves` is whether the MQTT connection does."""

    def __init__(self, raised=None):
        self.outbox = Kept()
        encoder = Encoder("gw-1", "site")
        self.alerts = Alerts(self.outbox, encoder, raised)
        self.judgement = Judgement(self.alerts)
        self.intake = Intake(self.outbox, self.alerts, encoder, lambda *_: None, judgement=self.judgement)
        self.serves = True
        self.rules = RuleWatch(self.judgement, self.alerts, "site", lambda: {"barge": self.serves})
        self.rules.also = self.intake.grade
        self.judgement.at_work = self.rules.at_work
        self.at = datetime.now(UTC) - timedelta(seconds=500)
        self.begun_s = time.monotonic()

    def configure(self, judged=(), rules=(), low=None, **book):
        self.judgement.reconfigure(judged)
        self.rules.reconfigure(RuleBook(tuple(rules), **book))
        self.intake.reconfigure([SensorLimits(one.sensor_id, Limits(low=low)) for one in judged if low is not None])

    def take(self, value, sensor=OXYGEN, kind="oxygen", unit="mg/L", **fields):
        self.at += timedelta(seconds=0.1)
        stamp = fields.pop("at", self.at)
        reading = Reading(sensor, kind, value, unit, "t1", "site", stamp, True, time.monotonic_ns(), **fields)
        self.intake.take([reading])
        return self.data()[-1]

    def data(self):
        return [body for topic, body in self.outbox.records if topic == "sensor-data"]

    def told(self):
        return [
            (body["alert_id"], body["state"], body["severity"])
            for topic, body in self.outbox.records
            if topic == "farm-alerts"
        ]

    def active(self):
        return {alert.alert_id: alert for alert in self.alerts.active()}

    def look(self, after_s=0.0):
        self.rules.look(self.begun_s + after_s)


def judged(sensor=OXYGEN, neighbour=None, calm_s=300.0, **settings):
    return Judged(
        sensor, "oxygen", "mg/L", QualitySettings(**{"low": 0, "high": 20} | settings), neighbour, calm_s=calm_s
    )


@pytest.fixture
async def farm():
    return Farm()


async def test_q1_a_judged_sensor_is_good_and_another_is_unjudged_but_held_against_its_range(farm):
    farm.configure([judged()])
    assert farm.take(8.0)["quality"] == "good"
    assert farm.take(8.0, "other")["quality"] == "unjudged"
    body = farm.take(-127.0, "t1_temperature", "temperature", "degC")
    assert (body["value"], body["quality"], body["reasons"]) == (-127.0, "bad", ["range"])
    SensorData.model_validate(body)
    assert farm.take(-127.0, "t1_wind", "wind", "degC")["quality"] == "unjudged"
    assert farm.told() == [("t1_temperature/range", "raised", "alarm")]


async def test_q2_a_value_that_cannot_be_is_no_limits_alarm_and_ends_none(farm):
    farm.configure([judged()], low=5.0)
    farm.take(8.0)
    farm.take(4.0)
    assert set(farm.active()) == {f"{OXYGEN}/low"}
    farm.take(99.0)
    assert set(farm.active()) == {f"{OXYGEN}/low", f"{OXYGEN}/range"}
    farm.take(8.0)
    assert set(farm.active()) == {f"{OXYGEN}/range"}
    assert farm.intake.stats.not_judged["out_of_range"] == 1


async def test_a_fault_is_one_alert_until_the_sensor_has_been_good_for_a_while(farm):
    farm.configure([judged(stuck_s=1.0, calm_s=60.0)])
    for _ in range(30):
        body = farm.take(8.0)
    assert (body["quality"], body["reasons"]) == ("suspect", ["stuck"])
    assert farm.told() == [(f"{OXYGEN}/fault", "raised", "warning")]
    assert "probe suspected" in farm.active()[f"{OXYGEN}/fault"].text
    farm.look(100)
    assert farm.active()  # nothing good came yet
    farm.take(8.1)
    farm.look(30)
    assert farm.active()
    farm.look(100)
    assert not farm.active()
    assert farm.judgement.counts[("suspect", "stuck")] == 19


async def test_q4_a_doubt_never_silences_a_limit_and_ends_none(farm):
    farm.configure([judged(rate_per_minute=60.0)], low=5.0)
    farm.take(8.0)
    farm.take(3.0)
    alert = farm.active()[f"{OXYGEN}/low"]
    assert alert.severity is Severity.ALARM
    assert "probe suspected" in alert.text
    assert farm.take(8.0)["quality"] == "suspect"
    assert f"{OXYGEN}/low" in farm.active()
    farm.take(8.0)
    assert f"{OXYGEN}/low" not in farm.active()


async def test_q4_a_good_neighbour_inside_the_limit_makes_it_a_warning_for_as_long_as_it_is_one(farm):
    settings = {"tolerance": 1.0, "rate_per_minute": 60.0}
    farm.configure([judged(neighbour=BESIDE, **settings), judged(BESIDE, OXYGEN, **settings)], low=5.0)
    for sensor in (OXYGEN, BESIDE):
        farm.take(8.0, sensor)
    farm.take(3.0)
    assert farm.active()[f"{OXYGEN}/low"].severity is Severity.WARNING
    farm.look()
    assert farm.active()[f"{OXYGEN}/low"].severity is Severity.WARNING
    # The other one falls too: it was the water.
    farm.take(3.1, BESIDE)
    farm.look()
    assert farm.active()[f"{OXYGEN}/low"].severity is Severity.ALARM
    assert farm.active()[f"{BESIDE}/low"].severity is Severity.ALARM


async def test_q4_a_neighbour_that_is_frozen_is_no_witness(farm):
    settings = {"tolerance": 1.0, "rate_per_minute": 60.0, "max_age_s": 2.0}
    farm.configure([judged(neighbour=BESIDE, **settings), judged(BESIDE, OXYGEN, **settings)], low=5.0)
    for _ in range(15):
        farm.take(8.0)
        farm.take(8.0, BESIDE)
    farm.take(3.0)
    assert farm.active()[f"{OXYGEN}/low"].severity is Severity.ALARM


async def test_q5_a_retained_reading_is_held_against_its_range_only_and_is_no_sign_of_life(farm):
    farm.configure([judged()], [rule(silent_after_s=10)])
    assert farm.take(8.0, doubt=Doubt(retained=True))["quality"] == "unjudged"
    assert farm.take(99.0, doubt=Doubt(retained=True))["quality"] == "bad"
    farm.look(11)
    assert f"{OXYGEN}/silent" in farm.active()


async def test_q5_a_live_reading_without_a_usable_time_is_judged_as_of_now(farm):
    farm.configure([judged()])
    assert farm.take(8.0, at=datetime.now(UTC), doubt=Doubt("missing"))["quality"] == "good"
    assert farm.take(8.0, doubt=Doubt("wrong_clock", far=True, steady=True))["quality"] == "good"
    assert farm.take(8.0, doubt=Doubt("ahead", far=True))["quality"] == "unjudged"


def rule(**fields):
    return Rule(OXYGEN, "oxygen", "mg/L", "t1", **fields)


async def test_a5_silence_and_a_tank_that_is_unwatched_are_two_things(farm):
    farm.configure([judged(stuck_s=0.5)], [rule(silent_after_s=10, unwatched_after_s=20)])
    farm.look(1)
    farm.take(8.0)
    farm.look(2)
    farm.look(15)
    assert set(farm.active()) == {f"{OXYGEN}/silent"}
    farm.look(25)
    assert set(farm.active()) == {f"{OXYGEN}/silent", "t1/unwatched"}
    assert farm.active()["t1/unwatched"].severity is Severity.ALARM
    # It is heard of again, but stuck: nobody knows of the oxygen.
    farm.begun_s -= 25
    for _ in range(10):
        farm.take(8.0)
    farm.begun_s += 25
    farm.judgement.judges[OXYGEN].seen_ns += 25 * 10**9
    farm.look(26)
    assert set(farm.active()) == {"t1/unwatched", f"{OXYGEN}/fault"}


async def test_a6_while_the_connection_is_down_its_silence_is_no_sensors(farm):
    connections = frozenset({"barge"})
    farm.configure([judged()], [rule(silent_after_s=10, unwatched_after_s=20, connections=connections)])
    farm.take(8.0)
    farm.look(0)
    farm.serves = False
    for second in range(1, 100):
        farm.look(second)
    assert farm.active() == {}
    farm.serves = True
    farm.look(100)
    farm.look(105)
    assert farm.active() == {}
    farm.look(125)
    assert set(farm.active()) == {f"{OXYGEN}/silent", "t1/unwatched"}


async def test_a7_a_fall_is_forecast_and_ends_with_the_limits_own_alarm(farm):
    farm.configure([judged()], [rule(low=5.0, forecast_s=2_400, fall_per_hour=1.5, hold_off_s=60)], low=5.0)
    judge = farm.judgement.judges[OXYGEN]
    forecast_at = None
    for minute in range(150):
        value = 8.0 - max(0, minute - 60) * 0.05
        now_ns = time.monotonic_ns()
        # As the intake would, at a minute a step: the judge has the value, and was good just now.
        judge.judge(value, minute * 60.0)
        judge.seen_ns = judge.good_ns = now_ns + minute * 60 * 10**9
        farm.rules.look(now_ns / 1e9 + minute * 60)
        if forecast_at is None and f"{OXYGEN}/forecast" in farm.active():
            forecast_at = value
            assert "below 5 mg/L in about" in farm.active()[f"{OXYGEN}/forecast"].text
            assert f"{OXYGEN}/trend" in farm.active()
    assert forecast_at is not None
    assert forecast_at > 5.3
    assert farm.active() == {}
    assert (f"{OXYGEN}/forecast", "cleared", "info") in farm.told()


async def test_a8_what_nobody_acknowledges_escalates_and_what_somebody_does_says_who(farm):
    farm.configure([judged(stuck_s=0.5)], escalate_after_s=600)
    for _ in range(10):
        farm.take(8.0)
    farm.look(0)
    farm.look(601)
    alert = farm.active()[f"{OXYGEN}/fault"]
    assert (alert.severity, alert.escalated) == (Severity.ALARM, True)
    assert farm.rules.acknowledge(f"{OXYGEN}/fault", "kari")
    assert farm.active()[f"{OXYGEN}/fault"].acknowledged_by == "kari"
    assert not farm.rules.acknowledge("unknown/low", "kari")
    assert farm.told() == [
        (f"{OXYGEN}/fault", "raised", "warning"),
        (f"{OXYGEN}/fault", "raised", "alarm"),
        (f"{OXYGEN}/fault", "raised", "alarm"),
    ]


async def test_a9_in_a_maintenance_window_limits_warn_and_become_alarms_at_its_end(farm):
    now = datetime.now(UTC)
    span = [(now + timedelta(hours=hours)).isoformat(timespec="minutes") for hours in (-1, 1)]
    window = window_of("t1", *span, "UTC")
    farm.configure([judged(stuck_s=0.5)], [rule(silent_after_s=10)], low=5.0, windows=(window,))
    for _ in range(10):
        farm.take(4.0)
    farm.look(1)
    farm.look(20)
    assert {name: alert.severity for name, alert in farm.active().items()} == {f"{OXYGEN}/low": Severity.WARNING}
    farm.rules.reconfigure(RuleBook())
    farm.look(21)
    assert farm.active()[f"{OXYGEN}/low"].severity is Severity.ALARM


async def test_a_fault_that_an_earlier_run_left_ends_when_its_sensor_is_good(tmp_path):
    left = Alert(
        alert_id="x/range", state=AlertState.RAISED, severity=Severity.ALARM, kind="range", source="x",
        text="probe suspected", at=datetime.now(UTC), site_id="site", acknowledged_by="kari",
    )  # fmt: skip
    path = tmp_path / "alerts.json"
    path.write_text(
        json.dumps({"alerts": [{"alert": left.model_dump(mode="json", exclude_none=True), "told": True}]})
    )
    farm = Farm(RaisedAlerts(path))
    farm.look(400)
    assert farm.active()["x/range"].acknowledged_by == "kari"
    farm.take(8.0, "x")
    farm.look(401)
    assert farm.active() == {}


DOCUMENT = """\
gateway: {id: g, site: s}
kafka: {brokers: k:1}
mqtt: [{name: m, local: true, subscriptions: [{topic: 'f/{tank}/{metric}'}]}]
sensors:
  - {id: t_oxygen, type: oxygen, unit: mg/L, tank: t}
  - {id: t_ph, type: ph, unit: pH, tank: t}
"""


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("quality: [{sensor: t_o}]", "there is no sensor t_o"),
        ("quality: [{sensor: t_oxygen}, {sensor: t_oxygen}]", "is listed twice"),
        ("quality: [{sensor: t_oxygen, low: 5, high: 5}]", "must be below high"),
        ("quality: [{sensor: t_oxygen, tolerance: 1}]", "has no effect without neighbour"),
        ("quality: [{sensor: t_oxygen, neighbour: t_ph}]", "needs tolerance"),
        ("quality: [{sensor: t_oxygen, neighbour: t_ph, tolerance: 1}]", "another type or unit"),
        ("quality: [{sensor: t_oxygen, neighbour: t_oxygen, tolerance: 1}]", "there is no other sensor"),
        ("rules: [{sensor: t_oxygen, forecast_s: 600}]", "the sensor has no limit"),
        ("rules: [{sensor: t_ph, unwatched_after_s: 600}]", "is only for oxygen"),
        ("alerting: {maintenance: [{tank: u, begins: 07:30, ends: 08:30}]}", "no sensor is in u"),
        ("alerting: {maintenance: [{tank: t, begins: 7 h, ends: 08:30}]}", "neither a time of day"),
        (
            "alerting: {maintenance: [{tank: t, begins: '2026-03-02T07:30', ends: '2026-03-01T07:30'}]}",
            "is not after begins",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_its_place(section, said):
    parse(DOCUMENT)
    with pytest.raises(ConfigErrors) as caught:
        parse(DOCUMENT + section)
    assert said in str(caught.value), str(caught.value)
