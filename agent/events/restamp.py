"""Setting right the times in a record taken while the gateway's clock was wrong (C7 in sync/log/clock.py)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from sync.log.disk.blocks import Record

_EPOCH = datetime.fromtimestamp(0, UTC)


def restamp(_topic: str, record: Record, at_ms: int, right_ms: int) -> Record:
    """The record with `ce_time`, and `at` and the end of a loss in its body, moved by what the clock was wrong.

    Times that are nearer to the right time than to the wrong one are not the wrong clock's, and stay; so does what
    a device's own clock said (`at_from`).
    """
    body = _body(record)
    if body.get("at_from") == "device":
        return record
    headers = []
    for name, said in record.headers:
        anew = _moved((said or b"").decode(errors="replace"), at_ms, right_ms) if name == "ce_time" else None
        headers.append((name, said if anew is None else anew.encode()))
    value = record.value
    for place, key in ((body, "at"), (body.get("data"), "until")):
        if isinstance(place, dict) and isinstance(place.get(key), str):
            anew = _moved(place[key], at_ms, right_ms)
            if anew is not None:
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


@lru_cache(maxsize=64)
def _moved(text: str, at_ms: int, right_ms: int) -> str | None:
    """A time set right; None where it is none, or is right. Neighbours share theirs, and a header says it again."""
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            return None
        said_ms = (at - _EPOCH) // timedelta(milliseconds=1)
        if abs(said_ms - right_ms) < abs(said_ms - at_ms):
            return None
        moved = at + timedelta(milliseconds=right_ms - at_ms)
        return moved.astimezone(UTC).isoformat(timespec="milliseconds")[:23] + "Z"
    except (ValueError, OverflowError):
        return None
