"""What real brokers and devices send, and what becomes of it: alarms heard on the farm, records in the log."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from paho.mqtt import publish as once

from tests.support.daemon import EXECUTABLE, Daemon, document
from tests.support.listener import Listener
from tests.support.mosquitto import DEPLOYED, Mosquitto

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.broker

TIMED = {"topic": "timed/{tank}/{metric}", "payload": {"format": "json", "value": "v", "at": "t", "unit": "u"}}
PLAIN = {"topic": "plain/{tank}/{metric}"}
PAIR = {
    "topic": "pair/{tank}",
    "payload": {"format": "json", "value": "do"},
    "sensor_id": "pair",
    "sensor_type": "oxygen",
}
RADIO = {
    "topic": "radio/events",
    "payload": {"format": "json", "value": "c"},
    "sensor_id": "{id}",
    "sensor_type": "air",
    "tank": "t1",
}
OXYGEN = [f"t{number}_oxygen" for number in range(1, 7)]


def configuration(port: int, folder: Path) -> dict[str, Any]:
    sensors = [
        {"id": name, "type": "oxygen", "unit": "mg/L", "tank": name[:2], "limits": {"low": 5}}
        for name in [*OXYGEN, "pair"]
    ]
    sensors.append(
        {"id": "t1_conductivity", "type": "conductivity", "unit": "uS/cm", "tank": "t1", "limits": {"high": 1_000}}
    )
    return document(
        mqtt_port=port,
        kafka="127.0.0.1:1",
        folder=folder,
        subscriptions=[TIMED, PLAIN, PAIR, RADIO],
        sensors=sensors,
    )


class Barge:
    """A mosquitto, the daemon, and who hears alarms; Kafka cannot be reached."""

    def __init__(self, broker: Mosquitto, daemon: Daemon, listener: Listener) -> None:
        self.broker = broker
        self.daemon = daemon
        self.listener = listener
        self.asked = 0

    def publish(self, topic: str, payload: Any, *, retain: bool = False) -> None:
        """Publish; done at the broker's acknowledgement."""
        body = payload if isinstance(payload, str | bytes) else json.dumps(payload, ensure_ascii=False)
        once.single(topic, body, qos=1, retain=retain, hostname=self.broker.host, port=self.broker.port)

    def all_judged(self) -> None:
        """Wait until what was published before is judged: a sensor's own alarm, which comes after it, is heard."""
        self.asked += 1
        raised = self.asked % 2 == 1
        self.publish("plain/t6/oxygen", "1" if raised else "9")
        self.listener.wait_for_alarm("t6_oxygen/low", "raised" if raised else "cleared")

    def newest(self, sensor: str) -> dict[str, Any] | None:
        """The newest word of a sensor's alarm, or None."""
        found = [
            json.loads(body)
            for _, topic, body in self.listener.heard
            if topic.startswith(f"tidegate/alerts/{sensor}/")
        ]
        return found[-1] if found else None

    def records(self, sensor: str) -> list[dict[str, Any]]:
        """A sensor's readings in the log."""
        tail = subprocess.run(
            [EXECUTABLE, "log", "tail", "--json", "-n", "500"],
            env={**os.environ, "TIDEGATE_CONFIG": str(self.daemon.config_file)},
            capture_output=True,
            text=True,
            check=True,
        )
        rows = [json.loads(line) for line in tail.stdout.splitlines()]
        bodies = [row["value"] if isinstance(row["value"], dict) else json.loads(row["value"]) for row in rows]
        return [body for body in bodies if body.get("sensor_id") == sensor]


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def test_no_alarm_is_lost_for_a_time_or_a_neighbour_and_none_is_raised_or_ended_by_what_is_not_of_now():
    with Mosquitto(conf=DEPLOYED) as broker, Daemon(lambda folder: configuration(broker.port, folder)) as daemon:
        once.single("timed/t4/oxygen", '{"v":3.1,"t":"2025-12-01T06:00:00Z"}', 1, True, broker.host, broker.port)
        once.single("plain/t4/oxygen", "3.2", 1, True, broker.host, broker.port)
        with Listener(broker.host, broker.port) as listener:
            barge = Barge(broker, daemon, listener)
            daemon.start().until_ready()

            # A clock that was never set, and no time at all.
            barge.publish("timed/t1/oxygen", {"v": 2.0, "t": "1970-01-01T00:00:07Z"})
            listener.wait_for_alarm("t1_oxygen/low")
            barge.publish("timed/t1/oxygen", {"v": 8.0})
            listener.wait_for_alarm("t1_oxygen/low", "cleared")

            # A backlog of an hour ago behind an alarm of now.
            barge.publish("timed/t2/oxygen", {"v": 3.0, "t": ago(0)})
            listener.wait_for_alarm("t2_oxygen/low")
            barge.publish("timed/t2/oxygen", {"v": 7.1, "t": ago(3_600)})
            barge.publish("timed/t2/oxygen", {"v": 7.2, "t": ago(3_540)})

            # A clock years ahead.
            barge.publish("timed/t3/oxygen", {"v": 8.0, "t": "2036-02-07T06:28:16Z"})
            barge.publish("timed/t3/oxygen", {"v": 2.0, "t": "2036-02-07T06:28:17Z"})
            _, alert = listener.wait_for_alarm("t3_oxygen/low")
            assert "the device's clock is probably wrong: it says 2036-02-07" in alert["text"]
            barge.publish("timed/t3/oxygen", {"v": 8.0, "t": "2036-02-07T06:28:18Z"})

            # A neighbour that failed; a unit in the device's own spelling; a name out of the payload.
            barge.publish("pair/t1", '{"do":2.0,"temp":nan}\0')
            listener.wait_for_alarm("pair/low")
            barge.publish("timed/t1/conductivity", {"v": 4_150, "u": "\u00b5S/cm", "t": ago(0)})
            listener.wait_for_alarm("t1_conductivity/high")
            barge.publish("radio/events", {"id": 14937, "c": 7.5})

            barge.all_judged()
            assert barge.newest("t2_oxygen")["state"] == "raised"
            assert barge.newest("t3_oxygen")["state"] == "raised"
            assert barge.newest("t4_oxygen") is None, "a message retained since last winter says nothing of now"
            daemon.until(lambda: barge.records("14937"), "the log has it all")
            assert [(one["at_from"], one.get("at_problem")) for one in barge.records("t1_oxygen")] == [
                ("gateway", "not_set"),
                ("gateway", "missing"),
            ]
            assert [one["value"] for one in barge.records("t2_oxygen")] == [3.0, 7.1, 7.2]
            assert {(one["at_from"], one["at_problem"]) for one in barge.records("t3_oxygen")} == {
                ("device", "ahead")
            }
            assert {(one["value"], one.get("at_problem")) for one in barge.records("t4_oxygen")} == {
                (3.1, None),
                (3.2, "age_unknown"),
            }
            assert [one["unit"] for one in barge.records("t1_conductivity")] == ["uS/cm"]
            assert daemon.total("tidegate_at_problems_total", reason="not_set") == 1
            assert daemon.total("tidegate_at_problems_total", reason="ahead") == 3
            assert daemon.total("tidegate_not_judged_total", reason="late") == 2
            assert daemon.total("tidegate_not_judged_total", reason="retained") == 2
            said = subprocess.run(
                [EXECUTABLE, "status", "--config", str(daemon.config_file)],
                capture_output=True,
                text=True,
                check=False,
            )
            assert "not_set (1)" in said.stdout, said.stdout

            # What waits at the broker while the gateway is away: with its time, and without.
            assert daemon.stop() == 0
            listener.heard.clear()
            barge.publish("timed/t2/oxygen", {"v": 3.0, "t": ago(0)})
            barge.publish("timed/t2/oxygen", {"v": 7.4, "t": ago(3_000)})
            barge.publish("plain/t5/oxygen", "2.0")
            barge.publish("plain/t5/oxygen", "8.0")
            daemon.start().until_ready()
            listener.wait_for_alarm("t2_oxygen/low")
            _, alert = listener.wait_for_alarm("t5_oxygen/low")
            assert "it was queued at the MQTT broker" in alert["text"]
            daemon.until(lambda: len(barge.records("t5_oxygen")) == 2, "the log has both")
            assert barge.newest("t2_oxygen")["state"] == "raised"
            assert barge.newest("t5_oxygen")["state"] == "raised"
            assert {one["at_problem"] for one in barge.records("t5_oxygen")} == {"queued"}
            assert daemon.stop() == 0
