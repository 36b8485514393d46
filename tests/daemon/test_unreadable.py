"""Messages that cannot be read, as a technician finds them: in the journal, in status, and upstream."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.support.daemon import EXECUTABLE, Daemon, document
from tests.support.mosquitto import Mosquitto
from tests.support.publisher import Publisher

pytestmark = pytest.mark.broker


def test_each_bad_topic_is_named_in_journal_status_and_events():
    subscriptions = [
        {"topic": "farm/{tank}/{metric}", "unit": "mg/L", "payload": {"format": "json", "value": "v"}},
        {"topic": "pump/{tank}/{metric}", "unit": "1"},
    ]
    with Mosquitto() as mosquitto:

        def config(folder):
            return document(mqtt_port=mosquitto.port, kafka="127.0.0.1:1", folder=folder, subscriptions=subscriptions)

        with Daemon(config) as daemon, Publisher(mosquitto.host, mosquitto.port, "probes") as probes:
            daemon.start().until_ready()
            for number in range(20):
                probes.publish(number, "farm/t9/oxygen", b'{"v":"n/a"}')
            probes.publish(20, "farm/t1/oxygen", b'{"v":"n/a"}')
            probes.publish(21, "farm/t1/oxygen", b'{"v":8.5}')
            probes.publish(22, "pump/t1/rpm", b"900")
            daemon.until(lambda: daemon.total("tidegate_mqtt_acknowledged_total") == 23, "acknowledged all")
            for topic in ("farm/t9/oxygen", "farm/t1/oxygen"):
                lines = [line for line in daemon.output.splitlines() if f"message on {topic} cannot be read" in line]
                assert len(lines) == 1, daemon.output
            farm, pump = daemon.health()["subscriptions"]
            assert (farm["readings"], farm["unreadable"]) == (1, 21)
            assert farm["newest_unreadable"]["topic"] == "farm/t1/oxygen"
            assert farm["newest_unreadable"]["reason"]
            assert (pump["readings"], pump["unreadable"], pump["newest_unreadable"]) == (1, 0, None)
            told = subprocess.run(
                [EXECUTABLE, "log", "--state-dir", str(daemon.state), "tail", "--json", "-n", "50"],
                capture_output=True,
                text=True,
                check=True,
            )
            events = [json.loads(line)["value"] for line in told.stdout.splitlines()]
            assert {event["data"]["topic"] for event in events if event.get("event") == "payload_unreadable"} == {
                "farm/t9/oxygen",
                "farm/t1/oxygen",
            }
