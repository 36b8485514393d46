"""Minute means and hourly medians of the sensors that figures need, kept in `farm.sqlite` once a minute."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import date, tzinfo

    from agent.records import FarmFile

_MOST_MINUTES: Final = 3_000
"""Of one sensor between two writes: a backlog of two days in one go."""
_LATEST_H: Final = 7 * 24
_KEPT_IN_MEMORY_H: Final = 8 * 24
_LEAST_HOURS_A_DAY: Final = 12


class Hours:
    """Takes good values; gives medians by hour and means by day."""

    def __init__(self, file: FarmFile) -> None:
        self._file = file
        self._wanted: frozenset[str] = frozenset()
        self._open: dict[str, dict[int, tuple[float, int]]] = {}
        self._hours: dict[str, dict[int, tuple[float, int]]] = {}
        self._loaded = False
        self.too_late = 0
        """Values that came more than a week after they were measured, and count in no figure."""

    @property
    def wanted(self) -> frozenset[str]:
        """The sensors whose values are kept."""
        return self._wanted

    def want(self, sensors: Iterable[str]) -> None:
        """Keep these sensors from now on."""
        self._wanted = frozenset(sensors)

    def add(self, sensor_id: str, at_s: float, value: float, now_s: float) -> None:
        """Take a good value, measured at `at_s` (s since 1970)."""
        minute = int(at_s // 60)
        if at_s > now_s + 60 or minute < now_s // 60 - _LATEST_H * 60:
            self.too_late += 1
            return
        minutes = self._open.setdefault(sensor_id, {})
        if minute not in minutes and len(minutes) >= _MOST_MINUTES:
            self.too_late += 1
            return
        total, count = minutes.get(minute, (0.0, 0))
        minutes[minute] = total + value, count + 1

    async def load(self, now_s: float) -> None:
        """Learn the last days from the file, once. Raises NotReady and Misconfigured."""
        if self._loaded:
            return
        for one in await self._file.hours(int(now_s // 3600) - _KEPT_IN_MEMORY_H):
            self._hours.setdefault(one.sensor_id, {})[one.hour] = one.median, one.seen
        self._loaded = True

    async def write(self, now_s: float, *, last: bool = False) -> None:
        """Keep the minutes that are over, at the `last` all; nothing is lost if the file does not take them.

        Raises NotReady and Misconfigured.
        """
        minute = int(now_s // 60) if not last else None
        ready: dict[str, dict[int, float]] = {}
        for sensor_id, minutes in self._open.items():
            means = {at: total / count for at, (total, count) in minutes.items() if minute is None or at < minute}
            if means:
                ready[sensor_id] = means
        if not ready:
            return
        changed = await self._file.add_minutes(ready, int(now_s // 60))
        for sensor_id, means in ready.items():
            for at in means:
                self._open[sensor_id].pop(at, None)
        for one in changed:
            self._hours.setdefault(one.sensor_id, {})[one.hour] = one.median, one.seen
        oldest = int(now_s // 3600) - _KEPT_IN_MEMORY_H
        for hours in self._hours.values():
            for hour in [hour for hour in hours if hour < oldest]:
                del hours[hour]

    def medians(self, sensor_id: str, since: int, until: int) -> dict[int, float]:
        """Medians by hour (counted since 1970), from one hour to before another."""
        return {hour: found[0] for hour, found in self._hours.get(sensor_id, {}).items() if since <= hour < until}

    def seen(self, sensor_id: str, since: int, until: int) -> int:
        """How many minutes of these hours had a value."""
        return sum(found[1] for hour, found in self._hours.get(sensor_id, {}).items() if since <= hour < until)

    def sensors(self) -> Collection[str]:
        """The sensors of which there are hours in memory."""
        return self._hours.keys()

    async def daily_means(self, sensor_id: str, begun: datetime, zone: tzinfo) -> Mapping[date, float]:
        """The mean of a day's hourly medians, for days with at least 12 of them. Raises NotReady, Misconfigured."""
        days: dict[date, list[float]] = {}
        for one in await self._file.hours_of(sensor_id, int(begun.timestamp() // 3600) - 24):
            days.setdefault(datetime.fromtimestamp(one.hour * 3600, zone).date(), []).append(one.median)
        return {day: sum(found) / len(found) for day, found in days.items() if len(found) >= _LEAST_HOURS_A_DAY}
