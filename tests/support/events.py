"""Scores of alarms against labelled events, as whoever is woken counts them.

An alarm is right if it begins within an event or at most four samples after it. An event counts once, however many
alarms it has. A wrong alarm counts once and once more for each day that it goes on; so does one that is right for
each day that it outlasts its event.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LATE = 4
"""Samples after an event's end in which an alarm is still its alarm."""
CALM = 4
"""An alarm ends after so many samples without a doubt."""
_DAY_S = 86_400.0
_WEEK_S = 7 * _DAY_S
_TIMES = 500


@dataclass(slots=True)
class Tally:
    """What one series, or one week of it, brought."""

    events: int = 0
    hit: int = 0
    false: int = 0
    points: int = 0
    flagged: int = 0
    both: int = 0
    alarm_s: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        fields = self.__dataclass_fields__
        return Tally(**{name: getattr(self, name) + getattr(other, name) for name in fields})

    @property
    def recall(self) -> float:
        """Of events."""
        return self.hit / self.events if self.events else 0.0

    @property
    def precision(self) -> float:
        """Of alarms: events that were hit, among them and the false alarms."""
        return self.hit / (self.hit + self.false) if self.hit else 0.0

    @property
    def f1(self) -> float:
        """Of events."""
        return _f1(self.precision, self.recall)

    @property
    def point_f1(self) -> float:
        """Of rows."""
        return _f1(self.both / (self.flagged or 1), self.both / (self.points or 1))

    @property
    def false_a_week(self) -> float:
        """False alarms, per sensor and week."""
        return self.false / (self.seconds / _WEEK_S) if self.seconds else 0.0


def score(at_s: Sequence[float], labels: Sequence[bool], flags: Sequence[bool]) -> dict[int, Tally]:
    """The tallies of a series by week; an event or alarm belongs to the week in which it begins."""
    weeks: dict[int, Tally] = {}

    def week(place: int) -> Tally:
        return weeks.setdefault(int(at_s[place] // _WEEK_S), Tally())

    for place, (label, flag) in enumerate(zip(labels, flags, strict=True)):
        tally = week(place)
        tally.points += label
        tally.flagged += flag
        tally.both += label and flag
        if place:
            tally.seconds += min(at_s[place] - at_s[place - 1], _DAY_S)
    events = runs(labels, 0)
    hit: set[int] = set()
    number = 0
    for first, last in runs(flags, CALM):
        while number < len(events) and events[number][1] + LATE < first:
            number += 1
        begun = week(first)
        begun.alarm_s += at_s[last] - at_s[first]
        right = number < len(events) and events[number][0] <= first
        after_s = at_s[last] - (at_s[max(first, events[number][1])] if right else at_s[first])
        if right:
            hit.add(number)
        begun.false += max(0, int(after_s // _DAY_S)) + (not right)
    for place, (first, _) in enumerate(events):
        tally = week(first)
        tally.events += 1
        tally.hit += place in hit
    return weeks


def runs(flags: Sequence[bool], calm: int) -> list[tuple[int, int]]:
    """First and last place of each run of flags; up to `calm` places without one do not end it."""
    found: list[tuple[int, int]] = []
    for place, flag in enumerate(flags):
        if not flag:
            continue
        if found and place - found[-1][1] <= calm + 1:
            found[-1] = found[-1][0], place
        else:
            found.append((place, place))
    return found


def total(tallies: Iterable[Tally]) -> Tally:
    """All of them together."""
    return sum(tallies, Tally())


def interval(weeks: Sequence[Tally], seed: int = 7) -> tuple[float, float]:
    """The middle 95 % of the event F1 over weeks drawn again."""
    rng = random.Random(seed)
    kept = [one for one in weeks if one.events or one.false]
    drawn = sorted(total(rng.choices(kept, k=len(kept))).f1 for _ in range(_TIMES)) if kept else [0.0]
    return drawn[int(len(drawn) * 0.025)], drawn[int(len(drawn) * 0.975)]


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
