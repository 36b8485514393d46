"""Where a value goes: its trend, and when it will cross a limit, aware of its usual day.

The day is 48 half hours, each with the usual speed of change in it, learned over days. What the value does beyond
that is taken to go on for a while, and to fade (half of it after an hour): an oxygen that falls as on every evening
is no forecast, one that falls faster is.
"""

from __future__ import annotations

from math import exp, log
from typing import Final

TREND_S: Final = 1_200.0
"""The usual time constant of a trend: faster changes are smoothed away."""
_SLOTS: Final = 48
_SLOT_S: Final = 86_400 // _SLOTS
_FADES_S: Final = 3_600.0 / log(2)
_SETTLED: Final = 1.5
"""A trend is none before so many of its time constants; it begins again over a gap of so many."""
_GAP: Final = 3.0
_STEP_S: Final = 300.0
_DAY_WEIGHT: Final = 1 / 3
"""How much the newest day counts in the usual one."""


class Trend:
    """Level and speed of one sensor, smoothed over uneven intervals."""

    __slots__ = ("_at_s", "_since_s", "_speed_s", "level", "per_s")

    def __init__(self, speed_s: float = TREND_S) -> None:
        """`speed_s`: its time constant; the level follows four times as fast."""
        self._speed_s = speed_s
        self.level = 0.0
        self.per_s = 0.0
        self._at_s: float | None = None
        self._since_s = 0.0

    @property
    def settled(self) -> bool:
        """Whether it has been fed for long enough to say anything."""
        return self._at_s is not None and self._at_s - self._since_s >= _SETTLED * self._speed_s

    def add(self, value: float, at_s: float) -> None:
        """Take a value. Times must grow; over a gap it begins again."""
        if self._at_s is None or at_s - self._at_s > _GAP * self._speed_s:
            self.level, self.per_s, self._at_s, self._since_s = value, 0.0, at_s, at_s
            return
        passed_s = at_s - self._at_s
        if passed_s <= 0:
            return
        expected = self.level + self.per_s * passed_s
        level = expected + (value - expected) * (1 - exp(-4 * passed_s / self._speed_s))
        speed = (level - self.level) / passed_s
        self.per_s += (speed - self.per_s) * (1 - exp(-passed_s / self._speed_s))
        self.level, self._at_s = level, at_s


class Forecast:
    """One sensor's trend and usual day. `at_s` are seconds of the day's clock, such as those since 1970."""

    __slots__ = ("_known", "_slot", "_sum", "_usual", "trend")

    def __init__(self, trend_s: float = TREND_S) -> None:
        self.trend = Trend(trend_s)
        self._usual = [0.0] * _SLOTS
        self._known = [0] * _SLOTS
        self._slot = -1
        self._sum = 0.0, 0

    def add(self, value: float, at_s: float) -> None:
        """Take a value that is not doubted."""
        self.trend.add(value, at_s)
        if not self.trend.settled:
            return
        slot = int(at_s // _SLOT_S) % _SLOTS
        total, count = self._sum
        if slot != self._slot:
            if count:
                old, days = self._slot, self._known[self._slot]
                weight = max(_DAY_WEIGHT, 1 / (days + 1))
                self._usual[old] += (total / count - self._usual[old]) * weight
                self._known[old] = days + 1
            self._slot, total, count = slot, 0.0, 0
        self._sum = total + self.trend.per_s, count + 1

    def usual_per_s(self, at_s: float) -> float:
        """How fast it usually changes at this time of day; 0 until a day has shown it."""
        return self._usual[int(at_s // _SLOT_S) % _SLOTS]

    def crosses_in_s(self, low: float | None, high: float | None, at_s: float, within_s: float) -> float | None:
        """After how many seconds it will be below `low` or above `high`, if within so many; None if it will not."""
        if not self.trend.settled:
            return None
        value = self.trend.level
        excess = self.trend.per_s - self.usual_per_s(at_s)
        ahead_s = 0.0
        while ahead_s < within_s:
            step_s = min(_STEP_S, within_s / 8, within_s - ahead_s)
            value += (self.usual_per_s(at_s + ahead_s) + excess * exp(-ahead_s / _FADES_S)) * step_s
            ahead_s += step_s
            if (low is not None and value < low) or (high is not None and value > high):
                return ahead_s
        return None
