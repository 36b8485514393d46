"""The time that a device states, in UTC; or the reason why it cannot be used, as one word.

Read are ISO 8601 with its zone, and seconds, milliseconds, microseconds or nanoseconds since 1970, as numbers or as
text. ISO 8601 without a zone is read only if the configuration names the zone: a guess may be off by hours.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from datetime import tzinfo

MISSING: Final = "missing"
NOT_A_TIME: Final = "not_a_time"
NO_ZONE: Final = "no_zone"
NOT_SET: Final = "not_set"

EARLIEST: Final = datetime(2001, 1, 1, tzinfo=UTC)
"""A device whose clock was never set counts from 1970 or from 2000."""
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)

# Each unit's own numbers from 1973 to 5138; those of the next smaller unit begin there.
_MILLISECONDS_FROM: Final = 1e11
_MICROSECONDS_FROM: Final = 1e14
_NANOSECONDS_FROM: Final = 1e17
_DIGITS: Final = re.compile(r"[+-]?\d+(?:\.\d*)?")
_LONGEST: Final = 64
_BLANK: Final = " \t\r\n\0"
_from_iso: Final = datetime.fromisoformat


def time_from(found: Any, zone: tzinfo | None = None) -> datetime | str:
    """The time in UTC, from 2001 to 2099; else one of the words above."""
    if type(found) is str:
        if found[4:5] != "-":
            return _other_text(found, zone)
        try:
            at = _from_iso(found)
        except ValueError:
            trimmed = found.strip(_BLANK)
            return NOT_A_TIME if trimmed == found else time_from(trimmed, zone)
        if at.tzinfo is not UTC:
            return _in_utc(at, zone)
    elif type(found) is int or type(found) is float:
        if not -_MILLISECONDS_FROM < found < _MILLISECONDS_FROM:
            found = found / 1e3 if found < _MICROSECONDS_FROM else _fine(found)
        try:
            at = datetime.fromtimestamp(found, UTC)
        except (OverflowError, ValueError, OSError):
            return NOT_A_TIME
    else:
        return MISSING if found is None else NOT_A_TIME
    return at if EARLIEST <= at < LATEST else NOT_SET


def _fine(found: float) -> float:
    """Seconds since 1970 out of microseconds or nanoseconds."""
    return found / (1e6 if found < _NANOSECONDS_FROM else 1e9)


def _in_utc(at: datetime, zone: tzinfo | None) -> datetime | str:
    if at.tzinfo is None:
        if zone is None:
            return NO_ZONE
        at = at.replace(tzinfo=zone)
    try:
        at = at.astimezone(UTC)
    except (OverflowError, ValueError):
        return NOT_A_TIME
    return at if EARLIEST <= at < LATEST else NOT_SET


def _other_text(text: str, zone: tzinfo | None) -> datetime | str:
    text = text.strip(_BLANK)
    if not text:
        return MISSING
    if len(text) > _LONGEST:
        return NOT_A_TIME
    if _DIGITS.fullmatch(text) and text.isascii():
        return time_from(float(text) if "." in text else int(text), zone)
    if text[4:5] == "-":
        return time_from(text, zone)
    try:
        return time_from(datetime.fromisoformat(text).isoformat(), zone)
    except ValueError:
        return NOT_A_TIME
