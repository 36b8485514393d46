"""What the log itself has to tell upstream: records that it lost, and records that Kafka refused.

Losses go as `system-events` on lane `alert`, so that the centre can tell "sensor off" from "evicted",
"corrupt" and "still queued"; refused records go to `dead-letters`.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import orjson

from sync.log.disk.blocks import decode
from sync.values import Envelope, Lane

if TYPE_CHECKING:
    from sync.log.book.losses import Loss
    from sync.log.settings import LogSettings

DEAD_LETTERS: Final = "dead-letters"
EVENTS: Final = "system-events"
_NUMBERED: Final = frozenset({"records_lost", "records_thinned", "numbers_skipped"})
"""Events that name numbers of a log."""
_SAMPLE_BYTES: Final = 16 * 1024


def loss_event(loss: Loss, settings: LogSettings) -> Envelope:
    """One entry of the loss ledger."""
    if loss.uncounted:
        return uncounted_loss(loss.reason, loss.log_id, loss.topic, at_ms=loss.at_ms, settings=settings)
    if loss.lane is None:
        kind, severity = "numbers_skipped", "info"
        text = f"no record has the numbers {loss.first} to {loss.last}: {loss.reason}"
        data: dict[str, object] = {
            "log_id": loss.log_id,
            "first": loss.first,
            "last": loss.last,
            "reason": loss.reason,
        }
    else:
        kind, severity = "records_lost", "alarm"
        text = f"{loss.records} records of {loss.lane}/{loss.topic} lost: {loss.reason}"
        data = {
            "log_id": loss.log_id,
            "lane": loss.lane.value,
            "topic": loss.topic,
            "first": loss.first,
            "last": loss.last,
            "count": loss.records,
            "reason": loss.reason,
            "until": _timestamp(loss.until_ms),
        }
    if loss.into_records is not None:
        kind, severity = "records_thinned", "warning"
        text = f"{loss.records} records of {loss.lane}/{loss.topic} thinned into {loss.into_records} aggregates"
        data["into"] = {"first": loss.into_first, "last": loss.into_last, "count": loss.into_records}
    at = _timestamp(loss.at_ms)
    body = {"event": kind, "severity": severity, "source": "log", "text": text, "at": at, "data": data}
    return _envelope(Lane.ALERT, EVENTS, body, at, settings)


def told_as(value: bytes | None, *, old_id: str, border: int, log_id: str) -> bytes | None:
    """An event as it is where numbers of `old_id` from the border on are of `log_id` now; others stay as they are."""
    if value is None or old_id.encode() not in value:
        return value
    try:
        body = orjson.loads(value)
        data = body["data"]
        if body["event"] not in _NUMBERED or data["log_id"] != old_id or (data["first"] or 0) < border:
            return value
    except (ValueError, KeyError, TypeError):
        return value
    data["log_id"] = log_id
    return orjson.dumps(body)


def uncounted_loss(reason: str, log_id: str, text: str, *, at_ms: int, settings: LogSettings) -> Envelope:
    """Records that are gone, of which nobody knows how many or which."""
    at = _timestamp(at_ms)
    unknown = dict.fromkeys(("lane", "topic", "first", "last", "count"))
    body = {
        "event": "records_lost",
        "severity": "alarm",
        "source": "log",
        "text": f"an unknown number of records was lost: {text}",
        "at": at,
        "data": {"log_id": log_id, **unknown, "reason": reason, "until": at},
    }
    return _envelope(Lane.ALERT, EVENTS, body, at, settings)


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
