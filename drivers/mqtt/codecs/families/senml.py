"""SenML (RFC 8428), as JSON and as CBOR, and the object form of the drafts before it.

The device is the resolved name of a record, `bn` + `n`, for a writer may cut it in two as it likes. Its channels are
`value` and `sum`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import cbor2

from drivers.mqtt.codecs.leaves import document_of
from drivers.mqtt.codecs.measurements import Kind, Measurement, Read, is_empty, readings
from drivers.mqtt.codecs.numbers import Written, kind_of, value
from drivers.mqtt.codecs.times import NOT_A_TIME, time_from
from drivers.mqtt.codecs.unread import Unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drivers.mqtt.codecs.measurements import Message
    from drivers.mqtt.settings import PayloadSettings

_LABELS: Final = {
    -1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs",
    0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t", 7: "ut", 8: "vd",
}  # fmt: skip
"""The integers that stand for the names in CBOR."""
_VERSION: Final = 10
_RELATIVE_BELOW: Final = float(2**28)
_LONGEST_NAME: Final = 256
_DEEPEST: Final = 8
_WRITTEN: Final = Written()
_VALUES: Final = ("v", "vb", "vs", "vd")
_OF_ONE: Final = ("n", "u", "t", "s", *_VALUES)
"""Fields of one record; one that has none of them only sets the base for those that follow."""


class Senml:
    """Reads packs of records."""

    filters: tuple[str, ...] = ()

    def __init__(self, _settings: PayloadSettings) -> None:
        pass

    def read(self, message: Message) -> Read:
        """The records of one pack.

        Raises:
            Unread: it is no pack, or one that must not be used by who does not understand all of it.
        """
        if is_empty(message.payload):
            return Read(Kind.DELETED)
        records = _records(message.payload)
        for record in records:
            if any(key.endswith("_") for key in record):
                raise Unread("it is SenML with a field that must be understood, and is not known")
            version = record.get("bver")
            if isinstance(version, int) and version > _VERSION:
                raise Unread("it is SenML of a version that is not known")
        return readings(_resolved(records, message))

    def forget(self) -> None:
        """Nothing is remembered."""


class _Base:
    """The base fields that hold from some record on."""

    __slots__ = ("name", "sum", "time", "unit", "value")

    def __init__(self) -> None:
        self.name = ""
        self.time = 0.0
        self.unit: str | None = None
        self.value: float | None = None
        self.sum: float | None = None

    def take(self, record: dict[str, Any]) -> None:
        """Take what a record changes.

        Raises:
            Unread: a base field is not what it must be.
        """
        if "bn" in record:
            self.name = _text(record["bn"], "bn")
        if "bt" in record:
            self.time = _number(record["bt"], "bt")
        if "bu" in record:
            self.unit = _text(record["bu"], "bu")
        if "bv" in record:
            self.value = _number(record["bv"], "bv")
        if "bs" in record:
            self.sum = _number(record["bs"], "bs")


def _resolved(records: list[dict[str, Any]], message: Message) -> Iterator[Measurement]:
    base = _Base()
    for record in records:
        try:
            base.take(record)
        except Unread as why:
            # It would hold for all that follow, so nothing of them is sure.
            yield Measurement("", "", None, reason=str(why))
            return
        if not any(key in record for key in _OF_ONE):
            continue
        try:
            name = base.name + (_text(record["n"], "n") if "n" in record else "")
            unit = _text(record["u"], "u") if "u" in record else base.unit
        except Unread as why:
            yield Measurement("", "", None, reason=str(why))
            continue
        if not 0 < len(name) <= _LONGEST_NAME:
            yield Measurement("", "", None, reason="a name is too long" if name else "a record has no name")
            continue
        yield from _values(record, base, name, unit, _time(record, base, message))


def _values(
    record: dict[str, Any], base: _Base, name: str, unit: str | None, at: datetime | str | None
) -> Iterator[Measurement]:
    """The value of a record, its sum, or both. Where only the base is there, the rest is 0."""
    held = next((key for key in _VALUES if key in record), None)
    has_sum = "s" in record or (base.sum is not None and held is None)
    if held is not None or (base.value is not None and not has_sum):
        try:
            yield Measurement(name, "value", _value(record, held, base), unit, at)
        except Unread as why:
            yield Measurement(name, "value", None, unit, at, str(why))
    elif not has_sum:
        yield Measurement(name, "value", None, unit, at, "a record has no value")
    if has_sum:
        try:
            yield Measurement(name, "sum", _number(record.get("s", 0), "s") + (base.sum or 0.0), None, at)
        except Unread as why:
            yield Measurement(name, "sum", None, None, at, str(why))


def _value(record: dict[str, Any], held: str | None, base: _Base) -> float:
    if held in {"vs", "vd"}:
        raise Unread("it is a text or data, not a number")
    if held == "vb":
        if not isinstance(record["vb"], bool):
            raise Unread("vb is not true or false")
        return float(record["vb"])
    return (_number(record["v"], "v") if held else 0.0) + (base.value or 0.0)


def _time(record: dict[str, Any], base: _Base, message: Message) -> datetime | str | None:
    """The time of a record; None if that is now, which for a retained message may have been long ago."""
    try:
        seconds = base.time + (_number(record["t"], "t") if "t" in record else 0.0)
    except Unread:
        return NOT_A_TIME
    if seconds >= _RELATIVE_BELOW:
        return time_from(seconds)
    if seconds == 0 or message.retained:
        return None
    try:
        return message.received_at + timedelta(seconds=seconds)
    except OverflowError:
        return NOT_A_TIME


def _records(payload: bytes) -> list[dict[str, Any]]:
    if payload.lstrip(b" \t\r\n\xef\xbb\xbf")[:1] in {b"[", b"{"}:
        found = document_of(payload)
    else:
        try:
            found = cbor2.loads(payload, max_depth=_DEEPEST)
        except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError):
            raise Unread("it is neither JSON nor CBOR") from None
    if isinstance(found, dict) and isinstance(found.get("e"), list):  # as in the drafts of 2012 to 2016
        entries = found["e"]
        found = [{key: held for key, held in found.items() if key != "e"}, *entries]
    elif isinstance(found, dict):
        found = [found]
    if not isinstance(found, list) or not all(isinstance(record, dict) for record in found):
        raise Unread("it is not a SenML pack, which is a list of records")
    return [
        {_LABELS.get(key, str(key)) if isinstance(key, int) else str(key): held for key, held in record.items()}
        for record in found
    ]


def _text(found: Any, where: str) -> str:
    if not isinstance(found, str):
        raise Unread(f"{where} is {kind_of(found)}, not a text")
    return found


def _number(found: Any, where: str) -> float:
    if isinstance(found, Decimal):
        try:
            found = float(found)
        except (ValueError, OverflowError):
            raise Unread(f"{where} is out of range") from None
    elif isinstance(found, int) and not isinstance(found, bool):
        try:
            found = float(found)
        except OverflowError:
            raise Unread(f"{where} is out of range") from None
    number, _ = value(found, where, _WRITTEN)
    if not number - number == 0:  # nan or infinite, which CBOR can write
        raise Unread(f"{where} is not a finite number")
    return number
