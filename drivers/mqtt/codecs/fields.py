"""The codec of a subscription: a plain number, or fields of a JSON document by their paths."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from drivers.mqtt.codecs.documents import document_of
from drivers.mqtt.codecs.flat import Codec, Fields, flat
from drivers.mqtt.codecs.numbers import Written, kind_of, number, value
from drivers.mqtt.codecs.paths import Levels, levels
from drivers.mqtt.codecs.times import time_from
from drivers.mqtt.codecs.unread import Unread
from drivers.spelling import Misspelt

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

    from drivers.mqtt.settings import PayloadSettings

_ALLOWED_FORMATS = ("json", "number")
_LONGEST_NAME = 64


def codec(settings: PayloadSettings) -> Codec:
    """The codec of a subscription.

    Raises:
        Misspelt: a path is empty or has an empty level, or a format or zone is not known.
    """
    written = Written(decimal_comma=settings.decimal_comma, switch=settings.switch)
    if settings.format == "number":
        return _plain(written)
    if settings.format != "json":
        raise Misspelt(f"there is no format {settings.format}", f"write {' or '.join(_ALLOWED_FORMATS)}")
    path = levels(settings.value)
    at = None if settings.at is None else levels(settings.at)
    unit = None if settings.unit is None else levels(settings.unit)
    zone = zone_of(settings.at_zone)
    if unit is None and len(path) == 1 and isinstance(path[0], str) and (at is None or len(at) == 1):
        return flat(path[0], settings.value, None if at is None else at[0], zone, written)
    return _nested(settings, path, at, unit, zone, written)


def name_reader(path: str) -> Callable[[bytes], str]:
    """Reads a name, such as a sensor's id, from a field that holds a text or a whole number.

    The reader raises Unread if there is no such field, or what it holds cannot be a name.

    Raises:
        Misspelt: the path is empty, or a level of it is.
    """
    way = levels(path)

    def read(payload: bytes) -> str:
        found = _follow(document_of(payload), way, path)
        name = str(found) if type(found) is int else found
        if type(name) is not str:
            raise Unread(f"{path} is {kind_of(found)}, not a name")
        if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable() or name[0] in ".$" or set(name) & set("/+#"):
            raise Unread(f"{path} is not a name (1 to {_LONGEST_NAME} printable characters without / + #)")
        return name

    return read


def zone_of(name: str | None) -> tzinfo | None:
    """A time zone by its name, such as `UTC` or `Europe/Oslo`.

    Raises:
        Misspelt: this machine knows no zone of that name.
    """
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Misspelt(
            f"this machine knows no time zone {name}", "write UTC, or a name such as Europe/Oslo"
        ) from None


def _plain(written: Written) -> Codec:
    def read(payload: bytes) -> Fields:
        found, unit = number(payload, "the payload", written)
        return found, None, unit

    return read


def _nested(  # noqa: PLR0917 - the parts of one codec
    settings: PayloadSettings,
    path: Levels,
    at: Levels | None,
    unit: Levels | None,
    zone: tzinfo | None,
    written: Written,
) -> Codec:
    def read(payload: bytes) -> Fields:
        document = document_of(payload)
        found, name = value(_follow(document, path, settings.value), settings.value, written)
        time: datetime | str | None = None
        if at is not None:
            time = time_from(_found(document, at), zone)
        if unit is not None:
            stated = _found(document, unit)
            if stated is not None and type(stated) is not str:
                raise Unread(f"the unit in {settings.unit} is {kind_of(stated)}, not a text")
            name = stated or name
        return found, time, name

    return read


def identity(settings: PayloadSettings) -> Callable[[bytes], bool]:
    """Whether a payload says its own time or counter, so that the same payload again is the same message.

    Raises:
        Misspelt: a path is empty, or the zone is not known.
    """
    at = None if settings.at is None else levels(settings.at)
    counter = None if settings.counter is None else levels(settings.counter)
    zone = zone_of(settings.at_zone)

    def says(payload: bytes) -> bool:
        try:
            document = document_of(payload)
        except Unread:
            return False
        if counter is not None and _found(document, counter) is not None:
            return True
        return at is not None and isinstance(time_from(_found(document, at), zone), datetime)

    return says


def _found(document: Any, way: Levels) -> Any:
    """What a field holds; None if there is no such field."""
    try:
        return _follow(document, way, "")
    except Unread:
        return None


def _follow(document: Any, way: Levels, path: str) -> Any:
    for level in way:
        if isinstance(document, dict):
            key = str(level)
            if key not in document:
                raise Unread(f"there is no {path}")
            document = document[key]
        elif isinstance(document, list) and isinstance(level, int):
            if level >= len(document):
                raise Unread(f"there is no {path}")
            document = document[level]
        else:
            raise Unread(f"there is no {path}")
    return document
