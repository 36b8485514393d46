"""Brokers that are away for minutes, connections that do not last, sessions that are lost: what is said of them."""

from __future__ import annotations

import json

import pytest

from agent.app.sources import Sources
from agent.config import parse
from agent.events import Encoder
from agent.pipeline import Alerts, BrokerWatch, Connection, Intake, Outbox
from agent.pipeline.brokers import AWAY_S, KINDS, alert_ids
from agent.supervisor import State, UnitReport
from drivers.mqtt import MqttSettings
from drivers.mqtt.connection.lifetimes import IN_A_ROW, SHORT_S, Lifetimes
from models.host import ModelHost
from sync.log import LogSettings, MemoryLog

REFUSED = "10.0.0.4:1883: connection refused (check that the broker is running and that this is its address)"


class Kept(Outbox):
    """Remembers what was posted."""

    def __init__(self):
        super().__init__(MemoryLog(LogSettings(path="unused", gateway_id="gw-1")))
        self.values = []

    def post(self, envelopes, receipts=()):
        self.values += [json.loads(envelope.value) for envelope in envelopes]
        return super().post(envelopes, receipts)


class Watched:
    def __init__(self):
        self.outbox = outbox = Kept()
        encoder = Encoder("gw-1", "site_001")
        self.alerts = Alerts(outbox, encoder)
        self.connections: list[Connection] = []
        self.watch = BrokerWatch(lambda: self.connections, self.alerts, outbox, encoder, "site_001")

    def look(self, now: float, *connections: Connection) -> dict[str, str]:
        self.connections = list(connections)
        self.watch.look(now)
        return {alert.alert_id: alert.text for alert in self.alerts.active()}


async def test_a_broker_that_is_away_for_minutes_is_an_alert_and_a_restart_is_not():
    watched = Watched()
    down, up = Connection("barge", True, REFUSED), Connection("barge", True, "")
    assert watched.look(0, down) == {}
    assert watched.look(AWAY_S - 1, down) == {}
    assert watched.look(AWAY_S, up) == {}
    assert watched.look(AWAY_S + 1, down) == watched.look(2 * AWAY_S, down) == {}
    assert watched.watch.away == {}
    raised = watched.look(2 * AWAY_S + 1, down)
    mute = "its sensors are not read, and alarms are not published on the farm's network"
    assert raised == {"mqtt/barge/away": f"mqtt:barge is down: {REFUSED}; {mute}"}
    assert watched.watch.away == {"barge": REFUSED}
    assert "farm's network" not in watched.look(3 * AWAY_S, up, Connection("pen", False, REFUSED)).get("x", "")
    assert watched.watch.away == {}
    assert "farm's network" not in watched.look(4 * AWAY_S, up, Connection("pen", False, REFUSED))["mqtt/pen/away"]
    watched.look(4 * AWAY_S + 1, up)
    assert watched.watch.away == {}, "a connection that is no longer configured is not away"
    watched.alerts.end_others(KINDS, alert_ids("barge"), "this connection is no longer configured")
    assert watched.alerts.active() == []
    watched.look(5 * AWAY_S, up, Connection("pen", False, REFUSED))
    assert "mqtt/pen/away" in watched.look(6 * AWAY_S, up, Connection("pen", False, REFUSED))


async def test_a_connection_that_does_not_last_is_an_alert_until_one_does():
    watched = Watched()
    raised = watched.look(0, Connection("barge", True, "", "connections to x end"))
    assert raised == {"mqtt/barge/unsteady": "mqtt:barge: connections to x end"}
    assert watched.look(1, Connection("barge", True, REFUSED)) == raised
    assert watched.look(2, Connection("barge", True, "")) == {}


async def test_a_lost_session_is_an_event_at_once_and_then_one_a_minute(monkeypatch):
    watched = Watched()
    now = 1_000.0
    monkeypatch.setattr("agent.pipeline.brokers.time.monotonic", lambda: now)

    def told() -> list[int]:
        return [row["data"]["times"] for row in watched.outbox.values if row.get("event") == "session_lost"]

    for _ in range(4):
        watched.watch.session_lost("barge")
    assert told() == [1]
    watched.look(now + 59)
    assert told() == [1]
    watched.look(now + 60)
    assert told() == [1, 3]


@pytest.mark.parametrize(
    ("state", "reason", "down"),
    [
        (State.RUNNING, "", ""),
        (State.WAITING, "connection refused", "connection refused (is it there?)"),
        (State.FAILED, "tls: no", "tls: no (is it there?)"),
        (State.STARTING, "", "starting (is it there?)"),
    ],
)
async def test_what_the_supervisor_reports_is_what_a_connection_is(state, reason, down):
    outbox = Outbox(MemoryLog(LogSettings(path="unused", gateway_id="gw-1")))
    encoder = Encoder("gw-1", "site_001")
    alerts = Alerts(outbox, encoder)
    sources = Sources(Intake(outbox, alerts, encoder, lambda *_: None), alerts, outbox, encoder, ModelHost())
    sources.plan(
        parse(
            'gateway: {id: gw-1, site: s}\nkafka: {brokers: ["k:9092"]}\n'
            "mqtt: [{name: barge, local: true}, {name: pen, port: 1884}]\n"
        )
    )
    hint = "is it there?" if down else ""
    reports = [
        UnitReport(name, "source", state, reason, hint, False, 0, 0) for name in ("mqtt:barge", "mqtt:pen", "shipper")
    ]
    assert list(sources.brokers(reports)) == [Connection("barge", True, down), Connection("pen", False, down)]


def test_a_row_of_short_connections_is_unsteady_until_one_lasts_or_the_broker_is_gone():
    lifetimes = Lifetimes(MqttSettings("barge", "gw-1", "s", host="::1"))
    for number in range(IN_A_ROW):
        assert not lifetimes.unsteady(None, float(number))
        lifetimes.ended(number, number + 0.5)
    now = IN_A_ROW - 0.5
    assert lifetimes.unsteady(None, now).startswith("connections to [::1]:1883 end within")
    assert lifetimes.unsteady(now, now + SHORT_S - 1)
    assert not lifetimes.unsteady(now, now + SHORT_S)
    assert not lifetimes.unsteady(None, now + 60), "then it is simply away"
    lifetimes.ended(now, now + SHORT_S)
    assert not lifetimes.unsteady(None, now + SHORT_S)
