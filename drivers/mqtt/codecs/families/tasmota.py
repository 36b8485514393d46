"""Tasmota: `tele/NAME/SENSOR` and its relatives, in either order of prefix and name.

Several DS18B20 are numbered by what was found at boot. So a probe goes by its `Id`, whatever its number is:
`DS18B20.3C01F09620CB.Temperature`. `Time` has no zone unless the device was told to write one;
`at_zone` says which it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from drivers.mqtt.codecs.fields import zone_of
from drivers.mqtt.codecs.leaves import Leaves, Path, object_of
from drivers.mqtt.codecs.measurements import Kind, Measurement, Read, is_empty, readings
from drivers.mqtt.codecs.numbers import Written, value
from drivers.mqtt.codecs.times import time_from
from drivers.mqtt.codecs.unread import Unread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from drivers.mqtt.codecs.measurements import Message
    from drivers.mqtt.settings import PayloadSettings

_PREFIXES: Final = ("tele", "stat", "cmnd")
_DOCUMENTS: Final = frozenset({"SENSOR", "STATE", "RESULT", "STATUS8", "STATUS10", "STATUS11"})
_ANNOTATIONS: Final = frozenset({"Time", "Id", "TempUnit", "PressureUnit", "SpeedUnit", "Epoch"})
_SWITCH: Final = re.compile(r"POWER\d{0,2}")
_NUMBERED: Final = re.compile(r"(.+)-\d{1,3}")
_UNITS: Final = {
    "humidity": "%", "voltage": "V", "current": "A", "power": "W", "apparentpower": "VA", "illuminance": "lx",
    "distance": "cm", "tds": "ppm", "ec": "uS/cm", "ph": "pH", "orp": "mV", "carbondioxide": "ppm", "energy": "kWh",
    "total": "kWh", "today": "kWh", "yesterday": "kWh", "frequency": "Hz", "signal": "dBm", "rssi": "%",
}  # fmt: skip
_TEMPERATURES: Final = frozenset({"temperature", "dewpoint", "objtmp", "ambtmp"})
_PROBES: Final = {"ds18b20": "ds18b20", "ds18s20": "ds18b20", "ds1822": "ds18b20", "ds18x20": "ds18b20"}


class Tasmota:
    """Reads what a device of Tasmota publishes."""

    filters = ("tele/+/+", "stat/+/+")

    def __init__(self, settings: PayloadSettings) -> None:
        self._zone = zone_of(settings.at_zone)
        self._written = Written(decimal_comma=settings.decimal_comma, switch=True)

    def read(self, message: Message) -> Read:
        """The values of one message.

        Raises:
            Unread: it is a document that is not JSON.
        """
        levels = message.topic.split("/")
        prefix = next((level for level in levels if level in _PREFIXES), "")
        last = levels[-1]
        device = "/".join(level for level in levels[:-1] if level not in _PREFIXES) or message.topic
        if prefix == "cmnd":
            return Read(Kind.COMMAND, device=device)
        if is_empty(message.payload):
            return Read(Kind.DELETED, device=device)
        if last == "LWT":
            return Read(Kind.AVAILABILITY, device=device)
        if _SWITCH.fullmatch(last):
            found, _ = value(message.payload.decode(errors="replace"), "it", self._written)
            return Read(measurements=(Measurement(device, last, found),), device=device)
        if last not in _DOCUMENTS:
            return Read(Kind.OTHER, device=device)
        document = object_of(message.payload)
        inner = document.get("StatusSNS", document)
        if last.startswith("STATUS") and inner is document:
            return Read(Kind.OTHER, device=device)
        if not isinstance(inner, dict):
            raise Unread("StatusSNS is no object")
        at = time_from(inner["Time"], self._zone) if "Time" in inner else None
        return readings(self._values(inner, device, at), device=device)

    def forget(self) -> None:
        """Nothing is remembered."""

    def _values(self, document: dict[str, Any], device: str, at: datetime | str | None) -> Iterator[Measurement]:
        stated = {key: held for key in _ANNOTATIONS if isinstance(held := document.get(key), str)}

        def unit_of(path: Path) -> str | None:
            return _unit(path[-1], stated)

        leaves = Leaves(self._written, self._zone, _ANNOTATIONS, unit_of, frozenset())
        for key, inner in document.items():
            if key in _ANNOTATIONS:
                continue
            path: tuple[str, ...] = (key[:128],)
            maker = ""
            if isinstance(inner, dict):
                numbered = _NUMBERED.fullmatch(path[0])
                name = numbered[1] if numbered else path[0]
                maker = _PROBES.get(name.lower(), "")
                if isinstance(inner.get("Id"), str) and inner["Id"]:
                    path = (name, inner["Id"][:64])
            for one in leaves.of(inner, device, at, path):
                yield one._replace(maker=maker) if maker else one


def _unit(key: str, stated: dict[str, str]) -> str | None:
    low = key.lower()
    if low in _TEMPERATURES:
        return stated.get("TempUnit")
    if low in {"pressure", "sealevelpressure", "seapressure"}:
        return stated.get("PressureUnit")
    if low == "speed":
        return stated.get("SpeedUnit")
    return _UNITS.get(low.rstrip("0123456789"))
