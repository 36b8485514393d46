"""One-minute aggregates: what stands for old readings once the log has no more room for all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from agent.events.records import MINUTE, Quality, ce_type
from sync.values import Envelope, Lane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync.log.disk.blocks import Record

_TOPIC = "sensor-data"
_WORSE = {quality.value: rank for rank, quality in enumerate((*list(Quality)[1:], Quality.UNJUDGED))}
"""Good, suspect, bad; and where nothing has looked at a single reading, nothing is claimed of the minute."""
_HEADERS = (
    ("ce_specversion", b"1.0"),
    ("ce_type", ce_type(MINUTE).encode()),
    ("content-type", b"application/json"),
)
_CLOCK = "clock"
_LATE_SECOND = "50"


class Minutes:
    """Folds `sensor-data`; the log is given it in its settings."""

    topics = frozenset({_TOPIC})

    @staticmethod
    def begin(minute_ms: int) -> Minute:
        """See `sync.log.bodies.Fold`."""
        return Minute(minute_ms)

    @staticmethod
    def told_as(value: bytes | None, *, old_id: str, border: int, log_id: str) -> bytes | None:
        """See `sync.log.bodies.Fold`: an aggregate names the log of its readings."""
        if value is None or old_id.encode() not in value:
            return value
        try:
            body = orjson.loads(value)
            if body["log_id"] != old_id or body["seq_first"] < border:
                return value
        except (ValueError, KeyError, TypeError):
            return value
        return orjson.dumps(body | {"log_id": log_id})


@dataclass(slots=True)
class _Aggregate:
    """One sensor's minute so far; `newest` is the body of its last reading."""

    key: bytes
    log_id: str
    minute: str
    least: float
    most: float
    total: float
    count: int
    first: int
    last: int
    quality: str
    clock: tuple[str, bytes] | None
    newest: dict[str, Any] = field(repr=False)


class Minute:
    """The readings of about one minute, by sensor, by what they say of their clock, and by when they were measured.

    A reading of the minute's last seconds may reach the log in the next one: it is counted there.
    """

    def __init__(self, minute_ms: int) -> None:
        self._minute = _text(minute_ms)
        self._minute_before = _text(minute_ms - 60_000)
        self._found: dict[tuple[bytes, str, str, tuple[str, bytes] | None, str | None], _Aggregate] = {}

    def add(self, records: Sequence[Record]) -> bool:
        """See `sync.log.bodies.Folding`."""
        read = []
        for record in records:
            reading = _reading(record)
            if reading is None:
                return False
            read.append(reading)
        for reading in read:
            self._count(*reading)
        return True

    def envelopes(self, unreadable: int) -> list[Envelope]:
        """See `sync.log.bodies.Folding`."""
        return [_envelope(found, unreadable) for found in self._found.values()]

    def _count(
        self, key: bytes, log_id: str, number: int, clock: tuple[str, bytes] | None, body: dict[str, Any]
    ) -> None:
        at, value, quality = body["at"], body["value"], body["quality"]
        minute = at[:16]
        if minute == self._minute_before and at[17:19] >= _LATE_SECOND:
            minute = self._minute
        name = key, log_id, minute, clock, body.get("at_problem")
        known = self._found.get(name)
        if known is None:
            self._found[name] = _Aggregate(
                key, log_id, minute, value, value, value, 1, number, number, quality, clock, body
            )
            return
        known.count += 1
        known.total += value
        known.least = min(known.least, value)
        known.most = max(known.most, value)
        known.last = max(known.last, number)
        known.first = min(known.first, number)
        if _WORSE[quality] > _WORSE[known.quality]:
            known.quality = quality
        if at >= known.newest["at"]:
            known.newest = body


def _reading(record: Record) -> tuple[bytes, str, int, tuple[str, bytes] | None, dict[str, Any]] | None:
    """Key, log id, number, what it says of its clock, and body.

    None where the record is no reading: an aggregate, or nothing with a number.
    """
    try:
        body = orjson.loads(record.value or b"")
        if not isinstance(body["value"], int | float) or body["quality"] not in _WORSE or len(body["at"]) < 20:
            return None
        # The log writes the name behind the record's own headers.
        name = next(said for header, said in reversed(record.headers) if header == "ce_id")
        log_id, _, number = (name or b"").decode().rpartition("-")
        clock = next(((name, said or b"") for name, said in record.headers if name == _CLOCK), None)
        return record.key or b"", log_id, int(number), clock, body
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, StopIteration):
        return None


def _envelope(found: _Aggregate, unreadable: int) -> Envelope:
    newest = found.newest
    at = f"{found.minute}:00.000Z"
    body = {
        "sensor_id": newest["sensor_id"],
        "sensor_type": newest["sensor_type"],
        "unit": newest["unit"],
        "tank_id": newest["tank_id"],
        "site_id": newest["site_id"],
        "at": at,
        "at_from": newest["at_from"],
        **({"at_problem": newest["at_problem"]} if "at_problem" in newest else {}),
        "quality": found.quality,
        "min": found.least,
        "mean": found.total / found.count,
        "max": found.most,
        "last": newest["value"],
        "count": found.count,
        "log_id": found.log_id,
        "seq_first": found.first,
        "seq_last": found.last,
        "unreadable": unreadable,
    }
    clock = () if found.clock is None else (found.clock,)
    headers = (*_HEADERS, ("ce_time", at.encode()), *clock)
    return Envelope(Lane.BACKFILL, _TOPIC, found.key, orjson.dumps(body), headers)


def _text(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat()[:16]
