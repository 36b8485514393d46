r"""Payloads: from the bytes of a message to a value, its time and its unit; or the reason why not.

A path names the way to a field of a JSON document, level by level, with dots between them: `sensors.ph.value`.
A level that is a whole number takes that element of a list. A dot inside a key is written `\.`; `\[`, `\$` and `\/`
stand for those characters in a key that would otherwise look like another way of writing a path.

Reasons say what is wrong in few and fixed words, for they are counted by; the payload itself goes beside them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from drivers.mqtt.settings import Misspelt

if TYPE_CHECKING:
    from drivers.mqtt.settings import PayloadSettings

Fields = tuple[float, datetime | None, str | None]
"""Value, time in UTC and unit; None for what the payload does not carry."""

Codec = Callable[[bytes], Fields]
"""Reads one payload. Raises Unread."""

EARLIEST = datetime(2001, 1, 1, tzinfo=UTC)
"""A device's clock that was never set counts from 1970 or from 2000."""
LATEST = datetime(2100, 1, 1, tzinfo=UTC)

_MILLISECONDS_FROM = 1e11  # as seconds that is the year 5138, as milliseconds 1973
_NUMBER = re.compile(rb"\s*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?\s*")
_UNITS = {
    "°c": "degc",
    "c": "degc",
    "cel": "degc",
    "celsius": "degc",
    "°f": "degf",
    "f": "degf",
    "mg/liter": "mg/l",
    "mg/litre": "mg/l",
    "pct": "%",
    "percent": "%",
}
_ELSEWHERE = re.compile(r"^\$(?:$|[.\[])|^\.|^/|(?<!\\)\[")
"""How paths begin, or take an element, in JSONPath, jq, JavaScript and JSON pointers."""
_ALLOWED_FORMATS = ("json", "number")


class Unread(Exception):  # noqa: N818 - a state of a payload, not an error of ours
    """No reading comes from this payload; the text is the reason."""


def codec(settings: PayloadSettings) -> Codec:
    """The codec of a subscription.

    Raises:
        Misspelt: a path is empty or has an empty level, or there is no such format.
    """
    if settings.format == "number":
        return _read_number
    if settings.format != "json":
        raise Misspelt(f"there is no format {settings.format}", f"write {' or '.join(_ALLOWED_FORMATS)}")
    value = _levels(settings.value)
    at = None if settings.at is None else _levels(settings.at)
    unit = None if settings.unit is None else _levels(settings.unit)
    counter = None if settings.counter is None else _levels(settings.counter)
    plain = unit is None and counter is None
    if plain and len(value) == 1 and isinstance(value[0], str) and (at is None or len(at) == 1):
        return _flat(value[0], settings.value, None if at is None else at[0], settings.at)
    return _nested(settings, value, at, unit, counter)


def same_unit(one: str, other: str) -> bool:
    """Whether two units are written differently at most: °C, C, Cel and degC are one."""
    return one == other or _UNITS.get(one.lower(), one.lower()) == _UNITS.get(other.lower(), other.lower())


def time_from(found: Any, path: str) -> datetime:
    """A time as devices write it: ISO 8601 with its zone, or seconds or milliseconds since 1970.

    Raises:
        Unread: it is neither, or before 2001, or after 2099.
    """
    if type(found) is str:
        try:
            at = datetime.fromisoformat(found)
        except ValueError:
            raise Unread(f"the time in {path} is not ISO 8601") from None
        if at.tzinfo is None:
            raise Unread(f"the time in {path} has no zone, so it may be off by hours")
        if at.tzinfo is not UTC:
            try:
                at = at.astimezone(UTC)
            except OverflowError:
                raise Unread(f"the time in {path} is out of range") from None
    elif type(found) is int or type(found) is float:
        seconds = found / 1000 if abs(found) >= _MILLISECONDS_FROM else found
        try:
            at = datetime.fromtimestamp(seconds, UTC)
        except (OverflowError, ValueError, OSError):
            raise Unread(f"the time in {path} is out of range") from None
    else:
        raise Unread(f"the time in {path} is {_kind(found)}, neither ISO 8601 nor a number")
    if not EARLIEST <= at < LATEST:
        raise Unread(f"the time in {path} is out of range (2001 to 2099): is the device's clock set?")
    return at


def _read_number(payload: bytes) -> Fields:
    return _number(payload, "the payload"), None, None


