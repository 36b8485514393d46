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
