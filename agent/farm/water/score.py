"""The water-quality score: CCME WQI, 0 to 100, from tests against objectives; beside it the limiting factor.

CCME 2001: F1 is the share of variables that ever fail, F2 that of tests that fail, F3 comes from how far they fail.
At least 4 variables with 4 tests each. 95 and more is excellent, 80 good, 65 fair, 45 marginal, less poor.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Final

from agent.farm.figure import Formula, NoValue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCORE: Final = Formula(
    "100 - sqrt(F1^2 + F2^2 + F3^2) / 1.732, from the hourly medians of the last 7 days", "CCME Water Quality Index"
)
LIMITING: Final = Formula(
    "the variable with the smallest margin to its objective, as a share of the objective", "own definition"
)
_GRADES: Final = ((95.0, "excellent"), (80.0, "good"), (65.0, "fair"), (45.0, "marginal"))
LEAST_VARIABLES: Final = 4
LEAST_TESTS: Final = 4


@dataclass(frozen=True, slots=True)
class Objective:
    """What a variable should be: at least `low`, at most `high`; `source` says who says so."""

    low: float | None = None
    high: float | None = None
    source: str = ""

    def excursion(self, value: float) -> float:
        """How far a value fails, by CCME: value/objective - 1, for a minimum objective/value - 1; 0 if it does not.

        Infinite for a value of 0 or below against a minimum.
        """
        if self.low is not None and value < self.low:
            return self.low / value - 1 if value > 0 else float("inf")
        if self.high is not None and value > self.high:
            return value / self.high - 1 if self.high > 0 else float("inf")
        return 0.0

    def margin(self, value: float) -> float:
        """The distance to the nearer bound, as a share of that bound; negative outside."""
        margins = []
        if self.low is not None:
            margins.append((value - self.low) / (abs(self.low) or 1.0))
        if self.high is not None:
            margins.append((self.high - value) / (abs(self.high) or 1.0))
        return min(margins, default=float("inf"))


@dataclass(frozen=True, slots=True)
class Wqi:
    """A score with its three parts."""

    score: float
    f1: float
    f2: float
    f3: float


def wqi(tests: Mapping[str, Sequence[float]], objectives: Mapping[str, Objective]) -> Wqi:
    """The score of tests, by variable, against the objectives of the same names.

    Raises:
        NoValue: a variable is missing or has too few tests, or there are too few variables.
    """
    if len(objectives) < LEAST_VARIABLES:
        raise NoValue(f"{len(objectives)} variables have an objective, and the score needs {LEAST_VARIABLES}")
    short = [f"{name} ({len(tests.get(name, ()))})" for name in objectives if len(tests.get(name, ())) < LEAST_TESTS]
    if short:
        raise NoValue(f"too few tests, of which {LEAST_TESTS} are needed: {', '.join(short)}")
    excursions = {name: [objectives[name].excursion(value) for value in tests[name]] for name in objectives}
    every = [one for of_one in excursions.values() for one in of_one]
    f1 = 100 * sum(any(of_one) for of_one in excursions.values()) / len(objectives)
    f2 = 100 * sum(one > 0 for one in every) / len(every)
    nse = sum(every) / len(every)
    f3 = 100.0 if nse == float("inf") else nse / (0.01 * nse + 0.01)
    return Wqi(100 - sqrt(f1**2 + f2**2 + f3**2) / 1.732, f1, f2, f3)


def grade(score: float, limiting_margin: float | None = None) -> str:
    """The grade of a score in words; a variable that is outside its objective now may only lower it."""
    words = [word for least, word in _GRADES if score >= least] or ["poor"]
    if limiting_margin is not None and limiting_margin < 0 and words[0] in ("excellent", "good"):
        return "fair"
    return words[0]


def limiting(newest: Mapping[str, float], objectives: Mapping[str, Objective]) -> tuple[str, float]:
    """The variable with the worst margin, and that margin.

    Raises:
        NoValue: a variable has no value.
    """
    missing = [name for name in objectives if name not in newest]
    if missing or not objectives:
        raise NoValue(f"no value of {', '.join(missing)}" if missing else "no variable has an objective")
    margins = {name: objective.margin(newest[name]) for name, objective in objectives.items()}
    worst = min(margins, key=lambda name: margins[name])
    return worst, margins[worst]
