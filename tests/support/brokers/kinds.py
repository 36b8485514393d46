"""The brokers of the table: what they are called, how they are made, and how a gateway is configured for each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tests.support.brokers.kafka.apache import ApacheKafka28, ApacheKafka39
from tests.support.brokers.kafka.one_address import Kfake, LinkedTansu
from tests.support.brokers.mqtt import amqtt, artemis, hivemq, mochi, moquette, rumqttd
from tests.support.brokers.mqtt.aedes import FIRST, SECOND, Aedes
from tests.support.kafka import ApacheKafka
from tests.support.mosquitto import DEPLOYED, Mosquitto

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.support.broker import Broker


@dataclass(frozen=True, slots=True)
class MqttKind:
    """An MQTT broker as a gateway meets it; `kept` is how many messages it keeps for one that is away, if it is few.

    With `counter` each reading is JSON with a number that the sensor counts up, and the gateway is told so.
    """

    name: str
    title: str
    make: Callable[[], Broker]
    version: str = "5"
    counter: bool = False
    kept: int | None = None


@dataclass(frozen=True, slots=True)
class KafkaKind:
    """A Kafka broker; `section` goes into the gateway's own."""

    name: str
    title: str
    make: Callable[[], Broker]
    section: Mapping[str, str] = field(default_factory=dict)


def with_counter(kind: MqttKind) -> MqttKind:
    """The same broker, with sensors that count."""
    return replace(kind, name=f"{kind.name}+counter", title=f"{kind.title}, sensors that count", counter=True)


_ARTEMIS = MqttKind("artemis", f"ActiveMQ Artemis {artemis.VERSION}", artemis.Artemis)
_HIVEMQ = MqttKind("hivemq", f"HiveMQ CE {hivemq.VERSION}", hivemq.HiveMq)
_ONE, _TWO = (
    MqttKind("aedes-1", f"aedes {FIRST}", lambda: Aedes(FIRST), version="3.1.1"),
    MqttKind("aedes-2", f"aedes {SECOND}", lambda: Aedes(SECOND)),
)
_MOCHI = MqttKind("mochi", f"mochi-mqtt {mochi.VERSION}", mochi.Mochi)
_RUMQTTD = MqttKind("rumqttd", f"rumqttd {rumqttd.VERSION}", rumqttd.Rumqttd)

MQTT = {
    kind.name: kind
    for kind in (
        MqttKind("mosquitto", "mosquitto, file of `deploy/`", lambda: Mosquitto(conf=DEPLOYED)),
        MqttKind("mosquitto-default", "mosquitto, as it comes, persistence on", Mosquitto),
        MqttKind("amqtt", "amqtt, users with names", amqtt.NamedAmqtt, version="3.1.1"),
        replace(
            _HIVEMQ,
            name="hivemq-within",
            title=f"{_HIVEMQ.title}, within its queue of 1,000: 100 a second, back after 4 s",
            kept=1_000,
        ),
        _HIVEMQ,
        MqttKind("moquette", f"Moquette {moquette.VERSION}", moquette.Moquette, version="3.1.1"),
        _ARTEMIS,
        with_counter(_ARTEMIS),
        _MOCHI,
        with_counter(_MOCHI),
        _ONE,
        with_counter(_ONE),
        _TWO,
        _RUMQTTD,
        with_counter(_RUMQTTD),
    )
}

KAFKA = {
    kind.name: kind
    for kind in (
        KafkaKind("kafka-4.3", "Apache Kafka 4.3.0", ApacheKafka),
        KafkaKind("kafka-3.9", f"Apache Kafka {ApacheKafka39.VERSION}", ApacheKafka39),
        KafkaKind("kafka-2.8", f"Apache Kafka {ApacheKafka28.VERSION}", ApacheKafka28),
        KafkaKind("kfake", "kfake of 2026-09-18", Kfake),
        KafkaKind("tansu", "Tansu, in memory", LinkedTansu, {"delivery": "at_least_once"}),
    )
}
