"""From messages to readings: the hot path, a dictionary look-up, a codec and a value for each of them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from drivers.mqtt.codecs import Unread, same_unit
from drivers.mqtt.packets import MOST_BYTES, RETAINED, SAMPLE_BYTES, TOO_LARGE
from drivers.values import Observation, Reading, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from drivers.mqtt.packets import Message
    from drivers.mqtt.topics import Resolved, Routes, Source

_LONGEST_UNIT = 32


def observe(messages: Iterable[Message], routes: Routes, source_name: str) -> tuple[list[Observation], int]:
    """What messages say, in their order: a Reading for each sensor, or Unreadable with the reason.

    The number is how many of them are Unreadable.
    """
    seen: list[Observation] = []
    unreadable = 0
    append = seen.append
    get = routes.get
    make = tuple.__new__  # half of what the class itself takes for a named tuple
    now = datetime.now(UTC)
    received_ns = time.monotonic_ns()
    for topic, payload, head, traceparent in messages:
        resolved = get(topic)
        if resolved is None:
            resolved = routes.resolve(topic)
        if not resolved.sources or head & TOO_LARGE:
            missed = _unreadable(source_name, resolved, resolved.reason or _TOO_LARGE, payload, now)
            append(missed)
            unreadable += 1
            for tally in resolved.misses or [source.tally for source in resolved.sources]:
                tally.miss(missed)
            continue
        for source in resolved.sources:
            try:
                value, at, unit = source.read(payload)
                unit = source.unit if unit is None else _checked(unit, source)
                if at is None and head & RETAINED:
                    # The broker repeats it for a new subscription; when it was measured nobody knows.
                    raise Unread(_STALE)  # noqa: TRY301 - the same end as for a codec's own reasons
            except Unread as reason:
                missed = _unreadable(source_name, resolved, str(reason), payload, now)
                source.tally.miss(missed)
                unreadable += 1
                append(missed)
                continue
            source.tally.readings += 1
            append(
                make(
                    Reading,
                    (
                        source.sensor_id,
                        source.sensor_type,
                        value,
                        unit,
                        source.tank_id,
                        source.site_id,
                        now if at is None else at,
                        at is not None,
                        received_ns,
                        traceparent,
                    ),
                )
            )
    return seen, unreadable


_TOO_LARGE = f"its payload is larger than {MOST_BYTES // 1024} KiB"
_STALE = "it is a retained message without a time of its own, so its age is unknown"


def _checked(unit: str, source: Source) -> str:
    """The unit that a payload names; as config writes it, where that knows the sensor."""
    if source.unit_known:
        if not same_unit(unit, source.unit):
            raise Unread("its unit is not the one that config names")
        return source.unit
    if not 0 < len(unit) <= _LONGEST_UNIT or not unit.isprintable():
        raise Unread("its unit is no name of a unit")
    return unit


def _unreadable(source_name: str, resolved: Resolved, reason: str, payload: bytes, now: datetime) -> Unreadable:
    sample = payload[:SAMPLE_BYTES].decode(errors="backslashreplace")[:SAMPLE_BYTES]
    return Unreadable(source_name, resolved.topic, reason, sample, now)
