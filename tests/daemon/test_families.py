"""Devices of several families on one broker: their values become readings, their faults never alarms."""

from __future__ import annotations

import json
import subprocess

import pytest

from drivers.mqtt.codecs.protobuf import fields_of
from tests.fuzz.mutations import cases, payload
from tests.support.daemon import EXECUTABLE, Daemon, document
from tests.support.listener import Listener
from tests.support.mosquitto import Mosquitto
from tests.support.publisher import Publisher

pytestmark = pytest.mark.broker

SENSORS = [
    {"id": "Becken Süd oben", "type": "temperature", "unit": "degC", "tank": "Becken Süd", "limits": {"low": 4}},
    {"id": "zigbee", "type": "temperature", "unit": "degC", "tank": "t1"},
    {"id": "pack", "type": "oxygen", "unit": "mg/L", "tank": "t1", "limits": {"low": 5}},
    {"id": "spark", "type": "oxygen", "unit": "mg/L", "tank": "t1"},
    {"id": "lora", "type": "battery", "unit": "V", "tank": "t1"},
    {"id": "do1", "type": "oxygen", "unit": "mg/L", "tank": "t1"},
]
SUBSCRIPTIONS = [
    {
        "topic": "tele/+/SENSOR",
        "payload": {"format": "tasmota", "at_zone": "UTC"},
        "channels": [{"device": "pond", "channel": "DS18B20.3C01.Temperature", "sensor_id": "Becken Süd oben"}],
    },
    {
        "topic": "zigbee2mqtt/#",
        "payload": {"format": "zigbee2mqtt"},
        "channels": [{"channel": "temperature", "sensor_id": "zigbee"}],
    },
    {
        "topic": "farm/senml",
        "payload": {"format": "senml"},
        "channels": [{"device": "urn:dev:do", "channel": "value", "sensor_id": "pack"}],
    },
    {
        "topic": "spBv1.0/#",
        "payload": {"format": "sparkplug"},
        "channels": [{"device": "farm/gw1", "channel": "oxygen", "sensor_id": "spark"}],
    },
    {
        "topic": "application/+/device/+/event/up",
        "payload": {"format": "chirpstack", "layout": [{"channel": "bat", "type": "u16", "at": 0, "scale": 0.001}]},
        "channels": [{"channel": "bat", "sensor_id": "lora"}],
    },
    {
        "topic": "buoy",
        "payload": {"format": "json"},
        "channels": [{"channel": "probes.p1", "sensor_id": "do1"}],
    },
    {"topic": "any/+", "payload": {"format": "json", "each": "m"}, "sensor_id": "{device}_{channel}",
     "sensor_type": "{channel}", "tank": "t2"},
]  # fmt: skip


def tasmota(celsius, at="2026-01-01T00:00:00"):
    return json.dumps({"Time": at, "DS18B20": {"Id": "3C01", "Temperature": celsius}, "TempUnit": "C"}).encode()


def test_values_of_all_families_become_readings_and_a_fault_is_no_alarm():
    births = cases("sparkplug")[0]["messages"]
    birth, data = (payload(sent["payload"]) for sent in births)
    zigbee = json.dumps({"temperature": 11.5, "linkquality": 80, "last_seen": "2026-09-21T14:13:00Z"}).encode()
    uplink = json.dumps({"deviceInfo": {"devEui": "AB8"}, "fPort": 2, "data": "DPYBAAD//wAA"}).encode()
    sent = [
        ("tele/pond/SENSOR", tasmota(-127)),
        ("tele/pond/SENSOR", tasmota(12.5)),
        ("zigbee2mqtt/probe", zigbee),
        ("zigbee2mqtt/probe", zigbee),
        ("zigbee2mqtt/bridge/state", b"online"),
        ("farm/senml", b'[{"bn":"urn:dev:","n":"do","u":"mg/L","v":2.5},{"n":"other","v":1}]'),
        ("spBv1.0/farm/NDATA/gw1", data),
        ("spBv1.0/farm/NBIRTH/gw1", birth),
        ("spBv1.0/farm/NDATA/gw1", data),
        ("application/1/device/a8/event/up", uplink),
        ("buoy", b'{"probes":[{"id":"p2","value":1},{"id":"p1","value":7.1,"unit":"mg/L"}]}'),
        ("buoy", b'{"probes":[{"id":"p1","value":7.0,"unit":"mg/L"},{"id":"p2","value":2}]}'),
        ("any/x", b'{"m":{"ph":7.5,"redox":{"value":210}}}'),
    ]
    with Mosquitto() as mosquitto:

        def config(folder):
            return document(
                mqtt_port=mosquitto.port, kafka="127.0.0.1:1", folder=folder,
                subscriptions=SUBSCRIPTIONS, sensors=SENSORS,
            )  # fmt: skip

        with (
            Daemon(config) as daemon,
            Publisher(mosquitto.host, mosquitto.port, "farm") as farm,
            Listener(mosquitto.host, mosquitto.port, "spBv1.0/+/NCMD/#") as node,
            Listener(mosquitto.host, mosquitto.port, "tidegate/alerts/#") as barge,
        ):
            daemon.start().until_ready()
            for number, (topic, data_sent) in enumerate(sent):
                farm.publish(number, topic, data_sent)
            daemon.until(lambda: daemon.total("tidegate_mqtt_acknowledged_total") == len(sent), "acknowledged all")
            told = subprocess.run(
                [EXECUTABLE, "log", "--state-dir", str(daemon.state), "tail", "--json", "-n", "100"],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            rows = [json.loads(line) for line in told.stdout.splitlines()]
            values = [row["value"] for row in rows if row["topic"] == "sensor-data"]
            brought = [(one["sensor_id"], one["value"], one["unit"]) for one in values]
            assert brought == [
                ("Becken Süd oben", 12.5, "degC"),
                ("zigbee", 11.5, "degC"),
                ("pack", 2.5, "mg/L"),
                ("spark", 7.25, "mg/L"),
                ("spark", 6.5, "mg/L"),
                ("lora", 3.318, "V"),
                ("do1", 7.1, "mg/L"),
                ("do1", 7.0, "mg/L"),
                ("any.x_ph", 7.5, ""),
                ("any.x_redox", 210.0, ""),
            ]
            faults = [row["value"]["text"] for row in rows if row["value"].get("event") == "payload_unreadable"]
            assert any("Becken Süd oben has no value: sensor fault" in text for text in faults), faults
            daemon.until(lambda: node.heard, "asked the node for a birth")
            ((_, topic, asked),) = node.heard
            assert topic == "spBv1.0/farm/NCMD/gw1"
            assert {number for number, _, _ in fields_of(asked)} == {1, 2}
            barge.wait_for(lambda topic, said: said.get("source") == "pack" and said.get("state") == "raised")
            assert not any("Becken" in topic for _, topic, _ in barge.heard)
