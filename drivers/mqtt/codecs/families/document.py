"""JSON of any shape: all its values by their paths, or the members of one list or object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drivers.mqtt.codecs.fields import zone_of
from drivers.mqtt.codecs.leaves import Leaves, document_of, dotted, id_of
from drivers.mqtt.codecs.measurements import Kind, Measurement, Read, is_empty, readings
from drivers.mqtt.codecs.numbers import Written, value
from drivers.mqtt.codecs.paths import followed, levels
from drivers.mqtt.codecs.times import time_from
from drivers.mqtt.codecs.unread import Unread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from drivers.mqtt.codecs.measurements import Message
    from drivers.mqtt.codecs.paths import Levels
    from drivers.mqtt.settings import PayloadSettings


class Document:
    """Reads JSON. The device is what `device` names in it, else the topic."""

    filters: tuple[str, ...] = ()

    def __init__(self, settings: PayloadSettings) -> None:
        self._written = Written(decimal_comma=settings.decimal_comma, switch=settings.switch)
        self._zone = zone_of(settings.at_zone)
        self._leaves = Leaves(self._written, self._zone)
        self._device = _way(settings.device)
        self._at = _way(settings.at)
        self._each = _way(settings.each)
        self._value = levels(settings.value)
        self._unit = _way(settings.unit)
        self._name = _way(settings.name)

    def read(self, message: Message) -> Read:
        """The values of one document."""
        if is_empty(message.payload):
            return Read(Kind.DELETED, device=message.topic)
        document = document_of(message.payload)
        device = message.topic
        if self._device is not None:
            named = followed(document, self._device)
            if type(named) is not str and type(named) is not int:
                raise Unread("it does not name its device")
            device = str(named)
        at: datetime | str | None = None
        if self._at is not None:
            at = time_from(followed(document, self._at), self._zone)
        if self._each is None:
            return readings(self._leaves.of(document, device, at), device=device)
        return readings(self._members(followed(document, self._each), device, at), device=device)

    def forget(self) -> None:
        """Nothing is remembered."""

    def _members(self, found: Any, device: str, at: datetime | str | None) -> Iterator[Measurement]:
        if isinstance(found, dict):
            members = [(str(key), inner) for key, inner in found.items()]
        elif isinstance(found, list):
            members = [("", inner) for inner in found]
        else:
            raise Unread("there is no list or object where its measurements should be")
        for given, inner in members:
            name = given
            if self._name is not None:
                named = followed(inner, self._name)
                name = str(named) if type(named) in {str, int} else ""
            elif not given and isinstance(inner, dict):
                name = id_of(inner)[1]
            if not name:
                yield Measurement(device, "", None, None, at, "a member of its list has no name")
                continue
            yield self._member(inner, device, dotted((name[:128],)), at)

    def _member(self, inner: Any, device: str, channel: str, at: datetime | str | None) -> Measurement:
        found, unit = inner, None
        if isinstance(inner, dict | list):
            found = followed(inner, self._value)
            unit = None if self._unit is None else followed(inner, self._unit)
            if self._at is not None:
                own = followed(inner, self._at)
                at = at if own is None else time_from(own, self._zone)
        try:
            number, behind = value(found, "it", self._written)
        except Unread as reason:
            return Measurement(device, channel, None, None, at, str(reason))
        return Measurement(device, channel, number, (unit if isinstance(unit, str) else None) or behind, at)


def _way(path: str | None) -> Levels | None:
    return None if path is None else levels(path)
