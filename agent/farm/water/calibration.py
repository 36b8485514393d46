"""Calibration of a probe: from the raw value to the calibrated one, and whether it still counts.

U1  The raw value of a calibrated probe stays as it came. The calibrated value is beside it, with the calibration's
    date, and is what limits and derived quantities use.
U2  A calibration that is past its date goes on being used, and every value says that it is overdue.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

_MOST_COEFFICIENTS: Final = 6


@dataclass(frozen=True, slots=True)
class Calibration:
    """One calibration of one probe: `calibrated = c0 + c1 raw + c2 raw² + …`.

    `on` is its date, `valid_days` for how long it counts, `by` who did it.
    """

    sensor_id: str
    coefficients: tuple[float, ...]
    on: date
    by: str
    valid_days: int | None = None

    def apply(self, raw: float) -> float:
        """The calibrated value, in the sensor's unit."""
        found = 0.0
        for coefficient in reversed(self.coefficients):
            found = found * raw + coefficient
        return found

    def overdue(self, now: datetime) -> bool:
        """Whether a new calibration is due."""
        return self.valid_days is not None and now.date() > self.on + timedelta(days=self.valid_days)


def two_point(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    """Coefficients of the line through two points, each the raw value and the true one.

    Raises:
        ValueError: the two raw values are the same, or the line falls: the points are mixed up.
    """
    (raw_1, true_1), (raw_2, true_2) = first, second
    if raw_1 == raw_2:
        raise ValueError("both points have the same raw value")
    slope = (true_2 - true_1) / (raw_2 - raw_1)
    if slope <= 0:
        raise ValueError("the true value falls while the raw value rises: are two values swapped?")
    return true_1 - slope * raw_1, slope


def coefficients_of(
    points: tuple[tuple[float, float], ...] | None, coefficients: tuple[float, ...] | None
) -> tuple[float, ...]:
    """Coefficients as they were given, or those of two points.

    Raises:
        ValueError: neither or both are given, or they make no calibration.
    """
    if (points is None) == (coefficients is None):
        raise ValueError("give either two points or coefficients")
    if points is not None:
        if len(points) != 2:
            raise ValueError(f"a two-point calibration has 2 points, not {len(points)}")
        return two_point(*points)
    found = coefficients or ()
    if not 2 <= len(found) <= _MOST_COEFFICIENTS or not any(found[1:]):
        raise ValueError(f"a polynomial has 2 to {_MOST_COEFFICIENTS} coefficients, and depends on the raw value")
    return found


def newest(calibrations: list[Calibration]) -> dict[str, Calibration]:
    """The calibration of each probe that counts: the one with the latest date, of equals the last in the list."""
    found: dict[str, Calibration] = {}
    for one in calibrations:
        known = found.get(one.sensor_id)
        if known is None or one.on >= known.on:
            found[one.sensor_id] = one
    return found
