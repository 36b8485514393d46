"""Which readings raise and end alarms, by when they were measured: messages in, alarms out, the log in memory."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from agent.events import Encoder, Minutes
from agent.events.records import SensorData
from agent.farm.clocks import ProbeClock
from agent.farm.limits import Limits
from agent.pipeline import Alerts, Intake, Outbox, SensorLimits, times
from drivers import Doubt, Reading
from drivers.mqtt import KnownSensor, MqttSettings, PayloadSettings, SubscriptionSettings
from drivers.mqtt.delivery.marks import Marks
from drivers.mqtt.packets import RETAINED, Received
from drivers.mqtt.readings import observe
from drivers.mqtt.topics.routes import Routes
from sync.log import LogSettings, MemoryLog

SENSOR = "t1_oxygen"
LOW, FINE = 2.0, 8.0
LIVE = 0x32
HOUR = 3_600
YEAR = 365 * 86_400
UNUSABLE = [None, "", "1970-01-01T00:00:07Z", 74888, "2026-03-01T06:00:00", "yesterday", True, [], ...]


class Gateway:
    """The way of a message from the driver's codecs to alarms and records."""

    def __init__(self, *, trusted=True, at="t", **limits):
        self.trusted = trusted
        self.records = []
        encoder = Encoder("gw-1", "site")
        outbox = Outbox(MemoryLog(LogSettings(path="unused", gateway_id="gw-1")))
        post = outbox.post
        outbox.post = lambda envelopes, receipts=(): self.records.extend(envelopes) or post(envelopes, receipts)
        self.alerts = Alerts(outbox, encoder)
        self.intake = Intake(outbox, self.alerts, encoder, lambda *_: None, trusted=lambda: self.trusted)
        self.intake.reconfigure([SensorLimits(SENSOR, Limits(low=5.0, **limits))])
        self.routes = Routes(
            MqttSettings(
                "b",
                "c",
                "site",
                sensors=(KnownSensor(SENSOR, "oxygen", "mg/L", "t1"),),
                subscriptions=(
                    SubscriptionSettings("farm/{tank}/{metric}", payload=PayloadSettings("json", "v", at=at)),
                ),
            )
        )
        self.clock_ns = 0

    def message(self, value, at, **more):
        return json.dumps({"v": value, **({} if at is ... else {"t": at}), **more}).encode()

    async def take(self, value, at=..., *, retained=False, queued=False, after_s=1.0, topic=b"farm/t1/oxygen"):
        """One message; a number of seconds stands for a device's time so far from now."""
        if type(at) is float:
            at = (datetime.now(UTC) + timedelta(seconds=at)).isoformat()
        head = LIVE | (RETAINED if retained else 0)
        batch, _ = observe([(topic, self.message(value, at), head, None)], self.routes, "mqtt:b", queued=queued)
        self.clock_ns += round(after_s * 1e9)
        batch = [seen._replace(received_ns=self.clock_ns) if isinstance(seen, Reading) else seen for seen in batch]
        await self.intake.take(batch)
        return batch[0]

    @property
    def raised(self):
        return [alert.alert_id for alert in self.alerts.active()]

    @property
    def text(self):
        (alert,) = self.alerts.active()
        return alert.text

    @property
    def told(self):
        return [SensorData.model_validate_json(one.value) for one in self.records if one.topic == "sensor-data"]


@pytest.mark.parametrize("at", UNUSABLE)
async def test_j4_a_live_value_without_a_usable_time_is_of_now_and_says_so(at):
    gateway = Gateway()
    before = datetime.now(UTC)
    await gateway.take(LOW, at)
    assert gateway.raised == [f"{SENSOR}/low"]
    (record,) = gateway.told
    assert (record.at_from, record.received_at) == ("gateway", None)
    assert before - timedelta(seconds=1) < record.at < before + timedelta(seconds=60)
    assert record.at_problem in {"missing", "not_a_time", "no_zone", "not_set"}
    assert gateway.intake.times.problems == {record.at_problem: 1}
    await gateway.take(FINE, at)
    assert gateway.raised == []


async def test_a_payload_of_which_no_time_is_expected_has_no_problem():
    gateway = Gateway(at=None)
    await gateway.take(LOW)
    assert gateway.raised == [f"{SENSOR}/low"]
    assert gateway.told[0].at_problem is None


