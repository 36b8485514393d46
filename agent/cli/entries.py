"""A record of the log as a line: JSON for scripts, text for people."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sync.log.disk.blocks import Record
    from sync.log.inspect.records import Entry


def line(entry: Entry) -> str:
    """One object: number, lane, topic, when the log took it, how it stands, and what it says."""
    found = {
        "seq": entry.seq,
        "lane": entry.lane,
        "topic": entry.topic,
        "at": time(entry.at_ms),
        "state": entry.state,
        **content(entry.record),
    }
    return json.dumps(found, ensure_ascii=False)


def content(record: Record | None) -> dict[str, Any]:
    """Key, headers and value for a script; nothing where the block is damaged."""
    if record is None:
        return {}
    value = (record.value or b"").decode(errors="replace")
    try:
        body = json.loads(value)
    except ValueError:
        body = value
    return {
        "key": None if record.key is None else record.key.decode(errors="replace"),
        "headers": {name: None if said is None else said.decode(errors="replace") for name, said in record.headers},
        "value": body,
    }


def text(record: Record | None) -> str:
    """Key and value for a person."""
    if record is None:
        return "(corrupt: cannot be read)"
    return b" ".join((record.key or b"", record.value or b"")).decode(errors="replace")


def time(at_ms: int) -> str:
    """A moment in UTC, to the millisecond."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
