"""Numbers by which devices say that there is no value: a fault of the sensor, and never a limit's alarm.

Each holds for the kind of device that sends it, or where it lies outside of what the quantity can be. Inside of that
it may be a real value (85 % of oxygen, 655 uS/cm): then it is only suspect, and judged all the same.
"""

from __future__ import annotations

from bisect import bisect
from typing import Final

FAULT: Final = "sensor fault"
"""The reason why there is no value."""
SUSPECT: Final = "suspect"

_NEAR: Final = 1e-6
"""Relative: a float of 32 bits holds 327.67 as 327.670013."""

MAKERS: Final[dict[str, tuple[float, ...]]] = {
    "ds18b20": (-127.0,),
    "int16": (32767.0, 32768.0, -32768.0),
    "int16_by_10": (3276.7, 3276.8, -3276.8),
    "int16_by_100": (327.67, 327.68, -327.68),
    "uint16": (65535.0,),
    "uint16_by_10": (6553.5,),
    "uint16_by_100": (655.35,),
    "data_logger": (-9999.0,),
    "modbus": (2_000_000.0, -9999.0),
}
"""Kinds of device, each with the numbers that stand for no value."""

_ANYWHERE: Final = tuple(sorted({number for numbers in MAKERS.values() for number in numbers} - {-127.0}))
_POWER_UP: Final = 85.0
"""What a DS18B20 answers before its first conversion."""
_SIGN_LOST: Final = (6550.0, 6553.5)
"""A small negative number of 16 bits, by 10, that was read without its sign."""

RANGES: Final[dict[tuple[str, str], tuple[float, float]]] = {
    ("temperature", "degC"): (-60.0, 125.0),
    ("temperature", "degF"): (-76.0, 257.0),
    ("temperature", "K"): (213.0, 398.0),
    ("oxygen", "mg/L"): (0.0, 60.0),
    ("oxygen", "%"): (0.0, 600.0),
    ("ph", "pH"): (0.0, 14.0),
    ("ph", ""): (0.0, 14.0),
    ("orp", "mV"): (-2_000.0, 2_000.0),
    ("conductivity", "uS/cm"): (0.0, 250_000.0),
    ("conductivity", "mS/cm"): (0.0, 250.0),
    ("salinity", "PSU"): (0.0, 300.0),
    ("salinity", "ppt"): (0.0, 300.0),
    ("salinity", "g/kg"): (0.0, 300.0),
    ("turbidity", "NTU"): (0.0, 10_000.0),
    ("turbidity", "FNU"): (0.0, 10_000.0),
    ("humidity", "%"): (0.0, 100.0),
    ("battery", "%"): (0.0, 100.0),
    ("battery", "V"): (0.0, 60.0),
    ("pressure", "hPa"): (300.0, 12_000.0),
    ("pressure", "kPa"): (30.0, 1_200.0),
    ("level", "m"): (-100.0, 1_000.0),
    ("level", "cm"): (-10_000.0, 100_000.0),
}
"""What a quantity can be at all in a unit, wherever it is measured."""
_ALIASES: Final = {
    "dissolved_oxygen": "oxygen", "do": "oxygen", "water_temperature": "temperature", "temp": "temperature",
    "air_temperature": "temperature", "ec": "conductivity",
}  # fmt: skip


_TEMPERATURES: Final = frozenset({"degC", "degF", "K"})
# A DS18B20 whose driver turns its answers into Fahrenheit.
_FAULT_BY_UNIT: Final = {"degF": -196.6}
_POWER_UP_BY_UNIT: Final = {"degF": 185.0}


def _edges() -> list[float]:
    """Where stretches of numbers begin and end outside of which no number stands for no value; sorted, apart."""
    alone = {*_ANYWHERE, -127.0, _POWER_UP, *_FAULT_BY_UNIT.values(), *_POWER_UP_BY_UNIT.values()}
    stretches = [_SIGN_LOST, *((number, number) for number in alone)]
    edges: list[float] = []
    for low, high in sorted((low - 2 * _NEAR * abs(low), high + 2 * _NEAR * abs(high)) for low, high in stretches):
        if edges and low <= edges[-1]:
            edges[-1] = max(edges[-1], high)
        else:
            edges += (low, high)
    return edges


_EDGES: Final = _edges()


def plain(value: float) -> bool:
    """Whether a number stands for a value whatever sent it, by one look; a configuration may add numbers."""
    return not bisect(_EDGES, value) & 1


def range_of(sensor_type: str, unit: str) -> tuple[float, float] | None:
    """The lowest and the highest value that a kind of sensor can have; None if that is not known."""
    kind = sensor_type.lower()
    if unit in _TEMPERATURES:
        kind = "temperature"
    return RANGES.get((_ALIASES.get(kind, kind), unit))


def is_temperature(sensor_type: str, unit: str) -> bool:
    """Whether a kind of sensor measures temperature, by its name or its unit."""
    kind = sensor_type.lower()
    return unit in _TEMPERATURES or _ALIASES.get(kind, kind) == "temperature"


def verdict(  # noqa: PLR0911 - a rule a line
    value: float,
    sensor_type: str,
    unit: str,
    *,
    maker: str = "",
    sentinels: tuple[float, ...] = (),
    first: bool = False,
    bounds: tuple[float, float] | None = None,
) -> str:
    """`FAULT` if a value stands for no value, `suspect` if it may, else empty.

    `maker` is a kind of `MAKERS`, `sentinels` are what the configuration adds, `first` says that nothing came before
    it for a while, and `bounds` is the sensor's own range where config has one.
    """
    if _any(value, sentinels) or _any(value, MAKERS.get(maker, ())):
        return FAULT
    temperature = is_temperature(sensor_type, unit)
    within = bounds or range_of(sensor_type, unit)
    outside = within is not None and not within[0] <= value <= within[1]
    if _near(value, _POWER_UP_BY_UNIT.get(unit, _POWER_UP)):
        # As a temperature only, and only where a probe has just come up.
        if not temperature or not first:
            return ""
        return FAULT if outside or maker == "ds18b20" else SUSPECT
    if _near(value, _FAULT_BY_UNIT.get(unit, -127.0)):
        return FAULT if temperature else ""
    if _SIGN_LOST[0] < value <= _SIGN_LOST[1] and (temperature or maker == "uint16_by_10"):
        return FAULT if outside or maker == "uint16_by_10" else SUSPECT
    if not _any(value, _ANYWHERE):
        return ""
    return FAULT if outside else SUSPECT


def _any(value: float, numbers: tuple[float, ...]) -> bool:
    return any(_near(value, number) for number in numbers)


def _near(value: float, number: float) -> bool:
    return abs(value - number) <= _NEAR * abs(number)
