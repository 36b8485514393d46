"""MQTT: sensors in over a persistent session, local messages out over the same connection."""

from drivers.mqtt.driver import MqttDriver
from drivers.mqtt.settings import (
    ChannelSettings,
    KnownSensor,
    LayoutField,
    MqttSettings,
    PayloadSettings,
    SubscriptionSettings,
    TlsSettings,
)
from drivers.mqtt.stats import MqttStats

__all__ = [
    "ChannelSettings",
    "KnownSensor",
    "LayoutField",
    "MqttDriver",
    "MqttSettings",
    "MqttStats",
    "PayloadSettings",
    "SubscriptionSettings",
    "TlsSettings",
]
