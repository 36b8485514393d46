"""Values as devices write them: a number, or text that is one; or the reason why it is not a number.

A unit behind the number is read with it. Words and decimal commas are read only if the configuration says so.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Final

from drivers import units
from drivers.mqtt.codecs.documents import NoNumber
from drivers.mqtt.codecs.unread import Unread

_PLAIN = rb"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_NUMBER: Final = re.compile(rb"\s*" + _PLAIN + rb"\s*")
_WITH_UNIT: Final = re.compile(rb"(" + _PLAIN + rb")\s*([A-Za-z%\x80-\xff].{0,39})", re.DOTALL)
_COMMA: Final = re.compile(rb"([+-]?\d+),(\d+(?:[eE][+-]?\d+)?(?:\s*[A-Za-z%\x80-\xff].{0,39})?)", re.DOTALL)
_SWITCHED: Final = {b"on": 1.0, b"true": 1.0, b"yes": 1.0, b"off": 0.0, b"false": 0.0, b"no": 0.0}
_NO_VALUE: Final = frozenset({b"nan", b"-nan", b"null", b"none", b"inf", b"-inf", b"infinity", b"-infinity", b"n/a"})

Value = tuple[float, str | None]
"""A finite number, and the unit that was written behind it."""


@dataclass(frozen=True, slots=True)
class Written:
    """What the configuration says of how values are written."""

    decimal_comma: bool = False
    switch: bool = False


def number(text: bytes, where: str, written: Written) -> Value:
    """The number in a text. Python's own reader would also take `nan`, `inf` and `1_000`.

    Raises:
        Unread: it is none; `where` is what the reason calls it.
    """
    if not _NUMBER.fullmatch(text):
        return _other(text.strip(b" \t\r\n\f\v\0"), where, written)
    value = float(text)
    if not math.isfinite(value):
        raise Unread(f"{where} is out of range")
    return value, None


def value(found: Any, path: str, written: Written) -> Value:
    """The number in a field of a document.

    Raises:
        Unread: it is none.
    """
    kind = type(found)
    if kind is float:
        return found, None
    if kind is int:
        return float(found), None
    if kind is str:
        return number(found.encode(errors="replace"), path, written)
    if kind is bool and written.switch:
        return float(found), None
    cure = ": set payload.switch to read it as 1 or 0" if kind is bool else ""
    raise Unread(f"{path} is {kind_of(found)}, not a number{cure}")


def kind_of(found: Any) -> str:
    """What a field holds, in words for a reason."""
    if isinstance(found, NoNumber):
        return found.word
    if isinstance(found, bool):
        return "true or false"
    if isinstance(found, str):
        return "a text"
    if isinstance(found, int | float):
        return "a number"
    if found is None:
        return "null"
    return "a list" if isinstance(found, list) else "an object"


def _other(text: bytes, where: str, written: Written) -> Value:
    if not text:
        raise Unread(f"{where} is empty")
    if _NUMBER.fullmatch(text):
        return number(text, where, written)
    word = text.lower()
    if word in _SWITCHED:
        if written.switch:
            return _SWITCHED[word], None
        raise Unread(f"{where} is a word such as ON or OFF: set payload.switch to read it as 1 or 0")
    if word in _NO_VALUE:
        raise Unread(f"{where} says that the device has no value")
    comma = _COMMA.fullmatch(text)
    if comma:
        if written.decimal_comma:
            return number(comma[1] + b"." + comma[2], where, written)
        raise Unread(f"{where} has a decimal comma: set payload.decimal_comma if it is one")
    found = _WITH_UNIT.fullmatch(text)
    if found:
        unit = units.name_of(found[2].decode(errors="replace"))
        if unit is None:
            raise Unread(f"{where} has text after the number that is not a known unit")
        return number(found[1], where, written)[0], unit
    raise Unread(f"{where} is not a number")
