"""zstd levels against CPU and bytes, on what the hub makes of real readings of a fish tank.

python -m tests.bench.bench_compression
"""

from __future__ import annotations

import csv
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from agent.events import Encoder
from drivers import Reading
from sync.log.disk import blocks
from sync.log.disk.blocks import Namer
from tests.demo.aquarium import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sync.values import Envelope

LEVELS = (1, 3, 5, 7, 9, 12, 15, 19)
SIZES = {"200 ms at 200/s": 40, "1 s at 200/s": 200, "a full block": 4_000}
_UNITS = {"Temperature": ("temperature", "degC"), "pH": ("ph", "pH"), "Turbidity": ("turbidity", "NTU")}
_TANKS = 66
"""Three sensors each: about 200 a second, where each says one value a second."""
_SPENT_S = 0.4


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one level and block size."""

    bytes_per_record: float
    us_per_record: float


def readings() -> Iterator[Envelope]:
    """The tank's minutes as seconds of a whole site: each tank is a minute further on in the same data."""
    rows = list(csv.DictReader((FOLDER / "kumwq_30cm.csv").read_text().splitlines()))
    encoder, at = Encoder("barge-1", "site_001"), datetime(2026, 11, 24, 9, tzinfo=UTC)
    second = 0
    while True:
        for tank in range(_TANKS):
            row, name = rows[(second + tank) % len(rows)], f"tank_{tank:03d}"
            # As messages come: those that one read of the socket brings share a time of receipt.
            received = at + timedelta(seconds=second, milliseconds=15 * tank)
            for column, (kind, unit) in _UNITS.items():
                value = Reading(
                    f"{name}_{kind}",
                    kind,
                    float(row[column]),
                    unit,
                    name,
                    "site_001",
                    received,
                    at_device=False,
                    received_ns=0,
                )
                yield from encoder.readings([value])
        second += 1


def measure() -> dict[tuple[str, int], Cost]:
    """Every level on every size; CPU of compression alone."""
    found = {}
    namer = Namer("barge-1", "0123456789ab")
    for label, size in SIZES.items():
        source, sections = readings(), []
        for first in range(1, 20_000, size):
            (block,) = blocks.encode(list(islice(source, size)), first, namer, 1, max_bytes=1 << 24)
            sections.append(blocks.decompress(block.body))
        for level in LEVELS:
            total = sum(len(blocks.compress(section, level)) for section in sections)
            began_s, done = time.process_time(), 0
            while time.process_time() - began_s < _SPENT_S:
                blocks.compress(sections[done % len(sections)], level)
                done += 1
            spent_s = time.process_time() - began_s
            records = len(sections) * size
            found[label, level] = Cost(total / records, spent_s / done / size * 1e6)
        found[label, 0] = Cost(sum(map(len, sections)) / (len(sections) * size), 0.0)
    return found


def main() -> None:
    costs = measure()
    print("| zstd level | " + " | ".join(f"{label}: bytes | µs a record" for label in SIZES) + " |")
    print("|---|" + "---:|" * 2 * len(SIZES))
    for level in (0, *LEVELS):
        cells = [
            f"{costs[label, level].bytes_per_record:.1f} | {costs[label, level].us_per_record:.2f}" for label in SIZES
        ]
        print(f"| {level or 'none'} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
