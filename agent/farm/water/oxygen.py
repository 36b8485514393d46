"""Dissolved oxygen: what water holds at saturation, by temperature, salinity and station pressure.

Benson & Krause 1980/84, as in APHA 4500-O and USGS memorandum 2011.03; valid from 0 to 40 degC and salinity 0 to 40.
"""

from __future__ import annotations

from math import exp
from typing import Final

from agent.farm.figure import Formula, within

SATURATION: Final = Formula(
    "100 * oxygen / C(P); C(P) = C* (P - Pwv) (1 - theta P) / ((1 - Pwv) (1 - theta)), C* at 1 atm by temperature "
    "and salinity",
    "Benson & Krause 1980/84, as in APHA 4500-O and USGS memorandum 2011.03",
)
DEFICIT: Final = Formula("C(P) - oxygen, C(P) as for the saturation", SATURATION.source)
HPA_PER_ATM: Final = 1013.25


def solubility(temperature_degc: float, salinity: float = 0.0, pressure_hpa: float = HPA_PER_ATM) -> float:
    """Oxygen in water that is in equilibrium with moist air, in mg/L.

    Args:
        temperature_degc: of the water.
        salinity: practical salinity (PSS-78).
        pressure_hpa: the station's own air pressure, not reduced to sea level.

    Raises:
        NoValue: an input is outside the formula's range.
    """
    within("temperature", temperature_degc, 0, 40, "degC")
    within("salinity", salinity, 0, 40, "PSU")
    within("pressure", pressure_hpa, 500, 1100, "hPa")
    t, kelvin, atm = temperature_degc, temperature_degc + 273.15, pressure_hpa / HPA_PER_ATM
    at_one_atm = exp(
        -139.34411
        + 1.575701e5 / kelvin
        - 6.642308e7 / kelvin**2
        + 1.243800e10 / kelvin**3
        - 8.621949e11 / kelvin**4
        - salinity * (1.7674e-2 - 10.754 / kelvin + 2140.7 / kelvin**2)
    )
    vapour = exp(11.8571 - 3840.70 / kelvin - 216961 / kelvin**2)
    theta = 9.75e-4 - 1.426e-5 * t + 6.436e-8 * t**2
    return at_one_atm * (atm - vapour) * (1 - theta * atm) / ((1 - vapour) * (1 - theta))


def saturation(
    oxygen_mg_per_l: float, temperature_degc: float, salinity: float, pressure_hpa: float = HPA_PER_ATM
) -> float:
    """Oxygen in % of saturation. Raises NoValue as `solubility` does, and for an oxygen below 0 or above 40 mg/L."""
    within("oxygen", oxygen_mg_per_l, 0, 40, "mg/L")
    return 100 * oxygen_mg_per_l / solubility(temperature_degc, salinity, pressure_hpa)


def deficit(
    oxygen_mg_per_l: float, temperature_degc: float, salinity: float, pressure_hpa: float = HPA_PER_ATM
) -> float:
    """What is missing to saturation, in mg/L; negative in supersaturated water. Raises NoValue as `saturation`."""
    within("oxygen", oxygen_mg_per_l, 0, 40, "mg/L")
    return solubility(temperature_degc, salinity, pressure_hpa) - oxygen_mg_per_l


def feed_limit_percent(temperature_degc: float, *, feeding: bool) -> float:
    """Atlantic salmon: the saturation below which appetite (`feeding`), or else respiration, is limited; in %.

    Remen 2016: linear from 42 % at 7 degC to 76 % at 19 degC while feeding, from 24 to 40 % when fasted; outside
    7 to 19 degC the end value.
    """
    low, high = (42.0, 76.0) if feeding else (24.0, 40.0)
    share = min(1.0, max(0.0, (temperature_degc - 7) / 12))
    return low + share * (high - low)
