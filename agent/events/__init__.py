"""What goes upstream: the wire records, their schemas, and how they become envelopes."""

from agent.events.envelopes import Encoder
from agent.events.minutes import Minutes
from agent.events.records import (
    NUMBERS,
    SCHEMAS,
    TOPICS,
    Alert,
    AlertState,
    GatewayRun,
    Quality,
    Severity,
    SystemEvent,
    SystemEventKind,
    schema,
)
from agent.events.restamp import restamp

__all__ = [
    "NUMBERS",
    "SCHEMAS",
    "TOPICS",
    "Alert",
    "AlertState",
    "Encoder",
    "GatewayRun",
    "Minutes",
    "Quality",
    "Severity",
    "SystemEvent",
    "SystemEventKind",
    "restamp",
    "schema",
]
