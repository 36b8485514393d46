"""From messages to readings: the hot path, a dictionary look-up, a codec and a value for each of them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from drivers import units
from drivers.mqtt.codecs import Unread
from drivers.mqtt.codecs.measurements import Measurement, Message, Read
from drivers.mqtt.packets import RETAINED, SAMPLE_BYTES, TOO_LARGE
from drivers.values import AHEAD, BEHIND, Doubt, Observation, Reading, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from drivers.mqtt.codecs.measurements import Answer
    from drivers.mqtt.packets import Message as Packet
    from drivers.mqtt.topics.routes import Routes
    from drivers.mqtt.topics.sources import Decoder, Resolved, Source

QUEUED: Final = "queued"
"""The word for a reading without a usable time that waited at the broker."""
AGE_UNKNOWN: Final = "age_unknown"
"""The word for a reading of a retained message without a usable time: the broker may have kept it for years."""
_LONGEST_UNIT = 32


def observe(  # noqa: C901 - a call for each reading would cost too much
    messages: Iterable[Packet], routes: Routes, source_name: str, *, queued: bool = False
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
            if resolved.decoders and not head & TOO_LARGE:
                message = Message(resolved.topic, payload, now, head & RETAINED > 0)
                unreadable += _decode(resolved, message, source_name, received_ns, waited, traceparent, routes, seen)
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
                guard = source.guard
                if not guard.low < value < guard.high:
                    guard.look(value, source.sensor_type, unit, received_ns)
                guard.seen_ns = received_ns
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
_USUAL = Doubt()
_DOUBTS = {(far, retained): Doubt(far=far, retained=retained) for far in (True, False) for retained in (True, False)}
_OF_UNKNOWN_AGE = Doubt(AGE_UNKNOWN, retained=True)


def _unusual(
    at: datetime | str | None, now: datetime, waited: Doubt | None, *, retained: bool
) -> tuple[datetime, bool, Doubt]:
    """The time, whether it is the device's, and the doubt, of a message that is retained or has no usual time.

    The broker repeats a retained message for each new subscription; only its own time says how old it is.
    """
    if isinstance(at, datetime):
        return at, True, _DOUBTS[not now - BEHIND <= at <= now + AHEAD, retained]
    if retained or at is None:
        return now, False, _OF_UNKNOWN_AGE
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


def _decode(  # noqa: PLR0917 - what one message brings, and how it came
    resolved: Resolved,
    message: Message,
    source_name: str,
    received_ns: int,
    waited: Doubt | None,
    traceparent: str | None,
    routes: Routes,
    seen: list[Observation],
) -> int:
    """Put into `seen` what a message with several measurements says, and into `routes` the answers to it.

    Returns how many of them could not be read.
    """
    before = len(seen)
    readings = 0
    for decoder in resolved.decoders:
        found = _decoded(decoder, message, source_name, received_ns, waited, traceparent, routes.answers)
        readings += sum(type(one) is Reading for one in found)
        seen += found
    return len(seen) - before - readings


def _decoded(  # noqa: PLR0917 - what one message brings, and how it came
    decoder: Decoder,
    message: Message,
    source_name: str,
    received_ns: int,
    waited: Doubt | None,
    traceparent: str | None,
    answers: list[Answer],
) -> list[Observation]:
    """What a message with several measurements says; answers to it are put into `answers`."""
    seen: list[Observation] = []
    tally = decoder.tally
    try:
        read = decoder.codec.read(message)
    except Unread as reason:
        read = Read(measurements=(Measurement("", "", None, reason=str(reason)),))
    answers += read.answers
    for one in read.measurements:
        sensor_id = ""
        try:
            source = decoder.source(one) if one.channel else None
            if source is not None:
                sensor_id = source.sensor_id
                reading = _reading(one, source, message, received_ns, waited, traceparent)
                if reading is None:
                    tally.repeated += 1
                else:
                    tally.readings += 1
                    seen.append(reading)
                continue
            if one.channel:
                tally.others += 1
                continue
            problem = one.reason
        except Unread as reason:
            problem = f"{sensor_id or one.channel} has no value: {reason}"
        missed = _unread(source_name, message.topic, problem, message.payload, message.received_at, sensor_id)
        tally.miss(missed)
        seen.append(missed)
    return seen


def _reading(  # noqa: PLR0917 - the same
    one: Measurement,
    source: Source,
    message: Message,
    received_ns: int,
    waited: Doubt | None,
    traceparent: str | None,
) -> Reading | None:
    """The reading of a measurement; None if its device only repeats it: neither time nor value have changed."""
    value, at, now, guard = one.value, one.at, message.received_at, source.guard
    if value is None:
        raise Unread(one.reason)
    unit = source.unit if one.unit is None else _checked(one.unit, source)
    if one.maker or not guard.low < value < guard.high:
        guard.look(value, source.sensor_type, unit, received_ns, one.maker)
    guard.seen_ns = received_ns
    doubt: Doubt | None
    if isinstance(at, datetime):
        if guard.newest == (at, value):
            return None
        guard.newest = at, value
    if at is None and not message.retained:
        at, device, doubt = now, False, waited
    else:
        at, device, doubt = _unusual(at, now, waited, retained=message.retained)
        if device and doubt == _USUAL:
            doubt = None
    return Reading(
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
    )


def _unreadable(source_name: str, resolved: Resolved, reason: str, payload: bytes, now: datetime) -> Unreadable:
    return _unread(source_name, resolved.topic, reason, payload, now)


def _unread(  # noqa: PLR0917 - the fields of the value
    source_name: str, topic: str, reason: str, payload: bytes, now: datetime, sensor_id: str = ""
) -> Unreadable:
    sample = payload[:SAMPLE_BYTES].decode(errors="backslashreplace")[:SAMPLE_BYTES]
    return Unreadable(source_name, topic, reason, sample, now, sensor_id)
