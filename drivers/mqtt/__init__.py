"""MQTT: sensors in over a persistent session, local messages out over the same connection."""

from drivers.mqtt.driver import MqttDriver, MqttStats
from drivers.mqtt.settings import KnownSensor, MqttSettings, PayloadSettings, SubscriptionSettings, TlsSettings

__all__ = [
    "KnownSensor",
    "MqttDriver",
    "MqttSettings",
    "MqttStats",
    "PayloadSettings",
    "SubscriptionSettings",
    "TlsSettings",
]
