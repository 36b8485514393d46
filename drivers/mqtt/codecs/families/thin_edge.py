"""thin-edge.io: measurements of `te/DEVICE/m/TYPE` (four levels of device, some of them empty) and of `tedge`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from drivers.mqtt.codecs.fields import zone_of
from drivers.mqtt.codecs.leaves import Leaves, object_of
from drivers.mqtt.codecs.measurements import Kind, Read, is_empty, readings
from drivers.mqtt.codecs.numbers import Written
from drivers.mqtt.codecs.unread import Unread

if TYPE_CHECKING:
    from drivers.mqtt.codecs.leaves import Path
    from drivers.mqtt.codecs.measurements import Message
    from drivers.mqtt.settings import PayloadSettings

_MOST_TYPES: Final = 4_096
_MOST_UNITS: Final = 128
_TIMES: Final = frozenset({"time"})


class ThinEdge:
    """Reads thin-edge JSON. A device is `device/main`, a channel `environment.temperature`."""

    filters = ("te/#",)

    def __init__(self, settings: PayloadSettings) -> None:
        self._zone = zone_of(settings.at_zone)
        self._written = Written(decimal_comma=settings.decimal_comma)
        self._units: dict[tuple[str, str], dict[str, str]] = {}

    def read(self, message: Message) -> Read:
        """The values of one message.

        Raises:
            Unread: it is no JSON object, or its topic is none of thin-edge.
        """
        levels = message.topic.split("/")
        if levels[:2] == ["tedge", "measurements"]:
            return self._measurements(levels[2] if len(levels) > 2 else "main", "", message)
        if levels[0] == "tedge":
            return Read(Kind.OTHER)
        if levels[0] != "te" or len(levels) < 5:
            raise Unread("its topic is not one of thin-edge")
        device = "/".join(level for level in levels[1:5] if level)
        if len(levels) == 5:
            return Read(Kind.DELETED if is_empty(message.payload) else Kind.DESCRIPTION, device=device)
        channel, rest = levels[5], levels[6:]
        if channel == "status":
            return Read(Kind.AVAILABILITY, device=device)
        if channel == "cmd":
            return Read(Kind.COMMAND, device=device)
        if channel != "m":
            return Read(Kind.OTHER, device=device)
        kind = rest[0] if rest else ""
        if rest[1:] == ["meta"]:
            self._describe(device, kind, message)
            return Read(Kind.DESCRIPTION, device=device)
        return self._measurements(device, kind, message)

    def forget(self) -> None:
        """The descriptions come again: they are retained."""
        self._units.clear()

    def _measurements(self, device: str, kind: str, message: Message) -> Read:
        if is_empty(message.payload):
            return Read(Kind.DELETED, device=device)
        units = self._units.get((device, kind), {})

        def unit_of(path: Path) -> str | None:
            return units.get(".".join(path[bool(kind) :])) or units.get(path[-1])

        leaves = Leaves(self._written, self._zone, frozenset({"type"}), unit_of, _TIMES)
        return readings(leaves.of(object_of(message.payload), device, None, (kind,) if kind else ()), device=device)

    def _describe(self, device: str, kind: str, message: Message) -> None:
        """The units of a type: `{"temperature": {"unit": "°C"}}`, or all of them under `units`."""
        if is_empty(message.payload):
            self._units.pop((device, kind), None)
            return
        document = object_of(message.payload)
        found: dict[str, str] = {}
        stated = document.get("units")
        for key, held in (stated if isinstance(stated, dict) else document).items():
            unit: Any = held.get("unit") if isinstance(held, dict) else held
            if isinstance(unit, str) and len(found) < _MOST_UNITS:
                found[key] = unit
        if len(self._units) < _MOST_TYPES:
            self._units[device, kind] = found
