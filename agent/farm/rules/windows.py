"""Maintenance windows: hours of work at a tank in which only limits raise alerts, and those as warnings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Window:
    """From one moment to another; or with `daily`, between two times of each day, also over midnight.

    `begins` and `ends` are minutes of the day then, in the zone of the moment that is asked about.
    """

    tank_id: str
    begins: datetime | int
    ends: datetime | int

    def holds(self, now: datetime) -> bool:
        """Whether a moment is within it."""
        if isinstance(self.begins, int) and isinstance(self.ends, int):
            minute = now.hour * 60 + now.minute
            if self.begins <= self.ends:
                return self.begins <= minute < self.ends
            return minute >= self.begins or minute < self.ends
        return not isinstance(self.begins, int) and not isinstance(self.ends, int) and self.begins <= now < self.ends


def window_of(tank_id: str, begins: str, ends: str, zone: str) -> Window:
    """The window from two texts: `07:30` each, or `2026-03-01T07:30` each, in a zone.

    Raises:
        ValueError: they cannot be read, or one is daily and the other is not.
    """
    first, last = _moment(begins, zone), _moment(ends, zone)
    if isinstance(first, int) is not isinstance(last, int):
        raise ValueError("begins is daily and ends is not, or the other way round")
    return Window(tank_id, first, last)


def _moment(text: str, zone: str) -> datetime | int:
    try:
        if len(text) <= len("07:30"):
            of_day = time.fromisoformat(text)
            return of_day.hour * 60 + of_day.minute
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text} is neither a time of day nor a date with a time") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=ZoneInfo(zone))


def is_open(windows: Iterable[Window], tank_id: str, now: datetime) -> bool:
    """Whether there is work at a tank at a moment."""
    return any(window.tank_id == tank_id and window.holds(now) for window in windows)
