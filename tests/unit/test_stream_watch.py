"""A stream that goes wrong raises an alert: most of it dropped, held back by the broker, or doubled."""

from __future__ import annotations

import pytest

from agent.cli.status import _brokers
from agent.pipeline.streams import StreamWatch, described
from drivers.mqtt import MqttStats
from drivers.mqtt.delivery.window import Window
from drivers.mqtt.topics.sources import Tally

TOPIC = "farm/+/t1/#"
DROPPED = "mqtt/barge/dropped/farm/*/t1/**"


class Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Connection:
    def __init__(self, clock):
        self.stats = MqttStats()
        self.window = Window(clock)
        self.counts = (0, 0)
        self.connected = True

    def by_subscription(self):
        return {TOPIC: Tally(*self.counts)}


class Alerts:
    def __init__(self):
        self.said = []

    def say(self, alert):
        self.said.append((alert.alert_id, alert.state.value, alert.text))

    def states(self, alert_id):
        return [state for name, state, _ in self.said if name == alert_id]


@pytest.fixture
def made():
    clock, alerts = Clock(), Alerts()
    connection = Connection(clock)
    watch = StreamWatch(lambda: {"barge": connection}, alerts, "home", clock)
    watch.look()
    return clock, alerts, connection, watch


def after(made, readings, dropped, seconds=30):
    clock, _, connection, watch = made
    clock.now_s += seconds
    connection.counts = connection.counts[0] + readings, connection.counts[1] + dropped
    watch.look()


def test_a_topic_of_which_most_is_dropped_raises_an_alert_until_it_is_read_again(made):
    alerts = made[1]
    after(made, 40, 60)
    assert alerts.states(DROPPED) == []
    after(made, 0, 9)
    after(made, 0, 1)
    assert alerts.states(DROPPED) == ["raised"]
    assert "10 of the last 10 messages" in alerts.said[-1][2]
    after(made, 0, 50)
    after(made, 30, 10)
    assert alerts.states(DROPPED) == ["raised", "cleared"]


def test_what_a_broker_retains_is_dropped_once_and_is_no_such_stream(made):
    after(made, 0, 30)
    after(made, 100, 0)
    after(made, 0, 30)
    assert "raised" not in made[1].states(DROPPED)


def test_a_broker_that_holds_back_for_a_minute_is_told_with_its_window_and_ceiling(made):
    clock, alerts, connection, watch = made
    for _ in range(310):
        clock.now_s += 0.001
        connection.window.came(10)
        clock.now_s += 0.199
        connection.window.acknowledged(10)
    watch.look()
    assert alerts.states("mqtt/barge/window") == ["raised"]
    assert "only 10 unacknowledged messages" in alerts.said[-1][2]
    assert "50 a second" in alerts.said[-1][2]
    assert described(connection)["ceiling_per_s"] == pytest.approx(50, rel=0.01)
    connection.connected = False
    for _ in range(3):
        clock.now_s += 60
        watch.look()
    connection.connected = True
    watch.look()
    assert alerts.states("mqtt/barge/window") == ["raised"], "nothing is known while it is away"
    clock.now_s += 60
    watch.look()
    assert alerts.states("mqtt/barge/window") == ["raised", "cleared"]


def test_repetitions_without_a_mark_are_told_with_the_cure(made):
    clock, alerts, connection, watch = made
    connection.stats.suspected = 40
    watch.look()
    assert alerts.states("mqtt/barge/repeats")[-1] == "raised"
    assert "40 readings are probably stored twice" in alerts.said[-1][2]
    assert "payload.counter" in alerts.said[-1][2]
    clock.now_s += 3_599
    watch.look()
    assert alerts.states("mqtt/barge/repeats") == ["raised"]
    clock.now_s += 1
    watch.look()
    assert alerts.states("mqtt/barge/repeats") == ["raised", "cleared"]


def test_a4_nothing_is_cleared_before_it_was_looked_at_for_long_enough(made):
    clock, alerts, _, watch = made
    clock.now_s += 59
    watch.look()
    assert alerts.said == []


def test_another_driver_of_the_same_name_counts_from_nothing(made):
    alerts, connection = made[1], made[2]
    after(made, 1_000, 0)
    connection.counts = 0, 0
    after(made, 0, 0)
    after(made, 0, 60)
    after(made, 0, 60)
    assert alerts.states(DROPPED)[-1] == "raised"


def test_a_connection_that_is_configured_again_later_begins_from_nothing(made):
    clock, alerts, connection, _ = made
    connections = {"barge": connection}
    watch = StreamWatch(lambda: connections, alerts, "home", clock)
    watch.look()
    connection.stats.suspected = 5
    watch.look()
    del connections["barge"]
    watch.look()
    connections["barge"] = Connection(clock)
    watch.look()
    connections["barge"].stats.suspected = 2
    watch.look()
    assert alerts.states("mqtt/barge/repeats") == ["raised", "raised"]


def test_status_shows_the_window_the_ceiling_and_what_came_again():
    broker = {"window": 10, "ceiling_per_s": 49.8, "redelivered": 7, "recognised": 5, "probably_twice": 2}
    silent = {"window": None, "ceiling_per_s": None, "redelivered": 0, "recognised": 0, "probably_twice": 0}
    shown = "\n".join(_brokers({"mqtt_brokers": {"barge": broker, "flaky_sink": silent}}))
    assert "MAX RATE" in shown
    assert shown.splitlines()[-1].split() == ["mqtt:barge", "10", "50/s", "7", "5", "2"]
    assert "flaky_sink" not in shown
    assert _brokers({}) == []