def _number(text: bytes, where: str) -> float:
    """A decimal number and nothing else: Python's own reader also takes `nan`, `inf` and `1_000`."""
    if not _NUMBER.fullmatch(text):
        raise Unread(f"{where} is empty" if not text.strip() else f"{where} is not a number")
    value = float(text)
    if not math.isfinite(value):
        raise Unread(f"{where} is out of range")
    return value


def _flat(key: str, value_path: str, at_key: str | int | None, at_path: str | None) -> Codec:
    """The codec of one level, which is that of most sensors."""
    loads = orjson.loads

    def read(payload: bytes) -> Fields:
        try:
            document = loads(payload)
            found = document[key]
        except (ValueError, KeyError, TypeError, IndexError):
            raise Unread(_missing(payload, value_path)) from None
        if type(found) is not float:
            found = _value(found, value_path)
        if at_key is None:
            return found, None, None
        try:
            at = document[at_key]
        except (KeyError, TypeError, IndexError):
            raise Unread(f"there is no {at_path}") from None
        return found, time_from(at, at_path or ""), None

    return read


def _nested(
    settings: PayloadSettings,
    value: tuple[str | int, ...],
    at: tuple[str | int, ...] | None,
    unit: tuple[str | int, ...] | None,
    counter: tuple[str | int, ...] | None,
) -> Codec:
    def read(payload: bytes) -> Fields:
        try:
            document = orjson.loads(payload)
        except ValueError:
            raise Unread("it is not JSON") from None
        number = _value(_follow(document, value, settings.value), settings.value)
        if counter is not None:
            # Only that it is there: two payloads with another one are not equal.
            _follow(document, counter, settings.counter or "")
        time = None if at is None else time_from(_follow(document, at, settings.at or ""), settings.at or "")
        if unit is None:
            return number, time, None
        name = _follow(document, unit, settings.unit or "")
        if type(name) is not str:
            raise Unread(f"the unit in {settings.unit} is {_kind(name)}, not a text")
        return number, time, name

    return read


def _value(found: Any, path: str) -> float:
    if type(found) is int:
        return float(found)
    if type(found) is float:
        return found
    if type(found) is str:
        return _number(found.encode(errors="replace"), path)
    raise Unread(f"{path} is {_kind(found)}, not a number")


def _follow(document: Any, levels: tuple[str | int, ...], path: str) -> Any:
    for level in levels:
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


def _missing(payload: bytes, path: str) -> str:
    try:
        document = orjson.loads(payload)
    except ValueError:
        return "it is not JSON"
    return f"there is no {path}" if isinstance(document, dict) else f"it is {_kind(document)}, not a JSON object"


def _kind(found: Any) -> str:
    if isinstance(found, bool):
        return "true or false"
    if isinstance(found, str):
        return "a text"
    if isinstance(found, int | float):
        return "a number"
    if found is None:
        return "null"
    return "a list" if isinstance(found, list) else "an object"


def look_at_spelling(path: str) -> None:
    """See whether a path is written in another language. It is still taken as it is: keys may have such characters.

    Raises:
        Misspelt: it is written as in JSONPath, jq, JavaScript or a JSON pointer.
    """
    if _ELSEWHERE.search(path):
        plain = _plainly(path)
        hint = f"write {plain}" if plain else "name one field, level by level, such as data.0.temp"
        raise Misspelt(f"the path {path} is not written as paths are here", hint)


def _levels(path: str) -> tuple[str | int, ...]:
    """The levels of a path.

    Raises:
        Misspelt: it is empty, or a level of it is.
    """
    levels = [re.sub(r"\\([.\[$/])", r"\1", level) for level in re.split(r"(?<!\\)\.", path)]
    if not all(levels) or path != path.strip():
        message = f"the path {path} has an empty level, or a space at one end" if path else "the path is empty"
        raise Misspelt(message, "write it such as data.temp or values.0.v")
    return tuple(int(level) if level.isascii() and level.isdigit() else level for level in levels)


def _plainly(path: str) -> str:
    """What a path of JSONPath, JavaScript or a JSON pointer would be here; empty if it does not name one field."""
    if path.startswith("/"):
        return path[1:].replace(".", r"\.").replace("/", ".").replace("~1", "/").replace("~0", "~")
    taken = r"""\.?\[\s*(?:(\d+)|'([^'\]]*)'|"([^"\]]*)")\s*\]"""
    plain = re.sub(taken, lambda found: "." + (found[1] or found[2] or found[3] or "").replace(".", r"\."), path)
    plain = plain.removeprefix("$").removeprefix(".")
    return "" if _ELSEWHERE.search(plain) or not all(plain.split(".")) or "*" in plain else plain
