"""The whole daemon beside an MQTT broker that closes connections, and one that forgets sessions."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from paho.mqtt import publish as once

from tests.support.daemon import EXECUTABLE, Daemon, document
from tests.support.listener import Listener
from tests.support.mosquitto import Mosquitto
from tests.support.proxy import Proxy

pytestmark = pytest.mark.broker

OXYGEN = {"id": "t1_oxygen", "type": "oxygen", "unit": "mg/L", "tank": "t1", "limits": {"low": 5}}


def gateway(port: int) -> Daemon:
    return Daemon(lambda folder: document(mqtt_port=port, kafka="127.0.0.1:1", folder=folder, sensors=[OXYGEN]))


def test_connections_that_are_closed_again_and_again_are_suspected_aloud_and_alarms_sound():
    with (
        Mosquitto() as broker,
        Proxy(broker.host, broker.port) as balancer,
        gateway(balancer.port) as daemon,
        Listener(broker.host, broker.port) as farm,
    ):
        daemon.start()
        for number in range(4):
            daemon.until(lambda least=number: balancer.connections > least, "connected once more")
            daemon.until_ready()
            balancer.cut()
        _, suspicion = farm.wait_for_alarm("mqtt/barge/unsteady")
        assert "again and again" in suspicion["text"]
        (unit,) = [unit for unit in daemon.health()["units"] if unit["name"] == "mqtt:barge"]
        assert unit["state"] != "failed"
        assert "again and again" in unit["reason"]
        daemon.until_ready()
        once.single("farm/s/t1/oxygen", "2.0", qos=1, hostname=broker.host, port=broker.port)
        farm.wait_for_alarm("t1_oxygen/low")
        assert "does another client use the client id" in daemon.output
        assert daemon.stop() == 0


def test_a_session_that_the_broker_lost_meanwhile_is_told_upstream():
    with Mosquitto() as broker, gateway(broker.port) as daemon:
        daemon.start().until_ready()
        daemon.kill()
        broker.kill()
        broker.database.unlink(missing_ok=True)
        broker.start()
        daemon.start().until_ready()
        environment = {**os.environ, "TIDEGATE_CONFIG": str(daemon.config_file)}

        def told() -> list[str]:
            command = [str(EXECUTABLE), "log", "tail", "--json", "-n", "50"]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
            rows = [json.loads(line) for line in done.stdout.splitlines()]
            bodies = [row["value"] if isinstance(row["value"], dict) else json.loads(row["value"]) for row in rows]
            return [body["source"] for body in bodies if body.get("event") == "session_lost"]

        daemon.until(told, "an event of it")
        assert told() == ["mqtt:barge"]
        assert daemon.output.count("the broker no longer has our session") == 1
        assert daemon.stop() == 0
