"""Zigbee2MQTT: one document a device, with all that is known of it; `last_seen` is the time of it.

Units are a device's own, and `bridge/devices` (retained) says them. A name may have slashes in it. Without
`last_seen` a value may be of any age, for a restart of the bridge publishes what it remembers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from drivers.mqtt.codecs.fields import zone_of
from drivers.mqtt.codecs.leaves import Leaves, document_of
from drivers.mqtt.codecs.measurements import Kind, Read, is_empty, readings
from drivers.mqtt.codecs.numbers import Written
from drivers.mqtt.codecs.times import time_from
from drivers.mqtt.codecs.unread import Unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drivers.mqtt.codecs.leaves import Path
    from drivers.mqtt.codecs.measurements import Message
    from drivers.mqtt.settings import PayloadSettings

_MOST_DEVICES: Final = 4_096
_MOST_UNITS: Final = 128
_DEEPEST: Final = 6
_SKIP: Final = frozenset({"last_seen", "device", "update", "elapsed"})


class Zigbee2Mqtt:
    """Reads what the bridge publishes of its devices. A channel is a property: `temperature`, `battery`."""

    filters = ("zigbee2mqtt/#",)

    def __init__(self, settings: PayloadSettings) -> None:
        self._zone = zone_of(settings.at_zone)
        self._written = Written(decimal_comma=settings.decimal_comma, switch=True)
        self._units: dict[str, dict[str, str]] = {}
        """Of each device by the name that its topics have."""

    def read(self, message: Message) -> Read:
        """The values of one device.

        Raises:
            Unread: it is neither a document nor one attribute.
        """
        _, _, rest = message.topic.partition("/")
        if not rest:
            raise Unread("its topic is not one of Zigbee2MQTT")
        if rest == "bridge" or rest.startswith("bridge/"):
            return self._bridge(rest, message)
        name, _, last = rest.rpartition("/")
        if name and last in {"set", "get"}:
            return Read(Kind.COMMAND, device=name)
        if name and last == "availability":
            return Read(Kind.AVAILABILITY, device=name)
        if is_empty(message.payload):
            return Read(Kind.DELETED, device=rest)
        document = self._document(message.payload)
        if not isinstance(document, dict):
            # One attribute a topic, where the bridge is set so.
            if not name or isinstance(document, list):
                raise Unread("it is not a JSON object")
            return readings(self._leaves(name).of(document, name, None, (last,)), device=name)
        at = time_from(document["last_seen"], self._zone) if "last_seen" in document else None
        return readings(self._leaves(rest).of(document, rest, at), device=rest)

    def forget(self) -> None:
        """The descriptions come again: they are retained."""
        self._units.clear()

    @staticmethod
    def _document(payload: bytes) -> Any:
        try:
            return document_of(payload)
        except Unread:
            if payload.lstrip()[:1] in {b"{", b"["}:
                raise
            return payload.decode(errors="replace")

    def _leaves(self, device: str) -> Leaves:
        units = self._units.get(device, {})

        def unit_of(path: Path) -> str | None:
            return units.get(path[-1])

        return Leaves(self._written, self._zone, _SKIP, unit_of, frozenset())

    def _bridge(self, rest: str, message: Message) -> Read:
        if rest == "bridge/state":
            return Read(Kind.AVAILABILITY)
        if rest != "bridge/devices" or is_empty(message.payload):
            return Read(Kind.COMMAND if rest.startswith(("bridge/request", "bridge/response")) else Kind.OTHER)
        devices = document_of(message.payload)
        if not isinstance(devices, list):
            raise Unread("the list of devices is no list")
        self._units.clear()
        for device in devices[:_MOST_DEVICES]:
            if not isinstance(device, dict) or not isinstance(device.get("friendly_name"), str):
                continue
            definition = device.get("definition")
            exposes = definition.get("exposes") if isinstance(definition, dict) else None
            self._units[device["friendly_name"]] = dict(
                pair for pair, _ in zip(_units(exposes, 0), range(_MOST_UNITS), strict=False)
            )
        return Read(Kind.DESCRIPTION)


def _units(exposes: Any, depth: int) -> Iterator[tuple[str, str]]:
    if not isinstance(exposes, list) or depth > _DEEPEST:
        return
    for one in exposes:
        if not isinstance(one, dict):
            continue
        if isinstance(one.get("property"), str) and isinstance(one.get("unit"), str):
            yield one["property"], one["unit"]
        yield from _units(one.get("features"), depth + 1)
