"""Units as devices and people write them: one closed table, for payloads and for the configuration alike.

A closed table because readers of units guess: one takes `ppt` for a picopint, another `ms/cm` for a time. Spellings
are compared without spaces, dots and case, and with one sign each for micro, degree and exponents; nothing else is
made out. The names follow UCUM if it has a readable one (degC, mg/L, uS/cm), else the field's own (NTU, PSU).
"""

from __future__ import annotations

from typing import Final

SPELLINGS: Final[dict[str, tuple[str, ...]]] = {
    "degC": ("°C", "℃", "C", "Cel", "celsius", "deg C", "deg_C", "degree C", "degrees C", "degrees celsius"),
    "degF": ("°F", "℉", "F", "fahrenheit", "deg F", "degrees F"),
    "K": ("kelvin",),
    "mg/L": ("mg L-1", "mg/liter", "mg/litre", "mg/ltr"),
    "ug/L": ("ug L-1", "µg/liter", "µg/litre"),
    "g/L": ("g L-1",),
    "umol/L": ("umol L-1", "µM"),
    "ppm": (),
    "ppb": (),
    "%": ("pct", "percent", "%RH", "RH%", "% sat", "% saturation", "%DO", "% air sat", "% air saturation"),
    "pH": (),
    "mV": ("millivolt", "millivolts"),
    "V": ("volt", "volts"),
    "NTU": (),
    "FNU": (),
    "FTU": (),
    "uS/cm": ("uS cm-1", "umho/cm", "microsiemens/cm"),
    "mS/cm": ("mS cm-1", "mmho/cm", "millisiemens/cm"),
    "S/m": ("S m-1",),
    "PSU": (),
    "ppt": ("‰", "0/00"),
    "g/kg": ("g kg-1",),
    "RFU": (),
    "Pa": ("pascal",),
    "hPa": ("mbar", "millibar", "hectopascal"),
    "kPa": ("kilopascal",),
    "bar": (),
    "dbar": ("decibar",),
    "mm": ("millimeter", "millimetre"),
    "cm": ("centimeter", "centimetre"),
    "m": ("meter", "metre", "meters", "metres"),
    "ft": ("feet", "foot"),
    "L/s": ("L s-1", "LPS"),
    "L/min": ("L min-1", "LPM"),
    "m3/h": ("m3 h-1", "m3/hr", "m3/hour"),
    "cm/s": ("cm s-1",),
    "m/s": ("m s-1", "mps"),
    "km/h": ("km h-1", "kmh", "kph"),
    "kn": ("kt", "kts", "knot", "knots"),
    "lx": ("lux",),
    "umol/m2/s": ("umol m-2 s-1", "umol/(m2 s)"),
    "g": ("gram", "grams"),
    "kg": ("kilogram", "kilograms"),
    "t": ("tonne", "tonnes"),
}
"""The other spellings of each unit, beside its own name."""

PPM_IS_MG_PER_L: Final = frozenset(
    {"oxygen", "dissolved_oxygen", "ammonia", "ammonium", "tan", "nh3_n", "nh3", "nitrite", "nitrate"}
)
"""Kinds of sensor for which a ppm is a mg/L: a litre of water is a kilogram, within what such probes can tell."""

_SIGNS: Final = str.maketrans(
    {
        "\u00b5": "u",  # micro sign
        "\u03bc": "u",  # Greek mu
        "\u00ba": "\u00b0",  # masculine ordinal, beside which Spanish and Italian keyboards have no degree sign
        "\u02da": "\u00b0",  # ring above
        "\u2070": "0",
        "\u00b9": "1",
        "\u00b2": "2",
        "\u00b3": "3",
        "\u207b": "-",
        "\u2212": "-",
        "\u2103": "\u00b0C",
        "\u2109": "\u00b0F",
        "\u00b7": None,  # between factors, as are the next ones
        "\u22c5": None,
        ".": None,
        "*": None,
        "^": None,
        " ": None,
        "\u00a0": None,
    }
)


def _folded(text: str) -> str:
    return text.translate(_SIGNS).lower()


_NAMES: Final = {_folded(text): name for name, others in SPELLINGS.items() for text in (name, *others)}


def name_of(text: str, sensor_type: str = "") -> str | None:
    """The name of the unit that a text stands for, or None if it is not in the table.

    For some kinds of sensor a ppm is a mg/L (`PPM_IS_MG_PER_L`).
    """
    name = text if text in SPELLINGS else _NAMES.get(_folded(text))
    return "mg/L" if name == "ppm" and sensor_type.lower() in PPM_IS_MG_PER_L else name


def same(one: str, other: str, sensor_type: str = "") -> bool:
    """Whether two texts are one unit, written differently at most."""
    if one == other:
        return True
    name = name_of(one, sensor_type)
    return name is not None and name == name_of(other, sensor_type)
