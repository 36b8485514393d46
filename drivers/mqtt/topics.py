"""Topics: which subscription a message belongs to, and which sensor it speaks of.

In a pattern such as `farm/{site}/{tank}/{metric}` each `{x}` stands for one whole level and gives it a name; MQTT's
own `+` and `#` stand for levels that nobody asks for. A message goes to every subscription whose pattern its topic
matches (a payload with three values takes three subscriptions of one pattern); where two of them name the same
sensor, the first in the configuration counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drivers.mqtt.codecs import codec
from drivers.mqtt.login import unseen
from drivers.mqtt.settings import Misspelt
from drivers.values import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drivers.mqtt.codecs import Codec
    from drivers.mqtt.settings import KnownSensor, MqttSettings, SubscriptionSettings
    from drivers.values import Unreadable

CACHED_TOPICS = 16_384
"""Topics remembered. Past it all are forgotten and learnt anew: a stranger's flood costs time, never memory."""

_NAMED = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_LONGEST_NAME = 64
_MOST_BYTES = 65_535


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

    `unit` is what a value has where the payload names none. With `unit_known` config says it of this very sensor,
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


def _shared(levels: list[str]) -> tuple[str, list[str]]:
    """`$share/GROUP/` of a shared subscription, or empty, and the levels behind it."""
    if levels[0] != "$share":
        return "", levels
    _, group, *rest = [*levels, ""][: max(len(levels), 2)]
    if not any(rest) or not group or any(sign in group for sign in "+#{}"):
        raise Misspelt("is not $share/GROUP/TOPIC", "give the group a name without wildcards, and a topic behind it")
    return f"$share/{group}/", rest


class Pattern:
    """A topic pattern: its MQTT filter, and the named levels of a topic that matches it.

    A shared subscription, `$share/GROUP/…`, is one for the broker alone: its messages come under their own topics.
    """

    __slots__ = ("_levels", "filter", "names", "text")

    def __init__(self, text: str) -> None:
        """Read a pattern.

        Raises:
            Misspelt: it is empty or has a NUL, `#` is not its last level, a wildcard or name is a part of a level, a
                share has no group or no topic, or a character cannot be seen.
        """
        if not text or "\0" in text:
            raise Misspelt("is empty or has a NUL in it", "write it such as farm/{site}/{tank}/{metric}")
        if len(text.encode(errors="replace")) > _MOST_BYTES:
            raise Misspelt("is longer than MQTT allows", "65,535 bytes are the most")
        if odd := unseen(text):
            raise Misspelt(f"contains {odd}", "type it again instead of pasting it")
        self.text = text
        self._levels: list[str] = []
        names: list[str] = []
        levels = text.split("/")
        share, levels = _shared(levels)
        for number, level in enumerate(levels, 1):
            named = _NAMED.fullmatch(level)
            if named:
                names.append(named[1])
                self._levels.append(f"{{{named[1]}")
            elif "#" in level and (level != "#" or number != len(levels)):
                raise Misspelt(
                    f"level {number}, {level}: # may only be the whole last level", "+ stands for any one level"
                )
            elif level not in ("+", "#") and any(sign in level for sign in "+{}"):
                what = "+" if "+" in level else "a placeholder"
                raise Misspelt(
                    f"level {number}, {level}: {what} stands for one whole level", "put it between slashes"
                )
            else:
                self._levels.append(level)
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise Misspelt(f"{{{twice}}} is in it twice", "use + for the other level")
        self.names = frozenset(names)
        self.filter = share + "/".join("+" if level.startswith("{") else level for level in self._levels)

    def match(self, topic: str) -> dict[str, str] | None:
        """The named levels of a topic, or None where it does not match."""
        if topic.startswith("$") and self._levels[0] in ("#", "+"):
            return None
        levels = topic.split("/")
        found: dict[str, str] = {}
        for number, wanted in enumerate(self._levels):
            if wanted == "#":
                return found
            if number >= len(levels):
                return None
            if wanted.startswith("{"):
                found[wanted[1:]] = levels[number]
            elif wanted not in ("+", levels[number]):
                return None
        # `a/#` also matches `a`; any other pattern matches as many levels as it has.
        return found if len(levels) == len(self._levels) else None


