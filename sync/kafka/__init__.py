"""Kafka: the only folder that speaks its protocol, by way of aiokafka."""

from sync.kafka.connection.logins import Logins
from sync.kafka.connection.traffic import Moved, Traffic
from sync.kafka.desired import DesiredSettings, DesiredState, DesiredStats
from sync.kafka.questions.assess import AHEAD, EXISTS, Finding, Role, TopicAssessment, Weight
from sync.kafka.questions.newest import Newest, NewestOf
from sync.kafka.settings import KafkaSettings
from sync.kafka.sink import KafkaSink

__all__ = [
    "AHEAD",
    "EXISTS",
    "DesiredSettings",
    "DesiredState",
    "DesiredStats",
    "Finding",
    "KafkaSettings",
    "KafkaSink",
    "Logins",
    "Moved",
    "Newest",
    "NewestOf",
    "Role",
    "TopicAssessment",
    "Traffic",
    "Weight",
]
