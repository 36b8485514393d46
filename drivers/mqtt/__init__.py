"""MQTT: sensors in over a persistent session, local messages out over the same connection."""

from drivers.mqtt.driver import MqttDriver
from drivers.mqtt.settings import KnownSensor, MqttSettings, PayloadSettings, SubscriptionSettings, TlsSettings
from drivers.mqtt.stats import MqttStats

__all__ = [
    "KnownSensor",
    "MqttDriver",
    "MqttSettings",
    "MqttStats",
    "PayloadSettings",
    "SubscriptionSettings",
    "TlsSettings",
]
