"""`tidegate probe` on a real broker: what it recognises, and that its configuration is valid and works as it is."""

from __future__ import annotations

import json
import subprocess

import paho.mqtt.client as mqtt
import pytest
import yaml
from paho.mqtt.enums import CallbackAPIVersion

from tests.fuzz.mutations import cases, payload
from tests.support.daemon import EXECUTABLE
from tests.support.mosquitto import Mosquitto

pytestmark = pytest.mark.broker

TOPICS = {
    "tele/pond/SENSOR": b'{"Time":"2026-01-01T00:00:00","DS18B20":{"Id":"3C01","Temperature":12.5},"TempUnit":"C"}',
    "tele/pond/LWT": b"Online",
    "zigbee2mqtt/Becken Süd": b'{"temperature":11.5,"linkquality":80}',
    "farm/senml": b'[{"bn":"urn:dev:","n":"do","u":"mg/L","v":7.5}]',
    "application/1/device/a8/event/up": b'{"deviceInfo":{"devEui":"AB8"},"object":{"PH":"8.1","odd ${X}":1}}',
    "buoy/{1}": b'{"probes":[{"id":"do1","value":7.1,"unit":"mg/L"}]}',
    "tank3/oxygen": b"7.25",
    "log/lines": b"time,oxygen [mg/L]\n2026-01-01T00:00:00Z,7.1\n",
    "node/sensor/water_temperature/state": b"12.1",
    "shellies/s1/sensor/temperature": b"22.5",
    "homeassistant/sensor/x/config": b'{"uniq_id":"x_ph","stat_t":"x/state","unit_of_meas":"pH"}',
    "te/device/main///m/environment": b'{"temperature":25}',
    "some/words": b"hello there",
    "some/bytes": b"\xff\x00\x01",
}  # fmt: skip


@pytest.fixture
def broker():
    with Mosquitto() as mosquitto:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
        client.connect(mosquitto.host, mosquitto.port)
        client.loop_start()
        birth = payload(cases("sparkplug")[0]["messages"][0]["payload"])
        for topic, data in {**TOPICS, "spBv1.0/farm/NBIRTH/gw1": birth}.items():
            client.publish(topic, data, qos=1, retain=True).wait_for_publish(10)
        yield mosquitto
        client.loop_stop()
        client.disconnect()


def tidegate(*arguments, **more):
    return subprocess.run([EXECUTABLE, *arguments], capture_output=True, text=True, timeout=60, check=False, **more)


def test_a_probe_of_a_broker_writes_a_configuration_that_is_valid_as_it_is(broker):
    found = tidegate("probe", f"{broker.host}:{broker.port}", "--seconds", "3")
    assert found.returncode == 0, found.stderr
    checked = tidegate("check", "--config", "-", "--json", input=found.stdout)
    assert checked.returncode == 0, (checked.stdout, found.stdout)
    config = yaml.safe_load(found.stdout)
    (connection,) = config["mqtt"]
    by_format = {one.get("payload", {}).get("format", "number") for one in connection["subscriptions"]}
    assert by_format >= {
        "tasmota", "zigbee2mqtt", "senml", "chirpstack", "json", "number", "csv", "esphome", "shelly", "thin_edge",
        "sparkplug",
    }  # fmt: skip
    sensors = {one["id"]: (one["type"], one["unit"]) for one in config["sensors"]}
    assert sensors["pond_DS18B20.3C01.Temperature"] == ("temperature", "degC")
    assert sensors["Becken Süd_temperature"] == ("temperature", "degC")
    assert sensors["tank3.oxygen"] == ("oxygen", "mg/L")
    assert sensors["ab8_PH"] == ("ph", "pH")
    for line in (
        "at_zone",
        "? which tank",
        "the device does not say its unit",
        "left out: linkquality",
        "some/words",
    ):
        assert line in found.stdout
    assert "LWT" not in found.stdout


def test_a_broker_that_is_not_there_is_one_line():
    found = tidegate("probe", "127.0.0.1:1", "--seconds", "1")
    assert found.returncode == 1
    assert "127.0.0.1:1" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_silent_broker_gives_a_configuration_all_the_same():
    with Mosquitto() as mosquitto:
        found = tidegate("probe", f"{mosquitto.host}:{mosquitto.port}", "--seconds", "0.5")
    assert found.returncode == 0, found.stderr
    assert "No device was recognised" in found.stdout
    assert tidegate("check", "--config", "-", input=found.stdout).returncode == 0
    assert json.dumps(yaml.safe_load(found.stdout)["mqtt"][0]["subscriptions"]) == "[]"
