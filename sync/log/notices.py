"""What the log itself has to tell upstream: records that it lost, and records that Kafka refused.

Losses go as `system-events` on lane `alert`, so that the centre can tell "sensor off" from "evicted",
"corrupt" and "still queued"; refused records go to `dead-letters`.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import orjson

from sync.log.blocks import decode
from sync.values import Envelope, Lane

if TYPE_CHECKING:
    from sync.log.settings import LogSettings

DEAD_LETTERS: Final = "dead-letters"
_EVENTS: Final = "system-events"
_SAMPLE_BYTES: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Loss:
    """Undelivered records of a lane and topic that are gone: how many, which, why and when.

    `first` and `last` are None where the records never had a number, or it is not known.
    """

    lane: Lane
    topic: str
    first: int | None
    last: int | None
    records: int
    reason: str
    at_ms: int
    until_ms: int


def loss_event(loss: Loss, log_id: str, settings: LogSettings) -> Envelope:
    """One entry of the loss ledger."""
    at = _timestamp(loss.at_ms)
    body = {
        "event": "records_lost",
        "severity": "alarm",
        "source": "log",
        "text": f"{loss.records} records of {loss.lane}/{loss.topic} lost: {loss.reason}",
        "at": at,
        "data": {
            "log_id": log_id,
            "lane": loss.lane.value,
            "topic": loss.topic,
            "first": loss.first,
            "last": loss.last,
            "count": loss.records,
            "reason": loss.reason,
            "until": _timestamp(loss.until_ms),
        },
    }
    return _envelope(Lane.ALERT, _EVENTS, body, at, settings)


def dead_letter(stream: tuple[Lane, str], body: bytes, reason: str, *, at_ms: int, settings: LogSettings) -> Envelope:
    """A refused record, its value included where it is small enough to be taken."""
    lane, topic = stream
    record = decode(body, 1)[0]
    value = record.value or b""
    at = _timestamp(at_ms)
    content = {
        "lane": lane.value,
        "topic": topic,
        "reason": reason,
        "at": at,
        "key": (record.key or b"").decode(errors="replace"),
        "headers": {name: (said or b"").decode(errors="replace") for name, said in record.headers},
        "value_bytes": len(value),
        "value_base64": base64.b64encode(value).decode() if len(value) <= _SAMPLE_BYTES else None,
    }
    return _envelope(Lane.LIVE, DEAD_LETTERS, content, at, settings)


def _envelope(lane: Lane, topic: str, body: object, at: str, settings: LogSettings) -> Envelope:
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_type", f"tidegate.{topic}.v1".encode()),
        ("content-type", b"application/json"),
        ("ce_time", at.encode()),
    )
    return Envelope(lane, topic, f"{settings.site_id}//{settings.gateway_id}".encode(), orjson.dumps(body), headers)


def _timestamp(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds")[:23] + "Z"
