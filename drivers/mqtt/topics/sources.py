"""What a topic brings: its sensors, by the topic alone or by the payload too, and their subscriptions' counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from drivers.mqtt.codecs import Unread
from drivers.mqtt.codecs.sentinels import FAULT, is_temperature, plain, verdict
from drivers.mqtt.packets import MOST_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from drivers.mqtt.codecs import Codec
    from drivers.mqtt.codecs.measurements import Codec as MessageCodec
    from drivers.mqtt.codecs.measurements import Measurement
    from drivers.mqtt.settings import KnownSensor
    from drivers.mqtt.topics.routes import Route
    from drivers.values import Unreadable

_MOST_NAMED = 4_096
"""Sensors remembered for one topic whose payloads name them. Past it all are forgotten and learnt again."""
_MOST_CHANNELS = 4_096
"""Channels remembered for one topic. Past it all are forgotten and learnt again."""
_PLAIN = 327.0
_PLAIN_TEMPERATURE = 84.9
"""No number between them and their negatives stands for no value; of temperatures none within the smaller ones."""
_GAP_NS = 300_000_000_000
"""A sensor not heard for five minutes may have been switched off."""
_TOO_LARGE = f"its payload is larger than {MOST_BYTES // 1024} KiB"


@dataclass(slots=True)
class Tally:
    """What one subscription brought, and the newest message of it that could not be read."""

    readings: int = 0
    unreadable: int = 0
    newest: Unreadable | None = None
    others: int = 0
    """Measurements of channels that the configuration names no sensor for."""
    repeated: int = 0
    """Measurements whose device's time and value are those of the one before: a device that repeats itself."""

    def miss(self, message: Unreadable) -> None:
        """Count a message that could not be read."""
        self.unreadable += 1
        self.newest = message

    def plus(self, other: Tally) -> Tally:
        """Both together."""
        newest = max((one for one in (self.newest, other.newest) if one), key=lambda one: one.at, default=None)
        return Tally(
            self.readings + other.readings,
            self.unreadable + other.unreadable,
            newest,
            self.others + other.others,
            self.repeated + other.repeated,
        )


@dataclass(slots=True)
class Guard:
    """What tells a value of one sensor from a number that stands for no value, and a new one from an old one.

    Only what is not between `low` and `high` has to be looked at.
    """

    low: float = -_PLAIN
    high: float = _PLAIN
    maker: str = ""
    sentinels: tuple[float, ...] = ()
    bounds: tuple[float, float] | None = None
    seen_ns: int | None = None
    """When the sensor was last heard, by the monotonic clock."""
    newest: tuple[datetime, float] | None = None
    """Time and value of the last measurement with a device's time."""

    @classmethod
    def of(cls, sensor_type: str, unit: str, sensor: KnownSensor | None = None) -> Guard:
        """The guard of a sensor of this type and unit."""
        made = cls()
        if sensor is not None:
            made.maker, made.sentinels, made.bounds = sensor.maker, sensor.sentinels, sensor.bounds
        if is_temperature(sensor_type, unit):
            made.low, made.high = -_PLAIN_TEMPERATURE, _PLAIN_TEMPERATURE
        if made.maker or made.sentinels:
            made.low, made.high = 0.0, 0.0
        return made

    def look(self, value: float, sensor_type: str, unit: str, now_ns: int, maker: str = "") -> None:
        """See whether a value stands for none.

        Raises:
            Unread: it does.
        """
        if plain(value) and not self.sentinels:
            return
        first = self.seen_ns is None or now_ns - self.seen_ns > _GAP_NS
        meant = verdict(
            value,
            sensor_type,
            unit,
            maker=self.maker or maker,
            sentinels=self.sentinels,
            first=first,
            bounds=self.bounds,
        )
        if meant == FAULT:
            raise Unread(f"{FAULT}: {value:g} stands for no value")


