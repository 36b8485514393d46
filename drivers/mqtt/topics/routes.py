"""Topics: which subscription a message belongs to, and which sensor it speaks of.

In a pattern such as `farm/{site}/{tank}/{metric}` each `{x}` stands for one whole level and gives it a name; MQTT's
own `+` and `#` stand for levels that nobody asks for. A message goes to every subscription whose pattern its topic
matches (a payload with three values takes three subscriptions of one pattern); where two of them name the same
sensor, the first in the configuration counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers.mqtt.codecs import codec, identity, name_reader
from drivers.mqtt.topics.sources import Named, Resolved, Source, Tally
from drivers.patterns import PLACEHOLDERS, Pattern, Template, cover
from drivers.spelling import Misspelt
from drivers.values import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drivers.mqtt.settings import KnownSensor, MqttSettings, SubscriptionSettings
    from drivers.spelling import Location

CACHED_TOPICS = 16_384
"""Topics remembered. Past it all are forgotten and learnt again: a flood of topics costs time, never memory."""

_LONGEST_NAME = 64


class Route:
    """One subscription, ready to resolve topics."""

    def __init__(
        self, settings: SubscriptionSettings, at: Location, site: str, known: Mapping[str, KnownSensor]
    ) -> None:
        try:
            self.pattern = Pattern(settings.topic)
        except Misspelt as error:
            raise Misconfigured(f"{settings.topic} {error}", (*at, "topic"), error.hint) from error
        try:
            self._read = codec(settings.payload)
            self._says_when = identity(settings.payload)
        except Misspelt as error:
            raise Misconfigured(str(error), (*at, "payload"), error.hint) from error
        self.tally = Tally()
        self.marked = settings.payload.at is not None or settings.payload.counter is not None
        self._settings = settings
        self._site = site
        self._known = known
        self.fields: dict[str, Callable[[bytes], str]] = {}
        """What names are to be filled in from the payload, and how each is read."""
        self._sensor_id, self._sensor_type = Template(settings.sensor_id), Template(settings.sensor_type)
        self._tank, self._name_of_site = Template(settings.tank), Template(settings.site)
        names = {"sensor_id": self._sensor_id, "site": self._name_of_site}
        if self._sensor_id.fields or settings.sensor_id not in known:
            names |= {"sensor_type": self._sensor_type, "tank": self._tank}
        for name, template in names.items():
            missing = set(template.fields).difference(self.pattern.names)
            if name == "site":
                missing.discard("site")
            elif settings.payload.format == "json":
                for path in sorted(missing.difference(PLACEHOLDERS)):
                    self.fields[path] = _name_reader(path, (*at, name))
                missing.intersection_update(PLACEHOLDERS)
            if missing:
                raise Misconfigured(
                    f"{{{min(missing)}}} is not a level of {settings.topic}",
                    (*at, name),
                    f"name the level in the topic, or write the {name.replace('_', ' ')} itself",
                )

    def resolve(self, topic: str) -> Source | Named | str | None:
        """The sensor or sensors of a topic, or why there is none; None if the topic does not match."""
        levels = self.pattern.match(topic)
        if levels is None:
            return None
        for name, level in levels.items():
            if not 0 < len(level) <= _LONGEST_NAME or not level.isprintable() or level[0] in ".$":
                return f"the level {name} of its topic is not a name (1 to {_LONGEST_NAME} printable characters)"
        levels.setdefault("site", self._site)
        return Named(self, levels) if self.fields else self.source(levels)

    def source(self, levels: Mapping[str, str]) -> Source:
        """The sensor of a message whose names are these."""
        settings = self._settings
        says_when = self._says_when if self.marked else None
        sensor_id = self._sensor_id.fill(levels)
        site = self._name_of_site.fill(levels)
        sensor = self._known.get(sensor_id)
        if sensor is not None:
            return Source(
                sensor_id,
                sensor.type,
                sensor.tank,
                site,
                sensor.unit,
                True,
                self._read,
                self.tally,
                self.marked,
                says_when,
            )
        return Source(
            sensor_id,
            self._sensor_type.fill(levels),
            self._tank.fill(levels),
            site,
            settings.unit or "",
            False,
            self._read,
            self.tally,
            self.marked,
            says_when,
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
        self._routes: list[Route] = []
        self._unmatched = tallies[None] if tallies and None in tallies else Tally()
        self.tallies: dict[SubscriptionSettings | None, Tally] = {None: self._unmatched}
        for number, subscription in enumerate(settings.subscriptions):
            route = Route(subscription, ("subscriptions", number), settings.site, known)
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

    def by_subscription(self) -> dict[str, Tally]:
        """What each topic pattern brought, added up over subscriptions that share it; "" is what matched none."""
        counts: dict[str, Tally] = {}
        for subscription, tally in self.tallies.items():
            if subscription is None:
                if tally.unreadable:
                    counts[""] = tally
            else:
                known = counts.get(subscription.topic)
                counts[subscription.topic] = tally if known is None else known.plus(tally)
        return counts

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
        named: list[Named] = []
        marked = False
        reason = "its topic matches no subscription"
        misses: list[Tally] = []
        for route in self._routes:
            found = route.resolve(name)
            if isinstance(found, Source):
                sources.setdefault(found.sensor_id, found)
            elif isinstance(found, Named):
                named.append(found)
                marked = marked or route.marked
            elif found is not None:
                reason = found
                misses.append(route.tally)
        marked = marked or any(source.marked for source in sources.values())
        if named:
            return Resolved(name, (), marked=marked, fixed=tuple(sources.values()), by_payload=tuple(named))
        if not sources:
            return Resolved(name, (), reason, misses=tuple(misses) or (self._unmatched,))
        return Resolved(name, tuple(sources.values()), marked=marked)


def _name_reader(path: str, field: Location) -> Callable[[bytes], str]:
    try:
        return name_reader(path)
    except Misspelt as error:
        raise Misconfigured(str(error), field, error.hint) from error
