"""Which units a kind of sensor may have, by the names of `drivers.units`, which knows how else each is spelled."""

from __future__ import annotations

from typing import Final

UNITS: Final[dict[str, tuple[str, ...]]] = {
    "temperature": ("degC", "degF", "K"),
    "oxygen": ("mg/L", "%", "umol/L"),
    "dissolved_oxygen": ("mg/L", "%", "umol/L"),
    "oxygen_saturation": ("%",),
    "ph": ("pH",),
    "orp": ("mV",),
    "turbidity": ("NTU", "FNU", "FTU"),
    "conductivity": ("uS/cm", "mS/cm", "S/m"),
    "salinity": ("PSU", "ppt", "g/kg"),
    "ammonia": ("mg/L", "umol/L"),
    "tan": ("mg/L", "umol/L"),
    "nh3_n": ("mg/L", "umol/L"),
    "nh3": ("mg/L", "umol/L"),
    "ammonium": ("mg/L", "umol/L"),
    "nitrite": ("mg/L", "umol/L"),
    "nitrate": ("mg/L", "umol/L"),
    "co2": ("mg/L", "ppm"),
    "chlorophyll": ("ug/L", "RFU"),
    "pressure": ("Pa", "hPa", "kPa", "bar", "dbar"),
    "total_gas_pressure": ("%", "hPa"),
    "level": ("mm", "cm", "m"),
    "stage": ("mm", "cm", "m", "ft"),
    "depth": ("cm", "m"),
    "flow": ("L/s", "L/min", "m3/h"),
    "current_speed": ("cm/s", "m/s"),
    "wind_speed": ("m/s", "km/h", "kn"),
    "humidity": ("%",),
    "light": ("lx", "umol/m2/s"),
    "weight": ("g", "kg", "t"),
}
"""Units by kind of sensor, the usual one first. A kind that is not here may have any unit."""


def allowed(sensor_type: str) -> tuple[str, ...] | None:
    """The units that this kind of sensor may have, the usual one first; None if any will do."""
    return UNITS.get(sensor_type.lower())


class Unconvertible(ValueError):  # noqa: N818 - says what the unit is
    """A value whose unit is not one of its quantity."""


_STANDARD: Final[dict[str, tuple[str, dict[str, tuple[float, float]]]]] = {
    # Quantity: its one unit, and of each other unit the factor and the offset that come to it.
    "temperature": ("degC", {"degF": (5 / 9, -160 / 9), "K": (1.0, -273.15)}),
    "oxygen": ("mg/L", {"umol/L": (0.0319988, 0.0)}),
    "conductivity": ("mS/cm", {"uS/cm": (0.001, 0.0), "S/m": (10.0, 0.0)}),
    # Absolute salinity is 35.16504/35 of the practical one (TEOS-10, reference composition).
    "salinity": ("PSU", {"ppt": (1.0, 0.0), "g/kg": (35 / 35.16504, 0.0)}),
    "pressure": ("hPa", {"Pa": (0.01, 0.0), "kPa": (10.0, 0.0), "bar": (1000.0, 0.0), "dbar": (100.0, 0.0)}),
    "ph": ("pH", {}),
    # As mg of nitrogen.
    "tan": ("mg/L", {"umol/L": (0.0140067, 0.0)}),
}
"""One unit a quantity. TAN, NH3-N and NH3 are three quantities, and NTU and FNU two: none is made of another here."""


def in_standard_unit(quantity: str, value: float, unit: str) -> tuple[float, str]:
    """A value in the one unit that formulas take of this quantity, and that unit.

    Raises:
        Unconvertible: the unit is none of this quantity's, such as % for oxygen in mg/L.
    """
    standard, others = _STANDARD[quantity]
    if unit == standard:
        return value, standard
    if unit not in others:
        known = " or ".join([standard, *others])
        raise Unconvertible(f"{quantity} must be in {known}, not in {unit or 'no unit'}")
    factor, offset = others[unit]
    return value * factor + offset, standard
