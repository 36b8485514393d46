"""Kafka: the only folder that knows its protocol, by way of aiokafka."""

from sync.kafka.settings import KafkaSettings
from sync.kafka.sink import KafkaSink

__all__ = ["KafkaSettings", "KafkaSink"]
