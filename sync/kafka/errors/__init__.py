"""Kafka's error codes: what each is about, and what the gateway does."""

from sync.kafka.errors.table import ERRORS, TABLE, KafkaError, Kind, error_of

__all__ = ["ERRORS", "TABLE", "KafkaError", "Kind", "error_of"]
