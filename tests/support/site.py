"""A farm's readings for as long as wanted: 150 sensors, 200 a second, made of real water by a seed.

A sensor follows a column of the river's or the tank's data in real time, from a row of its own on; its last digit is
noisy, and its device's clock is off by up to 50 ms. The same seed gives the same readings, and any part of them can
be made without the parts before it.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from agent.events import Encoder
from drivers import Reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sync.values import Envelope

DATA: Final = Path(__file__).parents[1] / "data"
SENSORS: Final = 150
PER_SECOND: Final = 200
PART: Final = 8_000
"""Readings made at a time: 40 seconds."""
_BEGAN: Final = datetime(2026, 11, 1, tzinfo=UTC)
_OFF_MS: Final = 50


@dataclass(frozen=True)
class _Column:
    """One column: seconds between its rows, its unit, and how many decimals its last digit is at."""

    kind: str
    unit: str
    decimals: int
    every_s: int
    values: Any


def _column(place: tuple[str, str], kind: str, unit: str, decimals: int, every_s: int) -> _Column:
    file, name = place
    rows = csv.DictReader((DATA / file).read_text().splitlines())
    return _Column(kind, unit, decimals, every_s, np.array([float(row[name]) for row in rows]))


_TANK, _RIVER = "aquarium/kumwq_30cm.csv", "river/BlackSmithFork2015.csv"
_COLUMNS: Final = (
    _column((_TANK, "Temperature"), "temperature", "degC", 2, 60),
    _column((_TANK, "pH"), "ph", "pH", 2, 60),
    _column((_RIVER, "do"), "dissolved_oxygen", "mg/L", 2, 900),
    _column((_RIVER, "cond"), "conductivity", "uS/cm", 1, 900),
    _column((_RIVER, "turb"), "turbidity", "NTU", 2, 900),
)


class Site:
    """`noise` is the standard deviation of each value, in units of its last digit.

    If it is None, values have up to 17 digits instead, as a conversion of units leaves them.
    """

    def __init__(self, noise: float | None = 1.0, seed: int = 1) -> None:
        self._noise = noise
        self._seed = seed
        self._encoder = Encoder("barge-1", "site_001")
        self._sensors = [
            (_COLUMNS[number % len(_COLUMNS)], f"tank_{number // len(_COLUMNS):03d}") for number in range(SENSORS)
        ]

    def envelopes(self, part: int) -> list[Envelope]:
        """The readings of a part, as the daemon encodes them."""
        return self._encoder.readings(self.readings(part))

    def readings(self, part: int) -> Iterator[Reading]:
        """The same, as a driver emits them."""
        values, times = self.numbers(part)
        for index, (value, at_ms) in enumerate(zip(values, times, strict=True), part * PART):
            column, tank = self._sensors[index % SENSORS]
            yield Reading(
                f"{tank}_{column.kind}",
                column.kind,
                value,
                column.unit,
                tank,
                "site_001",
                _BEGAN + timedelta(milliseconds=at_ms),
                at_device=True,
                received_ns=0,
            )

    def numbers(self, part: int) -> tuple[list[float], list[int]]:
        """Values, and milliseconds since the beginning, of a part's readings."""
        random = np.random.default_rng((self._seed, part))
        index = np.arange(part * PART, (part + 1) * PART)
        at_ms = index * 1_000 // PER_SECOND
        values = np.empty(PART)
        sensors = index % SENSORS
        wobble = random.normal(0.0, 1.0 if self._noise is None else self._noise, PART)
        for number, (column, _) in enumerate(self._sensors):
            mine = sensors == number
            rows = len(column.values)
            row = at_ms[mine] / 1_000 / column.every_s + 37 * number
            level = np.interp(row % (rows - 1), np.arange(rows), column.values)
            noisy = np.round(level + wobble[mine] * 10.0**-column.decimals, column.decimals)
            values[mine] = noisy if self._noise is not None else (noisy * 1.8 + 32) / 1.8 - 31.7
        off_ms = random.integers(-_OFF_MS, _OFF_MS + 1, PART)
        return values.tolist(), (at_ms + off_ms).tolist()
