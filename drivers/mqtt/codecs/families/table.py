"""CSV: one line a sample, in columns that a first line or the configuration names."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Final

from drivers.mqtt.codecs.fields import zone_of
from drivers.mqtt.codecs.leaves import LONGEST_NAME
from drivers.mqtt.codecs.measurements import Kind, Measurement, Read, is_empty, readings, text_of
from drivers.mqtt.codecs.numbers import Written, value
from drivers.mqtt.codecs.times import time_from
from drivers.mqtt.codecs.unread import Unread
from drivers.spelling import Misspelt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from drivers.mqtt.codecs.measurements import Message
    from drivers.mqtt.settings import PayloadSettings

_DELIMITERS: Final = (";", "\t", ",")
_TIMES: Final = frozenset({"time", "timestamp", "datetime", "date_time", "ts", "at", "date"})


class Table:
    """Reads CSV. `at` and `device` name a column; `-` in `columns` is a column that is not read."""

    filters: tuple[str, ...] = ()

    def __init__(self, settings: PayloadSettings) -> None:
        if settings.delimiter is not None and (len(settings.delimiter) != 1 or settings.delimiter in '"\r\n'):
            raise Misspelt("the delimiter is not one character", 'write ";", "," or "\\t"')
        named = [name for name in settings.columns if name != "-"]
        if len(set(named)) != len(named):
            raise Misspelt("a column is named twice", "give each column a name of its own, or - if it is not read")
        self._columns = settings.columns
        self._delimiter = settings.delimiter
        self._at = settings.at
        self._device = settings.device
        self._zone = zone_of(settings.at_zone)
        self._written = Written(decimal_comma=settings.decimal_comma, switch=settings.switch)

    def read(self, message: Message) -> Read:
        """The values of all lines.

        Raises:
            Unread: its columns have no names, or it is not CSV.
        """
        if is_empty(message.payload):
            return Read(Kind.DELETED, device=message.topic)
        lines = text_of(message.payload).splitlines()
        if not lines:
            raise Unread("it is empty")
        delimiter = self._delimiter or next((sign for sign in _DELIMITERS if sign in lines[0]), ",")
        rows = csv.reader(lines, delimiter=delimiter)
        try:
            columns = self._columns or tuple(name.strip() for name in next(rows))
        except (csv.Error, StopIteration):
            raise Unread("it is not CSV") from None
        if not self._columns and (not columns or any(not name or name[0] in "+-.0123456789" for name in columns)):
            raise Unread("its first line does not name the columns: name them in payload.columns")
        if any(len(name) > LONGEST_NAME for name in columns):
            raise Unread("the name of a column is too long")
        return readings(self._rows(rows, columns, message.topic))

    def forget(self) -> None:
        """Nothing is remembered."""

    def _rows(self, rows: Iterator[list[str]], columns: Sequence[str], topic: str) -> Iterator[Measurement]:
        units = [_unit(name) for name in columns]
        lowered = [name.lower() for name in columns]
        at_column = next(
            (
                place
                for place, name in enumerate(columns)
                if name == self._at or (self._at is None and lowered[place] in _TIMES)
            ),
            None,
        )
        device_column = columns.index(self._device) if self._device in columns else None
        while True:
            try:
                row = next(rows, None)
            except csv.Error:
                yield Measurement(topic, "", None, reason="a line of it is not CSV")
                continue
            if row is None:
                return
            if not row:
                continue
            if len(row) != len(columns):
                yield Measurement(topic, "", None, reason="a line of it has more or fewer columns than are named")
                continue
            at: datetime | str | None = None if at_column is None else time_from(row[at_column].strip(), self._zone)
            device = topic if device_column is None else row[device_column].strip()[:LONGEST_NAME] or topic
            for place, text in enumerate(row):
                if place in {at_column, device_column} or columns[place] == "-" or not text.strip():
                    continue
                name, unit = units[place]
                try:
                    found, behind = value(text.strip(), "it", self._written)
                except Unread as reason:
                    yield Measurement(device, name, None, unit, at, str(reason))
                else:
                    yield Measurement(device, name, found, behind or unit, at)


def _unit(name: str) -> tuple[str, str | None]:
    """The name of a column and the unit in it, as in `oxygen [mg/L]` or `temp (°C)`."""
    for opening, closing in ("[]", "()"):
        if name.endswith(closing) and opening in name:
            first, _, unit = name[:-1].rpartition(opening)
            if first.strip() and unit.strip():
                return first.strip(), unit.strip()
    return name, None