class _Route:
    """One subscription, ready to resolve topics."""

    def __init__(
        self, settings: SubscriptionSettings, field: str, site: str, known: Mapping[str, KnownSensor]
    ) -> None:
        try:
            self.pattern = Pattern(settings.topic)
        except Misspelt as error:
            raise Misconfigured(f"{settings.topic} {error}", f"{field}.topic", error.hint) from error
        try:
            self._read = codec(settings.payload)
        except Misspelt as error:
            raise Misconfigured(str(error), f"{field}.payload", error.hint) from error
        self.tally = Tally()
        self.marked = settings.payload.at is not None or settings.payload.counter is not None
        self._settings = settings
        self._site = site
        self._known = known
        fixed = not _NAMED.search(settings.sensor_id) and settings.sensor_id in known
        for name in ("sensor_id", "site") if fixed else ("sensor_id", "sensor_type", "tank", "site"):
            missing = set(_NAMED.findall(getattr(settings, name))) - self.pattern.names
            if missing - ({"site"} if name == "site" else set()):
                raise Misconfigured(
                    f"{{{min(missing)}}} is not a level of {settings.topic}",
                    f"{field}.{name}",
                    f"name the level in the topic, or write the {name.replace('_', ' ')} itself",
                )

    def resolve(self, topic: str) -> Source | str | None:
        """The sensor of a topic, or why there is none; None where the topic does not match."""
        levels = self.pattern.match(topic)
        if levels is None:
            return None
        for name, level in levels.items():
            if not 0 < len(level) <= _LONGEST_NAME or not level.isprintable() or level[0] in ".$":
                return f"the level {name} of its topic is no name (1 to {_LONGEST_NAME} printable characters)"
        levels.setdefault("site", self._site)
        settings = self._settings
        sensor_id = _fill(settings.sensor_id, levels)
        site = _fill(settings.site, levels)
        sensor = self._known.get(sensor_id)
        if sensor is not None:
            return Source(
                sensor_id, sensor.type, sensor.tank, site, sensor.unit, True, self._read, self.tally, self.marked
            )
        return Source(
            sensor_id,
            _fill(settings.sensor_type, levels),
            _fill(settings.tank, levels),
            site,
            settings.unit or "",
            False,
            self._read,
            self.tally,
            self.marked,
        )


class Routes:
    """All subscriptions of a connection. `resolve` is one dictionary look-up for a topic seen before."""

    def __init__(
        self, settings: MqttSettings, tallies: Mapping[SubscriptionSettings | None, Tally] | None = None
    ) -> None:
        """Compile the subscriptions; those in `tallies` go on counting there. None is no subscription at all.

        Raises:
            Misconfigured: a pattern, a path or a name in one of them is wrong; `field` says which.
        """
        known = {sensor.id: sensor for sensor in settings.sensors}
        self._routes: list[_Route] = []
        self._unmatched = tallies[None] if tallies and None in tallies else Tally()
        self.tallies: dict[SubscriptionSettings | None, Tally] = {None: self._unmatched}
        for number, subscription in enumerate(settings.subscriptions):
            route = _Route(subscription, f"subscriptions[{number}]", settings.site, known)
            if tallies and subscription in tallies:
                route.tally = tallies[subscription]
            self.tallies[subscription] = route.tally
            self._routes.append(route)
        wanted: dict[str, int] = {}
        for route, subscription in zip(self._routes, settings.subscriptions, strict=True):
            wanted[route.pattern.filter] = max(subscription.qos, wanted.get(route.pattern.filter, 0))
        self.filters = cover(wanted)
        self.marked = any(route.marked for route in self._routes)
        self._cache: dict[bytes, Resolved] = {}
        self.get = self._cache.get

    def resolve(self, topic: bytes) -> Resolved:
        """What a topic leads to. The caller looks into the cache with `get` first."""
        found = self._cache.get(topic)
        if found is None:
            if len(self._cache) >= CACHED_TOPICS:
                self._cache.clear()
            found = self._cache[topic] = self._resolve(topic)
        return found

    def _resolve(self, topic: bytes) -> Resolved:
        try:
            name = topic.decode()
        except UnicodeDecodeError:
            text = topic.decode(errors="backslashreplace")
            return Resolved(text, (), "its topic is not UTF-8", misses=(self._unmatched,))
        sources: dict[str, Source] = {}
        reason = "its topic matches no subscription"
        misses: list[Tally] = []
        for route in self._routes:
            found = route.resolve(name)
            if isinstance(found, Source):
                sources.setdefault(found.sensor_id, found)
            elif found is not None:
                reason = found
                misses.append(route.tally)
        if not sources:
            return Resolved(name, (), reason, misses=tuple(misses) or (self._unmatched,))
        marked = any(source.marked for source in sources.values())
        return Resolved(name, tuple(sources.values()), marked=marked)


def cover(wanted: Mapping[str, int]) -> dict[str, int]:
    """The fewest of these filters (with their QoS) that match all that they match together.

    A broker may deliver a message once for each filter that matches it, so one filter inside another
    is not subscribed to: the wider one takes the higher QoS of both.
    """
    kept: dict[str, int] = {}
    for name, qos in wanted.items():
        inside = [other for other in wanted if other != name and _within(name, other)]
        if not inside:
            kept[name] = max([qos, *(wanted[other] for other in wanted if _within(other, name))])
    return kept


def _within(inner: str, outer: str) -> bool:
    """Whether every topic that `inner` matches is matched by `outer` too."""
    inside, outside = inner.split("/"), outer.split("/")
    if inner.startswith("$") and outside[0] in ("+", "#"):
        return False
    for number, wanted in enumerate(outside):
        if wanted == "#":
            return True
        if number >= len(inside) or inside[number] == "#" or wanted not in ("+", inside[number]):
            return False
    return len(inside) == len(outside)


def _fill(template: str, levels: Mapping[str, str]) -> str:
    return _NAMED.sub(lambda found: levels[found[1]], template)
