"""The codec of one level, which is that of most sensors: a value, and perhaps a time beside it, in one JSON object.

This is the hot path: it answers as the codec for paths of any depth does, and takes the usual payload in few steps.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import orjson

from drivers.mqtt.codecs.documents import document_of
from drivers.mqtt.codecs.numbers import Written, kind_of, value
from drivers.mqtt.codecs.times import MISSING, time_from
from drivers.mqtt.codecs.unread import Unread

if TYPE_CHECKING:
    from datetime import tzinfo

Fields = tuple[float, datetime | str | None, str | None]
"""Value, time in UTC and unit; None for what the configuration does not ask for, or the payload does not carry.

A time that is asked for and cannot be used is the word for why (`drivers.mqtt.codecs.times`).
"""

Codec = Callable[[bytes], Fields]
"""Reads one payload. Raises Unread."""


def flat(key: str, path: str, at_key: str | int | None, zone: tzinfo | None, written: Written) -> Codec:
    """The codec of the value in `key`, called `path` in reasons, and of the time in `at_key` if there is one."""
    loads = orjson.loads

    def read(payload: bytes) -> Fields:
        try:
            document = loads(payload)
            found = document[key]
        except (ValueError, KeyError, TypeError, IndexError):
            document = document_of(payload)
            if not isinstance(document, dict):
                raise Unread(f"it is {kind_of(document)}, not a JSON object") from None
            if key not in document:
                raise Unread(f"there is no {path}") from None
            found = document[key]
        unit = None
        if type(found) is int:
            found = float(found)
        elif type(found) is not float:
            found, unit = value(found, path, written)
        if at_key is None:
            return found, None, unit
        try:
            at = document[at_key]
        except (KeyError, TypeError, IndexError):
            return found, MISSING, unit
        return found, time_from(at, zone), unit

    return read