async def test_equal_payloads_without_a_usable_time_are_each_a_reading():
    gateway = Gateway()
    marks = Marks()
    for at in (None, 7, ...):
        for known in (0, 0):
            received = Received()
            received.messages = [(b"farm/t1/oxygen", gateway.message(LOW, at), LIVE, None)]
            assert marks.take(received, gateway.routes)[0] == known
    again = [(b"farm/t1/oxygen", gateway.message(LOW, "2026-11-23T10:00:00Z"), LIVE, None)]
    for known in (0, 1):
        received = Received()
        received.messages = list(again)
        assert marks.take(received, gateway.routes)[0] == known


async def test_j1_a_late_reading_neither_ends_a_standing_alarm_nor_raises_one_and_is_kept():
    gateway = Gateway()
    await gateway.take(LOW, 0.0)
    await gateway.take(FINE, -3_600.0)
    await gateway.take(FINE, -3_540.0)
    assert gateway.raised == [f"{SENSOR}/low"]
    await gateway.take(FINE, 0.0)
    await gateway.take(LOW, -3_480.0)
    assert gateway.raised == []
    assert [record.value for record in gateway.told] == [LOW, FINE, FINE, FINE, LOW]
    assert gateway.intake.stats.not_judged == {"late": 3}


async def test_j1_a_reading_older_than_the_newest_judged_changes_nothing_and_an_equally_old_one_does():
    gateway = Gateway()
    now = datetime.now(UTC)
    newest = (now - timedelta(seconds=5)).isoformat()
    await gateway.take(FINE, newest)
    await gateway.take(LOW, (now - timedelta(seconds=9)).isoformat())
    assert gateway.raised == []
    await gateway.take(LOW, newest)
    assert gateway.raised == [f"{SENSOR}/low"]
    assert gateway.intake.stats.not_judged == {"older": 1}


async def test_j1_how_old_a_reading_may_be_is_the_limits_own():
    gateway = Gateway(max_age_s=7_200)
    await gateway.take(LOW, -3_600.0)
    assert gateway.raised == [f"{SENSOR}/low"]


async def test_j1_of_a_backlog_the_newest_is_judged_if_it_is_fresh():
    gateway = Gateway()
    for age_s in range(3_600, -1, -60):
        await gateway.take(FINE if age_s else LOW, -float(age_s), queued=True, after_s=0.001)
    assert gateway.raised == [f"{SENSOR}/low"]


async def test_j1_a_device_that_is_a_little_ahead_is_of_now_and_mutes_nothing():
    gateway = Gateway()
    await gateway.take(FINE, 240.0)
    await gateway.take(LOW, 0.0 + 239.0)
    assert gateway.raised == [f"{SENSOR}/low"]
    await gateway.take(FINE, None)
    assert gateway.raised == []


async def test_j1_a_gateway_whose_clock_is_set_back_goes_on_judging(monkeypatch):
    gateway = Gateway()
    await gateway.take(FINE, 0.0)
    gateway.intake._watches[SENSOR].newest += timedelta(days=400)
    gateway.intake._wall_ns += 400 * 86_400 * 1_000_000_000
    await gateway.take(LOW, 0.0)
    assert gateway.raised == [f"{SENSOR}/low"]


