"""From messages to readings: the hot path, a dictionary look-up, a codec and a value for each of them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from drivers import units
from drivers.mqtt.codecs import Unread
from drivers.mqtt.packets import RETAINED, SAMPLE_BYTES, TOO_LARGE
from drivers.values import AHEAD, BEHIND, Doubt, Observation, Reading, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from drivers.mqtt.packets import Message
    from drivers.mqtt.topics.routes import Routes
    from drivers.mqtt.topics.sources import Resolved, Source

QUEUED: Final = "queued"
"""The word for a reading without a usable time that waited at the broker."""
_LONGEST_UNIT = 32


def observe(
    messages: Iterable[Message], routes: Routes, source_name: str, *, queued: bool = False
) -> tuple[list[Observation], int]:
    """What messages say, in their order: a Reading for each sensor, or Unreadable with the reason.

    The number is how many of them are Unreadable. `queued`: they may have waited at the broker while we were away.
    """
    seen: list[Observation] = []
    unreadable = 0
    append = seen.append
    get = routes.get
    make = tuple.__new__  # half of what the class itself takes for a named tuple
    now = datetime.now(UTC)
    earliest, latest = now - BEHIND, now + AHEAD
    received_ns = time.monotonic_ns()
    waited = _QUEUED if queued else None
    for topic, payload, head, traceparent in messages:
        resolved = get(topic)
        if resolved is None:
            resolved = routes.resolve(topic)
        sources = resolved.sources
        if not sources or head & TOO_LARGE:
            sources, refused = resolved.named(payload, too_large=head & TOO_LARGE > 0)
            for why, tallies in refused:
                missed = _unreadable(source_name, resolved, why, payload, now)
                append(missed)
                unreadable += 1
                for tally in tallies:
                    tally.miss(missed)
        for source in sources:
            try:
                value, at, unit = source.read(payload)
                unit = source.unit if unit is None else _checked(unit, source)
                if at is None and not head & RETAINED:
                    at, device, doubt = now, False, waited
                elif type(at) is datetime and earliest <= at <= latest and not head & RETAINED:
                    device, doubt = True, None
                else:
                    at, device, doubt = _unusual(at, now, waited, retained=head & RETAINED > 0)
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
                        at,
                        device,
                        received_ns,
                        traceparent,
                        doubt,
                    ),
                )
            )
    return seen, unreadable


_QUEUED = Doubt(QUEUED, queued=True)
_DOUBTS = {(far, retained): Doubt(far=far, retained=retained) for far in (True, False) for retained in (True, False)}
_STALE = "it is a retained message without a usable time of its own, so its age is unknown"


def _unusual(
    at: datetime | str | None, now: datetime, waited: Doubt | None, *, retained: bool
) -> tuple[datetime, bool, Doubt]:
    """The time, whether it is the device's, and the doubt, of a message that is retained or has no usual time.

    The broker repeats a retained message for each new subscription; only its own time says how old it is.
    """
    if isinstance(at, datetime):
        return at, True, _DOUBTS[not now - BEHIND <= at <= now + AHEAD, retained]
    if retained or at is None:
        raise Unread(_STALE)
    return now, False, waited or _without_time(at)


@lru_cache(maxsize=16)
def _without_time(problem: str) -> Doubt:
    return Doubt(problem)


def _checked(unit: str, source: Source) -> str:
    """The unit that a payload names, by its name in our table; as config writes it if that knows the sensor."""
    if source.unit_known:
        if not units.same(unit, source.unit, source.sensor_type):
            raise Unread("its unit is not the one in the configuration")
        return source.unit
    name = units.name_of(unit, source.sensor_type)
    if name is not None:
        return name
    if not 0 < len(unit) <= _LONGEST_UNIT or not unit.isprintable():
        raise Unread("its unit is not a valid name")
    return unit


def _unreadable(source_name: str, resolved: Resolved, reason: str, payload: bytes, now: datetime) -> Unreadable:
    sample = payload[:SAMPLE_BYTES].decode(errors="backslashreplace")[:SAMPLE_BYTES]
    return Unreadable(source_name, resolved.topic, reason, sample, now)
