"""What a metered link may carry, and the count of one day against it; no I/O and no clock of its own.

B1  A day ends when the clock's UTC date moves on. A clock that goes back changes nothing: what was used stays used.
B2  A clock that jumps gives at most two fresh days in 20 hours of running: one for having been off or unset, one
    for a midnight.
B3  After 25 hours of running a day is over whatever the clock says, so that a date from the future locks nobody out.
B4  Alarms are never held back: the reserve is what all others leave for them, not a bound for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sync.values import Lane

if TYPE_CHECKING:
    from collections.abc import Mapping

DAY_S: Final = 86_400
_FEW_S: Final = 20 * 3600.0
_LONGEST_S: Final = 25 * 3600.0
_MINUTES: Final = 1 << 11
_BYTES: Final = 1 << 36
_LAST_DAY: Final = (1 << 16) - 1
"""In 2149: of days further on, which a broken clock can name, the log's integers do not hold a count."""


@dataclass(frozen=True, slots=True)
class LaneLimit:
    """Bounds for one lane; None where there is none."""

    bytes_per_day: int | None = None
    bytes_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """Bounds for the whole link, and for each lane but `alert`, which has none (B4).

    `alert_reserve_bytes` is the part of `bytes_per_day` that only alarms may use. `thin_backfill`: a backlog of more
    than a day's room is thinned to one-minute aggregates.
    """

    bytes_per_day: int | None = None
    alert_reserve_bytes: int = 0
    live: LaneLimit = LaneLimit()
    backfill: LaneLimit = LaneLimit()
    bulk: LaneLimit = LaneLimit()
    thin_backfill: bool = True

    def of(self, lane: Lane) -> LaneLimit:
        """The lane's own bounds."""
        match lane:
            case Lane.LIVE:
                return self.live
            case Lane.BACKFILL:
                return self.backfill
            case Lane.BULK:
                return self.bulk
            case _:
                return LaneLimit()

    @property
    def daily(self) -> bool:
        """Whether there is any bound by the day."""
        limits = (self.live, self.backfill, self.bulk)
        return self.bytes_per_day is not None or any(limit.bytes_per_day is not None for limit in limits)


@dataclass(slots=True)
class Day:
    """One day's bytes by line (a lane, or `control`). `number`: days since 1970; `ran_s`: how long we ran."""

    number: int = 0
    ran_s: float = 0.0
    moved: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All lines together."""
        return sum(self.moved.values())

    def packed(self, line: str, reserved: int = 0) -> int:
        """One line's count as a number that the log can keep; `reserved` bytes are counted as if they had moved."""
        minutes = min(int(self.ran_s // 60), _MINUTES - 1)
        count = min(self.moved.get(line, 0) + reserved, _BYTES - 1)
        return (min(max(self.number, 0), _LAST_DAY) * _MINUTES + minutes) * _BYTES + count


def unpacked(kept: Mapping[str, int]) -> Day:
    """The day that was kept, of each line's number; lines of an older day count nothing."""
    day = Day(number=max((value // _BYTES // _MINUTES for value in kept.values()), default=0))
    for line, value in kept.items():
        if value // _BYTES // _MINUTES == day.number:
            day.moved[line] = value % _BYTES
            day.ran_s = max(day.ran_s, value // _BYTES % _MINUTES * 60.0)
    return day


class Days:
    """The day that counts now, and when the next one begins."""

    def __init__(self) -> None:
        self.today = Day()
        self._uptime_s = 0.0
        self._fresh_at_s: list[float] = []

    def advance(self, wall_s: float, elapsed_s: float) -> None:
        """`elapsed_s` have passed on the monotonic clock, and the wall clock now says `wall_s`."""
        self._uptime_s += elapsed_s
        self.today.ran_s += elapsed_s
        number = int(wall_s // DAY_S)
        if self.today.ran_s >= _LONGEST_S:
            self.today = Day(number)
        elif number > self.today.number:
            self._fresh_at_s = [at for at in self._fresh_at_s if self._uptime_s - at < _FEW_S]
            if self.today.total == 0:
                self.today = Day(number)
            elif len(self._fresh_at_s) < 2:
                self._fresh_at_s.append(self._uptime_s)
                self.today = Day(number)
            else:
                self.today.number = number

    def link_left(self, budget: Budget) -> float:
        """How many more bytes all lanes but `alert` may move today; infinite where nothing bounds them."""
        if budget.bytes_per_day is None:
            return float("inf")
        reserve = max(budget.alert_reserve_bytes - self.today.moved.get(Lane.ALERT, 0), 0)
        return budget.bytes_per_day - reserve - self.today.total

    def left(self, budget: Budget, lane: Lane) -> float:
        """How many more bytes a lane may move today."""
        if lane is Lane.ALERT:
            return float("inf")
        own = budget.of(lane).bytes_per_day
        left = self.link_left(budget)
        return left if own is None else min(left, own - self.today.moved.get(lane, 0))
