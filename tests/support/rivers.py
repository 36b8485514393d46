"""Labelled water data of the Logan River, Utah: four months to a year of 15-minute readings at each of six sites.

`x` is as the sensor gave it, `x_cor` as a technician corrected it, `x_qual` labels an anomaly. The small form beside
the tests has three sites; the whole of it is that of AmberSJones/PyHydroQC (see tests/data/rivers/README.md).
"""

from __future__ import annotations

import csv
import lzma
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parents[1] / "data" / "rivers"
VARIABLES = ("temp", "cond", "ph", "do", "turb", "stage")
SENTINEL = -9999.0


@dataclass(frozen=True, slots=True)
class Series:
    """One variable at one site and in one file: times in s, raw values, and which are labelled.

    `sentinels` are the rows left out for being no value, and how many of those are labelled.
    """

    site: str
    variable: str
    at_s: list[float]
    values: list[float]
    labels: list[bool]
    sentinels: tuple[int, int]


def rivers(folder: Path = FOLDER) -> list[Series]:
    """All series of a folder of CSV files, plain or xz. What nobody has reviewed is left out."""
    found = []
    for file in sorted([*folder.glob("*.csv"), *folder.glob("*.csv.xz")]):
        text = lzma.decompress(file.read_bytes()) if file.suffix == ".xz" else file.read_bytes()
        rows = list(csv.DictReader(text.decode().splitlines()))
        site = file.name.partition(".")[0].rstrip("0123456789")
        found += [_series(site, variable, rows) for variable in VARIABLES]
    return found


def _series(site: str, variable: str, rows: list[dict[str, str]]) -> Series:
    at_s, values, labels = [], [], []
    sentinels = labelled = 0
    for at, value, label in _reviewed(variable, rows):
        if value == SENTINEL:
            sentinels += 1
            labelled += label
            continue
        at_s.append(at)
        values.append(value)
        labels.append(label)
    return Series(site, variable, at_s, values, labels, (sentinels, labelled))


def _reviewed(variable: str, rows: list[dict[str, str]]) -> Iterator[tuple[float, float, bool]]:
    for row in rows:
        if row[f"{variable}_cor"] == "NULL" or row[variable] == "NULL":
            continue
        at = datetime.fromisoformat(row["datetime"]).replace(tzinfo=UTC).timestamp()
        yield at, float(row[variable]), row[f"{variable}_qual"] != "NULL"
