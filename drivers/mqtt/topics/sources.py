"""What a topic brings: its sensors, by the topic alone or by the payload too, and their subscriptions' counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drivers.mqtt.codecs import Unread
from drivers.mqtt.packets import MOST_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from drivers.mqtt.codecs import Codec
    from drivers.mqtt.topics.routes import Route
    from drivers.values import Unreadable

_MOST_NAMED = 4_096
"""Sensors remembered for one topic whose payloads name them. Past it all are forgotten and learnt again."""
_TOO_LARGE = f"its payload is larger than {MOST_BYTES // 1024} KiB"


@dataclass(slots=True)
class Tally:
    """What one subscription brought, and the newest message of it that could not be read."""

    readings: int = 0
    unreadable: int = 0
    newest: Unreadable | None = None

    def miss(self, message: Unreadable) -> None:
        """Count a message that could not be read."""
        self.unreadable += 1
        self.newest = message

    def plus(self, other: Tally) -> Tally:
        """Both together."""
        newest = max((one for one in (self.newest, other.newest) if one), key=lambda one: one.at, default=None)
        return Tally(self.readings + other.readings, self.unreadable + other.unreadable, newest)


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

    def named(
        self, payload: bytes, *, too_large: bool = False
    ) -> tuple[tuple[Source, ...], list[tuple[str, Sequence[Tally]]]]:
        """The sensors of a message of a topic without `sources`, or one that is too large to be read.

        Beside them the reasons why there are not more, each with the counts of its subscriptions.
        """
        if too_large:
            return (), [(self.reason or _TOO_LARGE, self._tallies())]
        if not self.by_payload:
            return (), [(self.reason, self.misses)]
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
        return [*self.misses, *sensors, *(named.tally for named in self.by_payload)]
