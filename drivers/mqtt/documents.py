"""Messages that are handed over as they came, for a connection whose payloads are no readings."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from drivers.mqtt.packets import MOST_BYTES, RETAINED, SAMPLE_BYTES, TOO_LARGE
from drivers.values import Document, Observation, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from drivers.mqtt.packets import Message
    from drivers.mqtt.topics.routes import Routes


def documents(
    messages: Iterable[Message], _routes: Routes, source_name: str, *, queued: bool = False
) -> tuple[list[Observation], int]:
    """Each message as a Document, or Unreadable if it is too large; as `drivers.mqtt.readings.observe`.

    An empty retained message deletes what a broker keeps: it is no document.
    """
    del queued
    now = datetime.now(UTC)
    seen: list[Observation] = []
    unreadable = 0
    for topic, payload, head, _ in messages:
        name = topic.decode(errors="backslashreplace")
        if head & TOO_LARGE:
            sample = payload[:SAMPLE_BYTES].decode(errors="backslashreplace")[:SAMPLE_BYTES]
            seen.append(
                Unreadable(source_name, name, f"its payload is larger than {MOST_BYTES // 1024} KiB", sample, now)
            )
            unreadable += 1
        elif payload:
            seen.append(Document(source_name, name, payload, head & RETAINED > 0, now))
    return seen, unreadable