@dataclass(frozen=True, slots=True)
class Source:
    """One sensor behind one topic, and how its payload is read.

    `unit` is what a value has if the payload names none. With `unit_known` config says it of this very sensor,
    and a payload that names another one is not believed.
    """

    sensor_id: str
    sensor_type: str
    tank_id: str
    site_id: str
    unit: str
    unit_known: bool
    read: Codec
    tally: Tally
    marked: bool = False
    """Its payload says its own time or counter."""
    says_when: Callable[[bytes], bool] | None = None
    """Whether a payload really says it; only where it should."""
    guard: Guard = field(default_factory=Guard)


class Named:
    """The sensors behind one topic whose payloads say which sensor they are of."""

    def __init__(self, route: Route, levels: Mapping[str, str]) -> None:
        self._route = route
        self._levels = levels
        self._known: dict[tuple[str, ...], Source] = {}
        self.tally = route.tally

    def source(self, payload: bytes) -> Source:
        """The sensor that a payload names.

        Raises:
            Unread: it names none.
        """
        names = tuple(read(payload) for read in self._route.fields.values())
        found = self._known.get(names)
        if found is None:
            if len(self._known) >= _MOST_NAMED:
                self._known.clear()
            levels = {**self._levels, **dict(zip(self._route.fields, names, strict=True))}
            found = self._known[names] = self._route.source(levels)
        return found


class Decoder:
    """The sensors behind one topic whose messages bring several measurements, by device and channel."""

    def __init__(self, route: Route, levels: Mapping[str, str], codec: MessageCodec) -> None:
        self._route = route
        self._levels = levels
        self._known: dict[tuple[str, str], Source | None] = {}
        self.codec = codec
        self.tally = route.tally

    def source(self, one: Measurement) -> Source | None:
        """The sensor of a measurement, or None if the configuration has none for it.

        Raises:
            Unread: the names of its device and channel cannot be those of a sensor.
        """
        key = one.device, one.channel
        try:
            return self._known[key]
        except KeyError:
            if len(self._known) >= _MOST_CHANNELS:
                self._known.clear()
            found = self._known[key] = self._route.channel(*key, self._levels)
            return found


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a topic leads to. If there is no source, `reason` says why, and `misses` are the tallies that count it.

    `marked`: each of its payloads says its own time or counter, so the same payload again is the same message.
    """

    topic: str
    sources: tuple[Source, ...]
    reason: str = ""
    marked: bool = False
    misses: tuple[Tally, ...] = ()
    """The counts of a topic that has no sensor."""
    fixed: tuple[Source, ...] = ()
    """If payloads of this topic name sensors: those that they do not name. `sources` is empty then."""
    by_payload: tuple[Named, ...] = ()
    decoders: tuple[Decoder, ...] = ()
    """If messages of this topic bring several measurements: what finds their sensors. `sources` is empty then."""

    def named(
        self, payload: bytes, *, too_large: bool = False
    ) -> tuple[tuple[Source, ...], list[tuple[str, Sequence[Tally]]]]:
        """The sensors of a message of a topic without `sources`, or one that is too large to be read.

        Beside them the reasons why there are not more, each with the counts of its subscriptions.
        """
        if too_large:
            return (), [(self.reason or _TOO_LARGE, self._tallies())]
        if not self.by_payload:
            return self.fixed, [(self.reason, self.misses)] if self.misses else []
        found = {source.sensor_id: source for source in self.fixed}
        reasons: list[tuple[str, Sequence[Tally]]] = []
        for named in self.by_payload:
            try:
                source = named.source(payload)
            except Unread as reason:
                reasons.append((str(reason), (named.tally,)))
            else:
                found.setdefault(source.sensor_id, source)
        return tuple(found.values()), reasons

    def _tallies(self) -> list[Tally]:
        sensors = [source.tally for source in self.sources + self.fixed]
        named = [one.tally for one in self.by_payload]
        return [*self.misses, *sensors, *named, *(one.tally for one in self.decoders)]
