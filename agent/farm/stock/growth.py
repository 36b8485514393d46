"""Formulas of feed, growth and mortality. Pure: numbers in, numbers out.

Mortality as the Norwegian Veterinary Institute computes it: rates average across pens, percentages do not.
"""

from __future__ import annotations

from math import cbrt, exp, log
from typing import TYPE_CHECKING, Final

from agent.farm.figure import Formula, NoValue

if TYPE_CHECKING:
    from collections.abc import Iterable

NVI: Final = "Norwegian Veterinary Institute"
MORTALITY_RATE: Final = Formula("dead / ((fish at start + fish at end) / 2), summed over the days", NVI)
MORTALITY_RISK: Final = Formula("100 (1 - exp(-sum of the daily rates)); dead fish only, no culls or escapes", NVI)
FCR_ECONOMIC: Final = Formula("feed / (biomass gained + harvested - stocked)", "economic feed conversion ratio")
FCR_BIOLOGICAL: Final = Formula(
    "feed / (biomass gained + harvested + dead - stocked)", "biological feed conversion ratio"
)
SGR: Final = Formula("100 (ln W2 - ln W1) / days", "specific growth rate")
TGC: Final = Formula("1000 (W2^(1/3) - W1^(1/3)) / sum of degree days", "thermal growth coefficient")
CONDITION: Final = Formula("100 W / L^3, in g and cm", "Fulton's condition factor")


def mortality_rate(dead: float, at_start: float, at_end: float) -> float:
    """The mortality rate of one period.

    Raises:
        NoValue: there were no fish.
    """
    mean = (at_start + at_end) / 2
    if mean <= 0:
        raise NoValue("there were no fish")
    return dead / mean


def mortality_risk_percent(rates: Iterable[float]) -> float:
    """The risk over several periods, in %, from the rate of each."""
    return 100 * (1 - exp(-sum(rates)))


def fcr(feed_kg: float, gained_kg: float, harvested_kg: float, stocked_kg: float, dead_kg: float = 0.0) -> float:
    """Feed conversion ratio: economic, or biological if `dead_kg` is given. `gained_kg` is end minus start.

    Raises:
        NoValue: nothing was gained.
    """
    gain = gained_kg + harvested_kg + dead_kg - stocked_kg
    if gain <= 0:
        raise NoValue(f"the gain is {gain:g} kg, and feed can be compared only with a gain")
    return feed_kg / gain


def sgr_percent(weight_1_g: float, weight_2_g: float, days: float) -> float:
    """Specific growth rate, in % a day. Raises NoValue."""
    _growing(weight_1_g, weight_2_g, days)
    return 100 * (log(weight_2_g) - log(weight_1_g)) / days


def tgc(weight_1_g: float, weight_2_g: float, degree_days: float) -> float:
    """Thermal growth coefficient, from weights in g and the sum of daily mean degC. Raises NoValue."""
    _growing(weight_1_g, weight_2_g, 1.0)
    if degree_days <= 0:
        raise NoValue(f"the sum of degree days is {degree_days:g}")
    return 1000 * (cbrt(weight_2_g) - cbrt(weight_1_g)) / degree_days


def condition(weight_g: float, length_cm: float) -> float:
    """Fulton's condition factor K. Raises NoValue."""
    if weight_g <= 0 or length_cm <= 0:
        raise NoValue("weight and length must be above 0")
    return 100 * weight_g / length_cm**3


def _growing(weight_1_g: float, weight_2_g: float, days: float) -> None:
    if weight_1_g <= 0 or weight_2_g <= 0:
        raise NoValue("a mean weight is 0")
    if days <= 0:
        raise NoValue("there is no time between the two weighings")
