"""Un-ionised ammonia: the part of total ammonia nitrogen (TAN) that is NH3, which is what harms fish.

TAN, NH3-N and NH3 are three quantities. Fresh water: Emerson et al. 1975, 0 to 50 degC. Sea water: Bell et al. 2008
(Environ. Chem. 5, 258), for pH on the NBS scale, from data over 5 to 25 degC and salinity 5 to 40. Emerson below
salinity 5, Bell above 10, blended between: Emerson in sea water overstates by 23 to 29 %.
"""

from __future__ import annotations

from typing import Final

from agent.farm.figure import Formula, within

NH3_PER_N: Final = 1.2159
"""Grams of NH3 for each gram of its nitrogen."""
_FRESH_BELOW: Final = 5.0
_SEA_FROM: Final = 10.0
NH3_N: Final = Formula(
    "TAN / (1 + 10^(pKa - pH)); fresh: pKa = 0.09018 + 2729.92 / T; sea: pKa = 10.0423 - 0.0315536 t + 0.003071 S; "
    "blended from salinity 5 to 10",
    "Emerson et al. 1975 (fresh), Bell et al. 2008, Environ. Chem. 5, 258 (sea)",
)
NH3: Final = Formula(f"{NH3_PER_N:g} * NH3-N; NH3-N = {NH3_N.text}", NH3_N.source)


def fraction_fresh(temperature_degc: float, ph: float) -> float:
    """The un-ionised part of TAN in fresh water, 0 to 1 (Emerson et al. 1975). Raises NoValue."""
    within("temperature", temperature_degc, 0, 50, "degC")
    within("ph", ph, 0, 14, "pH")
    return 1 / (1 + 10 ** (0.09018 + 2729.92 / (temperature_degc + 273.15) - ph))


def fraction_sea(temperature_degc: float, ph: float, salinity: float) -> float:
    """The un-ionised part of TAN in sea water, 0 to 1 (Bell et al. 2008). Raises NoValue."""
    within("temperature", temperature_degc, 0, 50, "degC")
    within("ph", ph, 0, 14, "pH")
    within("salinity", salinity, 0, 45, "PSU")
    return 1 / (1 + 10 ** (10.0423 - 0.0315536 * temperature_degc + 0.003071 * salinity - ph))


def fraction(temperature_degc: float, ph: float, salinity: float) -> float:
    """The un-ionised part of TAN, 0 to 1, in water of any salinity. Raises NoValue."""
    within("salinity", salinity, 0, 45, "PSU")
    if salinity < _FRESH_BELOW:
        return fraction_fresh(temperature_degc, ph)
    sea = fraction_sea(temperature_degc, ph, salinity)
    if salinity >= _SEA_FROM:
        return sea
    share = (salinity - _FRESH_BELOW) / (_SEA_FROM - _FRESH_BELOW)
    return (1 - share) * fraction_fresh(temperature_degc, ph) + share * sea


def notes(temperature_degc: float, salinity: float) -> tuple[str, ...]:
    """What is to be said of a value in sea water outside the range of the data that its formula was fitted to."""
    if salinity < _FRESH_BELOW or (5 <= temperature_degc <= 25 and salinity <= 40):
        return ()
    return ("outside 5 to 25 degC or salinity 40, where the sea water formula is extrapolated",)


def nh3_n(tan_mg_per_l: float, temperature_degc: float, ph: float, salinity: float) -> float:
    """NH3-N in mg/L of nitrogen. Raises NoValue."""
    within("tan", tan_mg_per_l, 0, 1000, "mg/L")
    return tan_mg_per_l * fraction(temperature_degc, ph, salinity)


def nh3(tan_mg_per_l: float, temperature_degc: float, ph: float, salinity: float) -> float:
    """NH3 in mg/L. Raises NoValue."""
    return NH3_PER_N * nh3_n(tan_mg_per_l, temperature_degc, ph, salinity)
