"""What a sensor of a kind can measure at all: values outside are a fault of the sensor, whatever the water does.

Wide on purpose: each holds for any water and for the usual probes with their zero offset. A narrower one is
configured by sensor.
"""

from __future__ import annotations

from math import inf
from typing import Final

_DEGREES: Final = {"degC": (-60.0, 120.0), "degF": (-76.0, 248.0), "K": (213.0, 393.0)}
_OXYGEN: Final = {"mg/L": (-1.0, 60.0), "%": (-5.0, 500.0), "umol/L": (-30.0, 1_900.0)}
PLAUSIBLE: Final[dict[str, dict[str, tuple[float, float]]]] = {
    "temperature": _DEGREES,
    "oxygen": _OXYGEN,
    "dissolved_oxygen": _OXYGEN,
    "oxygen_saturation": {"%": (-5.0, 500.0)},
    "ph": {"pH": (0.0, 14.0)},
    "orp": {"mV": (-2_000.0, 2_000.0)},
    "turbidity": {"NTU": (-10.0, 10_000.0), "FNU": (-10.0, 10_000.0), "FTU": (-10.0, 10_000.0)},
    "conductivity": {"uS/cm": (-10.0, 300_000.0), "mS/cm": (-0.1, 300.0), "S/m": (-0.1, 30.0)},
    "salinity": {"PSU": (-1.0, 100.0), "ppt": (-1.0, 100.0), "g/kg": (-1.0, 100.0)},
    "humidity": {"%": (-1.0, 110.0)},
}
"""By kind of sensor and unit of measure."""


def plausible(sensor_type: str, unit: str) -> tuple[float, float]:
    """The range of a kind of sensor; all numbers for a kind or unit that is not in the table."""
    return PLAUSIBLE.get(sensor_type, {}).get(unit, (-inf, inf))
