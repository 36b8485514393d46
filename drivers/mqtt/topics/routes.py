"""Topics: which subscription a message belongs to, and which sensor it speaks of.

In a pattern such as `farm/{site}/{tank}/{metric}` each `{x}` stands for one whole level and gives it a name; MQTT's
own `+` and `#` stand for levels that nobody asks for. A message goes to every subscription whose pattern its topic
matches (a payload with three values takes three subscriptions of one pattern); where two of them name the same
sensor, the first in the configuration counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers.mqtt.codecs import Unread, codec, identity, name_reader
from drivers.mqtt.codecs.registry import family
from drivers.mqtt.settings import PayloadSettings
from drivers.mqtt.topics.sources import Decoder, Guard, Named, Resolved, Source, Tally
from drivers.patterns import PLACEHOLDERS, Pattern, Template, cover
from drivers.spelling import Misspelt
from drivers.values import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drivers.mqtt.codecs.measurements import Answer
    from drivers.mqtt.codecs.measurements import Codec as MessageCodec
    from drivers.mqtt.settings import KnownSensor, MqttSettings, SubscriptionSettings
    from drivers.spelling import Location

CACHED_TOPICS = 16_384
"""Topics remembered. Past it all are forgotten and learnt again: a flood of topics costs time, never memory."""

_LONGEST_NAME = 64
_OF_CHANNELS = frozenset({"device", "channel"})
"""Names that a measurement has, in templates of subscriptions that bring several a message."""


class Route:
    """One subscription, ready to resolve topics."""

    def __init__(
        self,
        settings: SubscriptionSettings,
        at: Location,
        site: str,
        known: Mapping[str, KnownSensor],
        codecs: dict[PayloadSettings, MessageCodec],
    ) -> None:
        try:
            self.pattern = Pattern(settings.topic)
        except Misspelt as error:
            raise Misconfigured(f"{settings.topic} {error}", (*at, "topic"), error.hint) from error
        try:
            if settings.by_channel and settings.payload not in codecs:
                codecs[settings.payload] = family(settings.payload.format)(settings.payload)
            # What has a codec of its own is never read as a single value.
            single = PayloadSettings() if settings.by_channel else settings.payload
            self._read = codec(single)
            self._says_when = identity(single)
        except Misspelt as error:
            raise Misconfigured(str(error), (*at, "payload"), error.hint) from error
        self.tally = Tally()
        self.codec = codecs[settings.payload] if settings.by_channel else None
        self.marked = not settings.by_channel and (
            settings.payload.at is not None or settings.payload.counter is not None
        )
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
        self._sensors = {(one.device, one.channel): one.sensor_id for one in settings.channels}
        self._by_name = bool(_OF_CHANNELS.intersection(self._sensor_id.fields))
        if self.codec is not None:
            self._look_at_channels(at)
            if not self._by_name:
                names = {"site": self._name_of_site}
        self._look_at_names(names, at)

    def _look_at_names(self, names: Mapping[str, Template], at: Location) -> None:
        """What a template names must be a level of the topic, or something that a payload has."""
        settings = self._settings
        for name, template in names.items():
            missing = set(template.fields).difference(self.pattern.names)
            if self.codec is not None:
                missing.difference_update(_OF_CHANNELS)
            if name == "site":
                missing.discard("site")
            elif settings.payload.format == "json" and self.codec is None:
                for path in sorted(missing.difference(PLACEHOLDERS)):
                    self.fields[path] = _name_reader(path, (*at, name))
                missing.intersection_update(PLACEHOLDERS)
            if missing:
                raise Misconfigured(
                    f"{{{min(missing)}}} is not a level of {settings.topic}",
                    (*at, name),
                    f"name the level in the topic, or write the {name.replace('_', ' ')} itself",
                )

    def _look_at_channels(self, at: Location) -> None:
        if not self._sensors and not self._by_name:
            raise Misconfigured(
                f"{self._settings.payload.format} brings several measurements a message, and none has a sensor",
                (*at, "channels"),
                "list channels with their sensor_id, or set sensor_id: '{device}_{channel}'",
            )
        for number, one in enumerate(self._settings.channels):
            if one.sensor_id not in self._known:
                raise Misconfigured(
                    f"there is no sensor {one.sensor_id}",
                    (*at, "channels", number, "sensor_id"),
                    "add it to sensors, with its type, unit and tank",
                )

    def channel(self, device: str, channel: str, levels: Mapping[str, str]) -> Source | None:
        """The sensor of a channel; None if the configuration has none for it.

        Raises:
            Unread: device and channel cannot be the name of a sensor.
        """
        sensor_id = self._sensors.get((device, channel)) or self._sensors.get((None, channel))
        if sensor_id is None and not self._by_name:
            return None
        # A level of a topic cannot have a slash in it.
        names = {**levels, "device": device.replace("/", "."), "channel": channel.replace("/", ".")}
        source = self.source(names, sensor_id)
        if not _is_name(source.sensor_id) or not _is_name(source.tank_id):
            raise Unread("the names of its device and channel cannot be those of a sensor")
        return source

    def resolve(self, topic: str) -> Source | Named | Decoder | str | None:
        """The sensor or sensors of a topic, or why there is none; None if the topic does not match."""
        levels = self.pattern.match(topic)
        if levels is None:
            return None
        for name, level in levels.items():
            if not _is_name(level):
                return f"the level {name} of its topic is not a name (1 to {_LONGEST_NAME} printable characters)"
        levels.setdefault("site", self._site)
        if self.codec is not None:
            return Decoder(self, levels, self.codec)
        return Named(self, levels) if self.fields else self.source(levels)

    def source(self, levels: Mapping[str, str], sensor_id: str | None = None) -> Source:
        """The sensor of a message whose names are these."""
        settings = self._settings
        says_when = self._says_when if self.marked else None
        sensor_id = sensor_id or self._sensor_id.fill(levels)
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
                Guard.of(sensor.type, sensor.unit, sensor),
            )
        sensor_type = self._sensor_type.fill(levels)
        return Source(
            sensor_id,
            sensor_type,
            self._tank.fill(levels),
            site,
            settings.unit or "",
            False,
            self._read,
            self.tally,
            self.marked,
            says_when,
            Guard.of(sensor_type, settings.unit or ""),
        )


class Routes:
    """All subscriptions of a connection. `resolve` is one dictionary look-up for a topic seen before."""

    def __init__(
        self,
        settings: MqttSettings,
        tallies: Mapping[SubscriptionSettings | None, Tally] | None = None,
        codecs: Mapping[PayloadSettings, MessageCodec] | None = None,
    ) -> None:
        """Compile the subscriptions; those in `tallies` go on counting there. None is no subscription at all.

        Subscriptions whose payloads are read alike share one codec: what one learns, such as a description, may be of
        what the other brings. Those in `codecs` go on with what they know.

        Raises:
            Misconfigured: a pattern, a path or a name in one of them is wrong; `field` says which.
        """
        known = {sensor.id: sensor for sensor in settings.sensors}
        self._routes: list[Route] = []
        shared = dict(codecs or {})
        self.answers: list[Answer] = []
        """What is to be published in answer to messages; whoever does that takes it out."""
        self._unmatched = tallies[None] if tallies and None in tallies else Tally()
        self.tallies: dict[SubscriptionSettings | None, Tally] = {None: self._unmatched}
        for number, subscription in enumerate(settings.subscriptions):
            route = Route(subscription, ("subscriptions", number), settings.site, known, shared)
            if tallies and subscription in tallies:
                route.tally = tallies[subscription]
            self.tallies[subscription] = route.tally
            self._routes.append(route)
        used = {subscription.payload for subscription in settings.subscriptions if subscription.by_channel}
        self.codecs: dict[PayloadSettings, MessageCodec] = {key: one for key, one in shared.items() if key in used}
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

    def forget(self) -> None:
        """The session is lost, and messages with it: what codecs have learned may be out of date."""
        for one in self.codecs.values():
            one.forget()

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
        decoders: list[Decoder] = []
        marked = False
        reason = "its topic matches no subscription"
        misses: list[Tally] = []
        for route in self._routes:
            found = route.resolve(name)
            if isinstance(found, Source):
                sources.setdefault(found.sensor_id, found)
            elif isinstance(found, Decoder):
                decoders.append(found)
            elif isinstance(found, Named):
                named.append(found)
                marked = marked or route.marked
            elif found is not None:
                reason = found
                misses.append(route.tally)
        marked = marked or any(source.marked for source in sources.values())
        if named or decoders:
            return Resolved(
                name,
                (),
                marked=marked and not decoders,
                fixed=tuple(sources.values()),
                by_payload=tuple(named),
                decoders=tuple(decoders),
            )
        if not sources:
            return Resolved(name, (), reason, misses=tuple(misses) or (self._unmatched,))
        return Resolved(name, tuple(sources.values()), marked=marked)


def _is_name(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_NAME and text.isprintable() and text[0] not in ".$"


def _name_reader(path: str, field: Location) -> Callable[[bytes], str]:
    try:
        return name_reader(path)
    except Misspelt as error:
        raise Misconfigured(str(error), field, error.hint) from error
