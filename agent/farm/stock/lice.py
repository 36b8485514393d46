"""Sea lice counts against the limits of the calendar. Counts are clustered: fish of one pen are alike.

Norway: fewer than 0.5 adult females a fish; fewer than 0.2 in weeks 16 to 21 (south) and 21 to 26 (north), when at
least 20 fish of every pen are counted each week. Intraclass correlation 0.35 (Revie 2007): the design effect of m
fish a pen is 1 + (m - 1) ICC, so 10 pens of 20 fish count as about 26.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Final

from agent.farm.figure import Formula, NoValue

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

ICC: Final = 0.35
LICE: Final = Formula(
    "mean adult females a fish over all pens; 95 % interval with effective n = fish / (1 + (m - 1) ICC), ICC 0.35",
    "Revie 2007 (intraclass correlation); the limit is the dated one of the configuration",
)
_Z: Final = 1.96


@dataclass(frozen=True, slots=True)
class LiceCount:
    """One pen's count: how many fish were looked at, and the adult females on them, fish by fish if known."""

    tank_id: str
    fish: int
    adult_females: int


@dataclass(frozen=True, slots=True)
class LiceLimit:
    """A limit of adult females a fish, from one ISO week of the year to another, both included.

    `year` None is every year. `least_fish` is how many fish of each pen must be counted in those weeks.
    """

    limit: float
    first_week: int = 1
    last_week: int = 53
    year: int | None = None
    least_fish: int = 0
    source: str = ""

    def holds(self, day: date) -> bool:
        """Whether it holds on a day."""
        year, week, _ = day.isocalendar()
        return (self.year is None or self.year == year) and self.first_week <= week <= self.last_week


@dataclass(frozen=True, slots=True)
class LiceMean:
    """Adult females a fish, with the interval that clustering leaves, and how many independent fish that equals."""

    mean: float
    low: float
    high: float
    effective_n: float


def effective_fish(pens: int, fish_a_pen: float, icc: float = ICC) -> float:
    """How many independent fish a clustered count is worth."""
    return pens * fish_a_pen / (1 + (fish_a_pen - 1) * icc)


def mean_of(counts: Sequence[LiceCount]) -> LiceMean:
    """The mean over all fish counted, with a 95 % interval: counts as Poisson, times the design effect.

    Raises:
        NoValue: no fish were counted.
    """
    fish = sum(count.fish for count in counts)
    if fish <= 0:
        raise NoValue("no fish were counted")
    mean = sum(count.adult_females for count in counts) / fish
    worth = effective_fish(len(counts), fish / len(counts))
    # At a count of 0 the interval must not be empty: the rule of three.
    half = _Z * sqrt(mean / worth) if mean > 0 else 3 / worth
    return LiceMean(mean, max(0.0, mean - half), mean + half, worth)


def limit_on(limits: Sequence[LiceLimit], day: date) -> LiceLimit:
    """The strictest limit that holds on a day.

    Raises:
        NoValue: none does.
    """
    holding = [one for one in limits if one.holds(day)]
    if not holding:
        raise NoValue(f"no limit is configured for {day}")
    return min(holding, key=lambda one: one.limit)
