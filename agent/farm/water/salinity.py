"""Practical salinity from conductivity, by the PSS-78 of `gsw`, guarded: the library checks no input."""

from __future__ import annotations

from typing import Final

from agent.farm.figure import Formula, NoValue, within

SALINITY: Final = Formula("SP(conductivity, temperature, pressure 0)", "PSS-78, as gsw.SP_from_C of TEOS-10")
_MOST_MS_PER_CM: Final = 80.0
"""Brine apart no water of a farm conducts more; a value of thousands is in uS/cm."""


def practical_salinity(conductivity_ms_per_cm: float, temperature_degc: float) -> float:
    """Practical salinity at the surface.

    Args:
        conductivity_ms_per_cm: as measured, not compensated to 25 degC.
        temperature_degc: of the water at the probe.

    Raises:
        NoValue: the probe is dry or off, or an input is outside what PSS-78 holds for.
    """
    if conductivity_ms_per_cm <= 0:
        raise NoValue(f"conductivity is {conductivity_ms_per_cm:g} mS/cm: the probe is dry or off")
    if conductivity_ms_per_cm > _MOST_MS_PER_CM:
        raise NoValue(
            f"conductivity is {conductivity_ms_per_cm:g} mS/cm, more than any water's: is the value in uS/cm?"
        )
    within("temperature", temperature_degc, -2, 35, "degC")
    # Here, because it takes memory that a gateway without conductivity probes need not spend.
    from gsw import SP_from_C  # noqa: PLC0415

    return within("salinity", float(SP_from_C(conductivity_ms_per_cm, temperature_degc, 0.0)), 0, 42, "PSU")
