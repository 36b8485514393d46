"""Which brokers this machine can run, and what each of them guarantees."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.amqtt import Amqtt
from tests.support.broker import BrokerError
from tests.support.kafka import ApacheKafka, Tansu, jars
from tests.support.mosquitto import DEPLOYED, Mosquitto, executable

if TYPE_CHECKING:
    from contextlib import ExitStack


@dataclass(frozen=True, slots=True)
class Brokers:
    """Both, running."""

    mqtt: Mosquitto | Amqtt
    kafka: ApacheKafka | Tansu

    @property
    def environment(self) -> dict[str, str]:
        """What config.yaml needs to be told about them."""
        return {
            "TIDEGATE_MQTT_HOST": self.mqtt.host,
            "TIDEGATE_MQTT_PORT": str(self.mqtt.port),
            "TIDEGATE_MQTT_VERSION": "5" if isinstance(self.mqtt, Mosquitto) else "3.1.1",
            "TIDEGATE_KAFKA": self.kafka.bootstrap,
            "TIDEGATE_CREATE_TOPICS": "true",
            "TIDEGATE_DELIVERY": "exactly_once" if isinstance(self.kafka, ApacheKafka) else "at_least_once",
        }


def start(stack: ExitStack) -> Brokers:
    """Start the best that there is, saying first what it is and what it guarantees.

    Raises:
        BrokerError: a broker that should run here does not.
    """
    kafka = _kafka()
    mqtt = _mqtt()
    print(f"{_kafka_says(kafka)} MQTT: {_mqtt_says(mqtt)}", flush=True)
    return Brokers(stack.enter_context(mqtt), stack.enter_context(kafka))


def _kafka() -> ApacheKafka | Tansu:
    if not ApacheKafka.available():
        return Tansu()
    try:
        if sys.stderr.isatty():
            print("looking for Apache Kafka's jars (44 MB where they must be fetched) …", end="\r", file=sys.stderr)
        jars()
    except BrokerError as error:
        print(f"Apache Kafka's jars cannot be had, so Tansu stands in: {str(error)[:200]}", file=sys.stderr)
        return Tansu()
    return ApacheKafka()


def _kafka_says(kafka: ApacheKafka | Tansu) -> str:
    if isinstance(kafka, ApacheKafka):
        return "Kafka: Apache Kafka, one node: every record arrives exactly once, over kills and outages."
    return (
        "Kafka: Tansu, in memory, for there is no Java and Maven here: every record arrives at least once; "
        "it has no idempotent producers."
    )


def _mqtt() -> Mosquitto | Amqtt:
    try:
        executable()
    except BrokerError:
        return Amqtt()
    return Mosquitto(conf=DEPLOYED)


def _mqtt_says(mqtt: Mosquitto | Amqtt) -> str:
    if isinstance(mqtt, Mosquitto):
        return "mosquitto, on the configuration of deploy/."
    return "amqtt, for mosquitto is not installed; it forgets what it holds when it ends."
