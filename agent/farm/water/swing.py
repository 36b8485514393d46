"""How a quantity moves: its rate, and the swing between day and night. Pure: minute values in, numbers out."""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import Final

from agent.farm.figure import Formula, NoValue

RATE: Final = Formula(
    "slope of a least-squares line through the minute means of the last 30 minutes, an hour", "least squares"
)
SWING: Final = Formula("largest minus smallest of the hourly medians of the last 24 hours", "own definition")
_RATE_MINUTES: Final = 30
_RATE_LEAST: Final = 10
_HOUR: Final = 60
_DAY: Final = 24
_LEAST_HOURS: Final = 20


class History:
    """One sensor's minute means of the last 24 hours; at most 1,440 of them."""

    __slots__ = ("_minutes",)

    def __init__(self) -> None:
        self._minutes: deque[tuple[int, float, int]] = deque(maxlen=_DAY * _HOUR)

    def add(self, minute: int, value: float) -> None:
        """Take a value measured in a minute (counted since 1970). Values of a minute that is over are not taken."""
        minutes = self._minutes
        if minutes and minute <= minutes[-1][0]:
            if minute == minutes[-1][0]:
                _, mean, count = minutes[-1]
                minutes[-1] = minute, mean + (value - mean) / (count + 1), count + 1
            return
        minutes.append((minute, value, 1))

    def rate_per_hour(self, minute: int) -> float:
        """The slope over the last half hour, in the sensor's unit an hour.

        Raises:
            NoValue: fewer than 10 of the last 30 minutes have a value, or they span less than 15 minutes.
        """
        points = [(at, mean) for at, mean, _ in self._minutes if minute - _RATE_MINUTES < at <= minute]
        if len(points) < _RATE_LEAST or points[-1][0] - points[0][0] < _RATE_MINUTES // 2:
            raise NoValue(f"only {len(points)} of the last {_RATE_MINUTES} minutes have a value")
        middle = sum(at for at, _ in points) / len(points)
        mean = sum(value for _, value in points) / len(points)
        across = sum((at - middle) ** 2 for at, _ in points)
        return _HOUR * sum((at - middle) * (value - mean) for at, value in points) / across

    def swing(self, minute: int) -> float:
        """Largest minus smallest hourly median of the last 24 hours, in the sensor's unit.

        Raises:
            NoValue: fewer than 20 of the last 24 hours have a value.
        """
        hours: dict[int, list[float]] = {}
        for at, mean, _ in self._minutes:
            if minute - _DAY * _HOUR < at <= minute:
                hours.setdefault((minute - at) // _HOUR, []).append(mean)
        if len(hours) < _LEAST_HOURS:
            raise NoValue(f"only {len(hours)} of the last {_DAY} hours have a value")
        medians = [median(values) for values in hours.values()]
        return max(medians) - min(medians)
