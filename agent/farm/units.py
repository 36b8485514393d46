"""Which units a kind of sensor may speak, spelled in one way only, so that the centre never has to guess.

Spellings follow UCUM where it has a readable one (degC, mg/L, uS/cm), else the field's own (NTU, PSU).
"""

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

_OTHER_SPELLINGS: Final = {
    "c": "degC",
    "°c": "degC",
    "celsius": "degC",
    "f": "degF",
    "°f": "degF",
    "fahrenheit": "degF",
    "kelvin": "K",
    "mg/l": "mg/L",
    "ppm": "mg/L",
    "percent": "%",
    "ph": "pH",
    "us/cm": "uS/cm",
    "µs/cm": "uS/cm",
    "μs/cm": "uS/cm",
    "ms/cm": "mS/cm",
    "ntu": "NTU",
    "fnu": "FNU",
    "psu": "PSU",
    "l/min": "L/min",
    "l/s": "L/s",
    "m³/h": "m3/h",
    "lux": "lx",
    "mv": "mV",
    "µg/l": "ug/L",
    "ug/l": "ug/L",
}


def allowed(sensor_type: str) -> tuple[str, ...] | None:
    """The units that this kind of sensor may have, the usual one first; None where any will do."""
    return UNITS.get(sensor_type.lower())


def meant(sensor_type: str, unit: str) -> str | None:
    """The allowed unit that a wrong spelling most likely stands for."""
    known = allowed(sensor_type) or ()
    likely = _OTHER_SPELLINGS.get(unit.lower())
    if likely in known:
        return likely
    return next((right for right in known if right.lower() == unit.lower()), None)
