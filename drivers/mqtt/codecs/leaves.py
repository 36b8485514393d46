"""All values of a JSON document, each under its path: `sensors.ph`, `DS18B20-1.Temperature`.

- `{"value": 7.2, "unit": "pH"}` is one value, under the path of the object.
- An element of a list goes by its id or name if it has one, for its place may change: `values.do1`, not `values.0`.
- Elements with a time of their own and without an id are samples of one and the same channel.
- A time holds for the object that it stands in, and for all inside that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from drivers.mqtt.codecs.documents import document_from
from drivers.mqtt.codecs.measurements import Measurement
from drivers.mqtt.codecs.numbers import Written, value
from drivers.mqtt.codecs.times import time_from
from drivers.mqtt.codecs.unread import Unread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import tzinfo

DEEPEST: Final = 12
LONGEST_NAME: Final = 128
_LONGEST_ID: Final = 64

_TIMES: Final = frozenset(
    {"timestamp", "time", "ts", "at", "datetime", "date_time", "last_seen", "measured_at", "sampled_at"}
)
_VALUES: Final = frozenset({"value", "val", "reading"})
_UNITS: Final = frozenset({"unit", "units", "u", "uom", "unit_of_measurement"})
_IDS: Final = ("id", "name", "sensor_id", "sensor", "channel", "n", "key", "parameter", "metric", "type", "label")

Path = tuple[str, ...]


def _no_unit(_path: Path) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Leaves:
    """How the values of a document are found. `unit_of` is asked by path where the document names no unit."""

    written: Written = field(default_factory=lambda: Written(switch=True))
    zone: tzinfo | None = None
    skip: frozenset[str] = frozenset()
    """Keys that are never looked into."""
    unit_of: Callable[[Path], str | None] = _no_unit
    times: frozenset[str] = _TIMES

    def of(
        self, document: Any, device: str, at: datetime | str | None = None, path: Path = ()
    ) -> Iterator[Measurement]:
        """The values of a document. `at` is the time of what states none itself."""
        if len(path) > DEEPEST:
            yield Measurement(device, dotted(path), None, None, at, "it is nested too deep")
        elif isinstance(document, dict):
            yield from self._object(document, device, at, path)
        elif isinstance(document, list):
            yield from self._list(document, device, at, path)
        else:
            yield self._value(document, device, at, path, None)

    def time_in(self, found: dict[str, Any], at: datetime | str | None = None) -> datetime | str | None:
        """The time that an object states, else `at`."""
        stated: datetime | str | None = None
        for key, inner in found.items():
            if key.lower() in self.times and not isinstance(inner, dict | list):
                stated = time_from(inner, self.zone)
                if isinstance(stated, datetime):
                    return stated
        return at if stated is None else stated

    def _object(
        self, found: dict[str, Any], device: str, at: datetime | str | None, path: Path
    ) -> Iterator[Measurement]:
        at = self.time_in(found, at)
        noted = {
            key for key, inner in found.items() if key.lower() in self.times and not isinstance(inner, dict | list)
        }
        main = _main(found, noted)
        unit = None
        if main is not None:
            stated = next((key for key in found if key.lower() in _UNITS and isinstance(found[key], str)), None)
            if stated is not None:
                unit = found[stated]
                noted.add(stated)
        for key, inner in found.items():
            if key in noted or key in self.skip:
                continue
            if len(key) > LONGEST_NAME:
                yield Measurement(device, dotted(path), None, None, at, "a name in it is too long")
            elif key == main:
                yield self._value(inner, device, at, path or (key,), unit)
            else:
                yield from self.of(inner, device, at, (*path, key))

    def _list(self, found: list[Any], device: str, at: datetime | str | None, path: Path) -> Iterator[Measurement]:
        for place, inner in enumerate(found):
            if not isinstance(inner, dict):
                yield from self.of(inner, device, at, (*path, str(place)))
                continue
            key, name = id_of(inner)
            if key:
                inner = {one: held for one, held in inner.items() if one != key}  # noqa: PLW2901 - its id is its name
            elif not isinstance(self.time_in(inner), datetime):
                name = str(place)
            yield from self.of(inner, device, at, (*path, name) if name else path)

    def _value(self, found: Any, device: str, at: datetime | str | None, path: Path, unit: str | None) -> Measurement:
        try:
            number, behind = value(found, "it", self.written)
        except Unread as reason:
            return Measurement(device, dotted(path), None, unit, at, str(reason))
        unit = unit or behind
        if unit is None and type(found) is not bool and not (type(found) is str and found.lstrip()[:1].isalpha()):
            unit = self.unit_of(path)
        return Measurement(device, dotted(path), number, unit, at)


def document_of(payload: bytes) -> Any:
    """The document of a payload. What is not a finite number in it is `NoNumber`.

    Raises:
        Unread: it is not JSON.
    """
    try:
        return orjson.loads(payload)
    except ValueError:
        return document_from(payload)


def object_of(payload: bytes) -> dict[str, Any]:
    """The JSON object of a payload.

    Raises:
        Unread: it is not one.
    """
    found = document_of(payload)
    if not isinstance(found, dict):
        raise Unread("it is not a JSON object")
    return found


def dotted(path: Path) -> str:
    """A path as one text, as the configuration writes it."""
    return ".".join(level.replace(".", r"\.") for level in path) if path else "value"


def id_of(found: dict[str, Any]) -> tuple[str, str]:
    """The key of an element's id or name, and what it is; both empty if it has none."""
    for key in _IDS:
        held = found.get(key)
        if type(held) is int or (type(held) is str and 0 < len(held) <= _LONGEST_ID):
            return key, str(held)
    return "", ""


def _main(found: dict[str, Any], noted: set[str]) -> str | None:
    """The key of the one value that an object is about, if there is such a one."""
    for key, inner in found.items():
        low = key.lower()
        if isinstance(inner, dict | list) or (low not in _VALUES and low != "v"):
            continue
        # v may also be a voltage beside other values.
        if low == "v" and any(other != key and other not in noted and other.lower() not in _UNITS for other in found):
            continue
        return key
    return None
