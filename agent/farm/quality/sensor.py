"""One sensor's judge: everything about a sensor that later readings are judged by, in constant memory.

All checks are of one pass. Differences are held against the sensor's own usual ones (exponentially weighted means of
their sizes, in which a single large one counts little), so that no unit and no species has to be known.
"""

from __future__ import annotations

# ruff: noqa: FURB136, PLR1730 - calls of min and max would be a third of the time of `judge`
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Final

from agent.farm.quality.verdicts import DRIFT, NEIGHBOUR, RANGE, RATE, SCATTER, SPIKE, STUCK, UNJUDGED

LEARNED: Final = 30
"""Differences that must be known before a jump or a scatter can be unusual."""
_SLOW: Final = 1 / 200
_FAST: Final = 1 / 8
_MOST_SHARE: Final = 5.0
"""How many times the usual difference one difference may count in the mean."""
_ACCEPTED_AFTER: Final = 4
"""So many jumped values one after the other are a new level of the water, or of the probe, and no spike."""
_GAP: Final = 10.0
"""Times the usual interval; over a longer gap no jump can be told."""
_DAY_S: Final = 86_400.0
_DRIFT_DAYS: Final = 3


@dataclass(frozen=True, slots=True)
class QualitySettings:
    """How one sensor is judged, in its own unit. None: not by this check."""

    low: float = -inf
    high: float = inf
    rate_per_minute: float | None = None
    """The fastest change that water can make."""
    stuck_s: float | None = None
    """How long exactly one value is still natural."""
    spike: float | None = None
    """A jump of so many times the usual difference is a spike."""
    scatter: float | None = None
    """Bends of so many times the usual ones, in several readings, are scatter."""
    drift: float | None = None
    """How far the means of days may go in one direction within three days; with a neighbour, the mean difference."""
    tolerance: float | None = None
    """How far the neighbour's value may be away."""
    max_age_s: float = 600.0
    """An older value of the neighbour is no witness."""
    jump: float = 0.0
    """Smaller jumps are never spikes."""


