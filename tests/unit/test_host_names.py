"""Names that the schema lets pass and that Python refuses in its own way: told as what they are, never a crash."""

import pytest

import drivers
import sync.values
from agent.http import HttpServer
from drivers.mqtt import MqttSettings
from drivers.mqtt.connection.sockets import connect
from sync.kafka import Traffic
from sync.kafka.connection.connector import Connector
from sync.kafka.settings import KafkaSettings

NAMES = ["a..b", "a" * 64 + ".example"]
pytestmark = pytest.mark.parametrize("name", NAMES)


async def test_of_an_mqtt_broker(name):
    with pytest.raises(drivers.Misconfigured, match="cannot be the name") as told:
        await connect(MqttSettings("barge", "client", "site", host=name))
    assert told.value.field == "host"


async def test_of_a_kafka_broker(name):
    with pytest.raises(sync.values.NotReady, match="cannot be the name"):
        await Connector(KafkaSettings((f"{name}:9092",), "client"), Traffic()).dial(name, 9092, "control")


async def test_of_http(name, tmp_path):
    with pytest.raises(sync.values.Misconfigured, match="cannot be the name") as told:
        await HttpServer(name, 0, tmp_path, None).run()
    assert told.value.field == "http.host"