@pytest.mark.parametrize(("far_s", "problem"), [(10 * YEAR, "ahead"), (2 * HOUR, "ahead"), (-14 * YEAR, "behind")])
async def test_j2_a_live_time_that_is_far_off_may_raise_says_so_and_never_ends(far_s, problem):
    gateway = Gateway()
    await gateway.take(FINE, float(far_s))
    assert gateway.alerts._newest == {}, "a first look that finds all well ends alarms, too"
    await gateway.take(LOW, float(far_s) + 100)
    assert gateway.raised == [f"{SENSOR}/low"]
    assert "the device's clock is probably wrong: it says 20" in gateway.text
    assert abs(gateway.alerts.active()[0].at - datetime.now(UTC)) < timedelta(minutes=1)
    await gateway.take(FINE, float(far_s) + 200)
    assert gateway.raised == [f"{SENSOR}/low"]
    for record in gateway.told:
        assert (record.at_from, record.at_problem) == ("device", problem)
        assert abs(record.received_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert gateway.intake.times.problems == {problem: 3}
    await gateway.take(FINE, 0.0)
    assert gateway.raised == []


@pytest.mark.parametrize("at", [None, ..., "1970-01-01T00:00:07Z"])
async def test_j2_what_waited_at_the_broker_without_a_time_may_raise_and_never_ends(at):
    gateway = Gateway()
    await gateway.take(FINE, at, queued=True)
    assert gateway.alerts._newest == {}
    await gateway.take(LOW, at, queued=True)
    assert gateway.raised == [f"{SENSOR}/low"]
    assert "it was queued at the MQTT broker" in gateway.text
    await gateway.take(FINE, at, queued=True)
    assert gateway.raised == [f"{SENSOR}/low"]
    assert {record.at_problem for record in gateway.told} == {"queued"}
    await gateway.take(FINE, at)
    assert gateway.raised == []


async def test_j2_what_waited_at_the_broker_without_a_time_being_expected_says_so_too():
    gateway = Gateway(at=None)
    await gateway.take(LOW, queued=True)
    assert gateway.told[0].at_problem == "queued"


@pytest.mark.parametrize("far_s", [10 * YEAR, 2 * HOUR, -2 * HOUR, -14 * YEAR])
async def test_j3_a_time_at_one_distance_from_ours_is_a_wrong_clock_and_its_values_are_of_now(far_s):
    gateway = Gateway()
    for _ in range(4):
        await gateway.take(LOW, float(far_s), after_s=6)
    assert gateway.raised == [f"{SENSOR}/low"]
    await gateway.take(FINE, float(far_s), after_s=6)
    assert gateway.raised == []
    await gateway.take(LOW, float(far_s), after_s=6)
    assert "the device's clock is" in gateway.text
    assert gateway.told[-1].at_problem == "wrong_clock"
    assert gateway.told[-1].received_at is not None
    events = [json.loads(one.value) for one in gateway.records if one.topic == "system-events"]
    assert [event["event"] for event in events] == ["device_clock_wrong"]
    assert events[0]["data"]["sensor_id"] == SENSOR
    assert abs(events[0]["data"]["ahead_s"] - far_s) < 5
    assert set(gateway.intake.times.wrong()) == {SENSOR}
    await gateway.take(FINE, 0.0)
    assert gateway.raised == []
    assert gateway.intake.times.wrong() == {}, "it was set"
    await gateway.take(FINE, 0.0, after_s=70)
    assert gateway.intake.times.clocks == {}


async def test_j3_two_probes_of_one_name_are_both_judged_and_the_wrong_clock_is_told_once():
    gateway = Gateway()
    for number in range(40):
        await gateway.take(FINE, 0.0, after_s=3)
        await gateway.take(FINE if number < 20 else LOW, -120.0, after_s=3)
        assert gateway.raised == ([] if number < 20 else [f"{SENSOR}/low"])
    assert len([one for one in gateway.records if one.topic == "system-events"]) == 1


async def test_j3_a_clock_set_back_within_what_is_fresh_mutes_no_alarm():
    gateway = Gateway()
    await gateway.take(FINE, 0.0)
    for _ in range(4):
        await gateway.take(LOW, -300.0, after_s=6)
    assert gateway.raised == [f"{SENSOR}/low"]


async def test_j3_a_backlog_read_out_is_no_clock():
    gateway = Gateway()
    await gateway.take(LOW, 0.0)
    for age_s in range(7_200, 3_600, -1):
        await gateway.take(FINE, -float(age_s), after_s=0.02)
    assert gateway.raised == [f"{SENSOR}/low"]
    assert gateway.intake.times.wrong() == {}


async def test_j5_a_retained_message_is_judged_by_its_own_time_only():
    gateway = Gateway()
    for at in (None, ..., 7):
        assert (await gateway.take(LOW, at, retained=True)).doubt == Doubt("age_unknown", retained=True)
    for at in (-float(YEAR), -3_600.0, float(YEAR)):
        for _ in range(4):
            await gateway.take(LOW, at, retained=True, after_s=6)
    assert gateway.alerts._newest == {}
    assert [record.at_problem for record in gateway.told] == ["age_unknown"] * 3 + [None] * 8 + ["ahead"] * 4
    assert gateway.intake.stats.not_judged == {"retained": 15}
    await gateway.take(LOW, -60.0, retained=True)
    assert gateway.raised == [f"{SENSOR}/low"]


@pytest.mark.parametrize("far_s", [56 * YEAR, HOUR, -HOUR, -14 * YEAR])
async def test_j6_while_our_own_clock_is_not_trusted_nothing_is_passed_over_or_marked(far_s):
    gateway = Gateway(trusted=False)
    await gateway.take(LOW, float(far_s))
    assert gateway.raised == [f"{SENSOR}/low"]
    assert "the gateway's own clock is not set" in gateway.text
    await gateway.take(FINE, float(far_s) + 60)
    assert gateway.raised == [f"{SENSOR}/low"]
    for _ in range(4):
        await gateway.take(FINE, float(far_s) + 120, after_s=6)
    assert gateway.raised == []
    assert {(record.at_from, record.at_problem) for record in gateway.told} == {("device", None)}
    assert gateway.intake.times.problems == {}


@pytest.mark.parametrize("step_s", [-40.0, -17.0, 17.0], ids=["stands still", "slow", "jumps"])
async def test_j7_a_clock_that_keeps_all_readings_too_old_mutes_no_alarm(step_s):
    gateway = Gateway()
    for number in range(4):
        await gateway.take(LOW, -HOUR + number * step_s, after_s=40)
        assert gateway.raised == ([] if number < 2 else [f"{SENSOR}/low"])
    assert "the device's clock is probably wrong" in gateway.text
    await gateway.take(FINE, -HOUR + 4 * step_s, after_s=40)
    assert gateway.raised == [f"{SENSOR}/low"]
    await gateway.take(FINE, 0.0)
    assert gateway.raised == []
    await gateway.take(LOW, -HOUR + 5 * step_s, after_s=40)
    await gateway.take(LOW, -HOUR + 6 * step_s, after_s=80)
    assert gateway.raised == [], "there is a reading of now"


async def test_j7_a_backlog_that_takes_minutes_raises_nothing():
    gateway = Gateway()
    for age_s in range(7_200, 3_600, -60):
        await gateway.take(LOW, -float(age_s), after_s=20)
    assert gateway.raised == []


def test_a_probes_clock_is_steady_after_three_readings_and_ten_seconds_and_follows_its_drift():
    clock = ProbeClock()
    assert [clock.look(-500.0, at) for at in (0.0, 1.0, 2.0, 9.9)] == [False] * 4
    assert clock.look(-500.5, 10.0)
    assert clock.look(-501.0, 11.0)
    for step in range(1_000):
        assert clock.look(-500.5 - step / 100, 12.0 + step)
    assert not clock.look(-400.0, 2_000.0)
    assert clock.look(-510.5, 2_001.0), "one that was out of line changes nothing"


def test_two_readings_are_no_proof_however_far_apart():
    clock = ProbeClock()
    assert not clock.look(-500.0, 0.0)
    assert not clock.look(-500.0, 3_600.0)
    assert clock.look(-500.0, 7_200.0)


async def test_clocks_of_strangers_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(times, "_MOST_CLOCKS", 10)
    gateway = Gateway()
    for number in range(50):
        await gateway.take(LOW, float(YEAR), topic=b"farm/t%d/ph" % number)
    assert len(gateway.intake.times.clocks) == 10
    for _ in range(4):
        await gateway.take(LOW, float(YEAR), after_s=6)
    assert set(gateway.intake.times.wrong()) == {SENSOR}, "one with limits is looked at all the same"


def test_readings_with_another_trouble_have_aggregates_of_their_own():
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    doubts = [None, Doubt("missing"), Doubt("missing"), Doubt("wrong_clock", received_at=at)]
    readings = [
        Reading(SENSOR, "oxygen", 7.0 + number, "mg/L", "t1", "site", at, False, 0, None, doubt)
        for number, doubt in enumerate(doubts)
    ]
    minute = Minutes.begin(int(at.timestamp() * 1_000))
    records = [
        SimpleNamespace(value=one.value, key=one.key, headers=(*one.headers, ("ce_id", b"log-%d" % number)))
        for number, one in enumerate(Encoder("gw-1", "site").readings(readings))
    ]
    assert minute.add(records)
    found = [json.loads(one.value) for one in minute.envelopes(0)]
    assert [(one.get("at_problem"), one["count"]) for one in found] == [(None, 1), ("missing", 2), ("wrong_clock", 1)]