class SensorJudge:
    """Takes a sensor's readings in the order of their times, and keeps the newest.

    `at_s` and `value` are those of the newest reading within the range, `doubts` those of the newest. `seen_ns` and
    `good_ns` are for whoever feeds it: when it was last heard of, and last without a doubt.
    """

    __slots__ = (
        "_age",
        "_change",
        "_day",
        "_days",
        "_drifts",
        "_interval",
        "_jumped",
        "_known",
        "_last",
        "_rough",
        "_same_since",
        "_scatter",
        "_smallest",
        "_spike",
        "_step",
        "_stuck",
        "_sum",
        "_widest",
        "at_s",
        "calm",
        "doubts",
        "good_ns",
        "high",
        "low",
        "neighbour",
        "seen_ns",
        "settings",
        "value",
    )

    def __init__(self, settings: QualitySettings, calm: int = 0) -> None:
        """`calm` is what a reading without a doubt is: good, or UNJUDGED for a sensor that is only listened to."""
        self.settings = settings
        self.calm = calm
        self.low, self.high = settings.low, settings.high
        self.neighbour: SensorJudge | None = None
        self.value = 0.0
        self.at_s = -inf
        self.doubts = 0
        self.seen_ns: int | None = None
        self.good_ns: int | None = None
        self._stuck = inf if settings.stuck_s is None else settings.stuck_s
        self._spike = inf if settings.spike is None else settings.spike
        self._widest = inf if settings.scatter is None else settings.scatter
        self._same_since = 0.0
        self._last = 0.0
        """The newest value that was no spike."""
        self._change = 0.0
        """The usual size of a difference."""
        self._step = 0.0
        self._rough = 0.0
        """The usual size of a difference of differences, which a steady rise does not have."""
        self._scatter = 0.0
        """The same of the last few."""
        self._smallest = inf
        """The smallest difference ever: the step of the sensor's own numbers."""
        self._known = 0
        self._jumped = 0
        self._interval = 0.0
        self._age = settings.max_age_s
        self._day = -1
        self._sum = 0.0, 0
        self._days: list[float] = []
        self._drifts = False

    def judge(self, value: float, at_s: float) -> int:  # noqa: C901, PLR0912, PLR0915 - calls would cost more than it
        """The doubts about a reading (see `verdicts`): 0 for none. Late ones are held against the range only."""
        if not self.low <= value <= self.high:
            # Kept apart from all else: the next value must not look like a jump.
            if at_s >= self.at_s:
                self.doubts = RANGE
            return RANGE
        passed_s = at_s - self.at_s
        if passed_s < 0:
            return UNJUDGED
        before = self._last
        step = value - before
        size = step if step >= 0 else -step
        doubts = 0
        if step:
            self._same_since = at_s
            if size < self._smallest:
                self._smallest = size
        elif at_s - self._same_since > self._stuck:
            doubts = STUCK
        known = self._known
        if known < LEARNED:
            if not known:
                step = 0.0
            self._learn(size, step, passed_s, at_s)
        else:
            usual, rough, floor = self._change, self._rough, self._smallest
            if usual < floor:
                usual = floor
            if rough < floor:
                rough = floor
            if size > self._spike * usual and size > self.settings.jump and passed_s < _GAP * self._interval:
                doubts |= SPIKE
            bend = step - self._step
            if bend < 0:
                bend = -bend
            limit = self._widest * rough
            # One jump alone is no scatter: it takes several of the last eight.
            most = 2 * limit
            scatter = self._scatter
            scatter += ((bend if bend < most else most) - scatter) * _FAST
            self._scatter = scatter
            if scatter > limit:
                doubts |= SCATTER
            most = _MOST_SHARE * usual
            self._change += ((size if size < most else most) - self._change) * _SLOW
            most = _MOST_SHARE * rough
            self._rough += ((bend if bend < most else most) - self._rough) * _SLOW
            if passed_s < _GAP * self._interval:
                self._interval += (passed_s - self._interval) * _SLOW
        if self.settings.rate_per_minute is not None and 0 < passed_s < inf:
            off = value - self.value
            if (off if off >= 0 else -off) * 60.0 > self.settings.rate_per_minute * passed_s:
                doubts |= RATE
        if self.neighbour is not None:
            doubts = self._beside(self.neighbour, value, at_s, doubts)
        if self.settings.drift is not None:
            doubts |= self._drift(value, at_s)
        if doubts & SPIKE and self._jumped < _ACCEPTED_AFTER:
            self._jumped += 1
        else:
            self._jumped = 0
            self._last, self._step = value, step
        self.value, self.at_s, self.doubts = value, at_s, doubts
        return doubts

    def moved(self) -> bool:
        """Whether it has changed within `max_age_s` of its newest reading: one that is frozen is no witness."""
        return self.at_s - self._same_since <= self._age

    def _learn(self, size: float, step: float, passed_s: float, at_s: float) -> None:
        """The first differences: plain means."""
        known = self._known
        self._known = known + 1
        if not known:
            self._same_since = at_s
            self._smallest = inf
            return
        self._change += (size - self._change) / known
        bend = abs(step - self._step)
        self._rough += (bend - self._rough) / known
        self._scatter = self._rough
        if passed_s < inf:
            self._interval += (passed_s - self._interval) / known

    def _beside(self, other: SensorJudge, value: float, at_s: float, doubts: int) -> int:
        """What the neighbour's newest value adds, or takes away (Q3)."""
        tolerance = self.settings.tolerance
        if tolerance is None or at_s - other.at_s > self._age or other.doubts & RANGE:
            return doubts
        if abs(value - other.value) <= tolerance:
            if doubts & (RATE | SPIKE):
                self._jumped = _ACCEPTED_AFTER
                doubts &= ~(RATE | SPIKE)
            return doubts
        own = other.doubts & ~NEIGHBOUR
        return doubts if own and not doubts else doubts | NEIGHBOUR

    def _drift(self, value: float, at_s: float) -> int:
        other = self.neighbour
        if other is not None:
            if at_s - other.at_s > self._age:
                return DRIFT if self._drifts else 0
            value -= other.value
        day = int(at_s // _DAY_S)
        total, count = self._sum
        if day != self._day:
            if count:
                self._days = [*self._days[-_DRIFT_DAYS:], total / count]
            self._day, total, count = day, 0.0, 0
            means = self._days
            way = [late - early for early, late in pairwise(means)]
            one_way = len(way) == _DRIFT_DAYS and (all(move > 0 for move in way) or all(move < 0 for move in way))
            limit = self.settings.drift or 0.0
            self._drifts = one_way and abs(means[-1] - means[0]) > limit
        self._sum = total + value, count + 1
        return DRIFT if self._drifts else 0
