"""Quality and rules in the real daemon: from MQTT to the alarm on the local broker and the records in Kafka."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.support.consumer import scan
from tests.support.daemon import EXECUTABLE, Daemon, document
from tests.support.listener import Listener
from tests.support.mosquitto import Mosquitto
from tests.support.publisher import Publisher

if TYPE_CHECKING:
    from tests.support.kafka import ApacheKafka

pytestmark = pytest.mark.broker

OXYGEN, BESIDE, OTHER = "t1_oxygen", "t1_oxygen_2", "t2_oxygen"


def sensor(name: str, tank: str) -> dict[str, object]:
    return {"id": name, "type": "oxygen", "unit": "mg/L", "tank": tank, "limits": {"low": 5}}


SECTIONS = {
    "sensors": [sensor(OXYGEN, "t1"), sensor(BESIDE, "t1"), sensor(OTHER, "t2")],
    "quality": [
        {"sensor": OXYGEN, "neighbour": BESIDE, "tolerance": 1, "max_age_s": 60, "clear_after_s": 1},
        {"sensor": BESIDE, "neighbour": OXYGEN, "tolerance": 1, "max_age_s": 60, "clear_after_s": 1},
        {"sensor": OTHER, "high": 20, "stuck_s": 2, "clear_after_s": 1},
    ],
    "rules": [
        {"sensor": OXYGEN, "silent_after_s": 4},
        {
            "sensor": OTHER,
            "unwatched_after_s": 5,
            "forecast_s": 60,
            "trend_s": 2,
            "hold_off_s": 0,
            "clear_after_s": 0,
        },
    ],
    "alerting": {"escalate_after_s": 600},
}


class Probes:
    """Publishes a value for a sensor at QoS 1."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._number = 0

    def say(self, sensor: str, value: float) -> None:
        tank, _, metric = sensor.partition("_")
        self._publisher.publish(self._number, f"farm/site/{tank}/{metric}", f"{value:.3f}")
        self._number += 1


def test_a_probe_that_lies_a_fall_that_is_forecast_and_silence(kafka: ApacheKafka):
    gateway = f"gw-{uuid.uuid4().hex[:8]}"
    kinds = {
        "subscriptions": [{"topic": "farm/{site}/{tank}/{metric}", "unit": "mg/L", "sensor_type": "oxygen"}],
    }
    with (
        Mosquitto() as mosquitto,
        Publisher(mosquitto.host, mosquitto.port, "probes") as publisher,
        Daemon(
            lambda folder: document(
                mqtt_port=mosquitto.port,
                kafka=kafka.bootstrap,
                folder=folder,
                gateway={"id": gateway},
                mqtt=kinds,
                **SECTIONS,
            )
        ) as daemon,
        Listener(mosquitto.host, mosquitto.port) as farm,
    ):
        daemon.start().until_ready()
        probes = Probes(publisher)

        # The probe lies, the one beside it does not: a warning that says so, and its fault.
        probes.say(OXYGEN, 8.0)
        probes.say(BESIDE, 8.1)
        daemon.until(lambda: daemon.total("tidegate_readings_total") == 2, "both heard")
        for _ in range(2):
            probes.say(OXYGEN, 3.0)
        _, alert = farm.wait_for_alarm(f"{OXYGEN}/low")
        assert alert["severity"] == "warning"
        assert "probe suspected" in alert["text"]
        farm.wait_for_alarm(f"{OXYGEN}/fault")
        said = subprocess.run(
            [
                EXECUTABLE, "acknowledge", f"{OXYGEN}/fault", "--by", "kari",
                "--config", str(daemon.config_file),
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (said.returncode, said.stdout) == (0, f"{OXYGEN}/fault: acknowledged\n"), said.stderr
        farm.wait_for(lambda _, one: one.get("acknowledged_by") == "kari")
        # The other one falls as well: it is the water, and an alarm.
        probes.say(BESIDE, 3.1)
        farm.wait_for(lambda _, one: one.get("alert_id") == f"{OXYGEN}/low" and one.get("severity") == "alarm")

        # A value that cannot be is no low oxygen and no high one.
        probes.say(OTHER, 8.0)
        probes.say(OTHER, -127.0)
        _, alert = farm.wait_for_alarm(f"{OTHER}/range")
        assert alert["severity"] == "alarm"

        # A fall is forecast before the limit's alarm, which takes its place.
        value = 8.0
        while value > 4.5:
            value -= 0.1
            probes.say(OTHER, value)
            time.sleep(0.2)
        _, alert = farm.wait_for_alarm(f"{OTHER}/forecast")
        assert "will be below 5 mg/L in about" in alert["text"]
        farm.wait_for_alarm(f"{OTHER}/low")
        farm.wait_for_alarm(f"{OTHER}/forecast", "cleared")
        farm.wait_for_alarm(f"{OTHER}/range", "cleared")
        for number in range(5):
            probes.say(OTHER, 6.0 + number / 10)
        farm.wait_for_alarm(f"{OTHER}/low", "cleared")

        # Nothing comes any more.
        farm.wait_for_alarm(f"{OXYGEN}/silent")
        _, alert = farm.wait_for_alarm("t2/unwatched")
        assert (alert["severity"], alert["tank_id"]) == ("alarm", "t2")
        daemon.until(lambda: daemon.total("tidegate_log_depth_records") == 0, "delivered")
        assert daemon.total("tidegate_doubted_readings_total", quality="bad", reason="range") == 1
        assert daemon.stop() == 0

    async def records_of(topic: str) -> list[dict[str, object]]:
        return [
            json.loads(record.value or b"{}")
            async for chunk in scan(kafka.bootstrap, topic)
            for record in chunk
            if gateway in record.header("ce_source")
        ]

    def records(topic: str) -> list[dict[str, object]]:
        return asyncio.run(records_of(topic))

    data = records("sensor-data")
    bad = [one for one in data if one["value"] == -127.0]
    assert [(one["quality"], one["reasons"]) for one in bad] == [("bad", ["range"])]
    assert {one["quality"] for one in data if one["sensor_id"] == OTHER} == {"good", "bad"}
    assert any(one.get("reasons") == ["neighbour"] for one in data if one["sensor_id"] == OXYGEN)
    alerts = [(one["alert_id"], one["state"]) for one in records("farm-alerts")]
    for kind in ("forecast", "low", "range"):
        assert [state for name, state in alerts if name == f"{OTHER}/{kind}"][:2] == ["raised", "cleared"], alerts
    assert ("t2/unwatched", "raised") in alerts
