"""Setting right the times in a record taken while the gateway's clock was wrong (C7 in sync/log/clock.py)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from sync.log.blocks import Record

_EPOCH = datetime.fromtimestamp(0, UTC)


def restamp(_topic: str, record: Record, at_ms: int, right_ms: int) -> Record:
    """The record with `ce_time`, and `at` and the end of a loss in its body, moved by what the clock was wrong.

    Times that are nearer to the right time than to the wrong one are not the wrong clock's, and stay; so does what
    a device's own clock said (`at_from`).
    """

    def moved(text: object) -> str | None:
        """A time set right; None where it is none, or is right."""
        try:
            at = datetime.fromisoformat(text) if isinstance(text, str) else None
            if at is None or at.tzinfo is None:
                return None
            said_ms = (at - _EPOCH) // timedelta(milliseconds=1)
            if abs(said_ms - right_ms) < abs(said_ms - at_ms):
                return None
            return _text(at + timedelta(milliseconds=right_ms - at_ms))
        except (ValueError, OverflowError):
            return None

    body = _body(record)
    if body.get("at_from") == "device":
        return record
    headers = []
    for name, said in record.headers:
        anew = moved((said or b"").decode(errors="replace")) if name == "ce_time" else None
        headers.append((name, said if anew is None else anew.encode()))
    value = record.value
    data = body.get("data")
    lies = [
        (place, key) for place, key in ((body, "at"), (data, "until")) if isinstance(place, dict) and key in place
    ]
    right = [(place, key, anew) for place, key in lies if (anew := moved(place[key])) is not None]
    if right:
        for place, key, anew in right:
            place[key] = anew
        value = orjson.dumps(body)
    return replace(record, value=value, headers=tuple(headers))


def _body(record: Record) -> dict[str, Any]:
    if ("content-type", b"application/json") not in record.headers:
        return {}
    try:
        found = orjson.loads(record.value or b"")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds")[:23] + "Z"
