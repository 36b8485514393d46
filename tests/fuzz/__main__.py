"""`make fuzz`: a million mutated messages for each codec, or so many and for those that are named."""

from __future__ import annotations

import argparse
import resource
import time

from drivers.mqtt.codecs.registry import FAMILIES
from tests.fuzz.mutations import attack

_AT_ONCE = 10_000


def main() -> None:
    """Prints a line a codec; the seed of what failed is in the error."""
    parser = argparse.ArgumentParser(prog="make fuzz ARGS=")
    parser.add_argument("codec", nargs="*", default=sorted(FAMILIES))
    parser.add_argument("--inputs", type=int, default=1_000_000, help="for each codec")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    for name in asked.codec:
        begun, read = time.monotonic(), 0
        for number, first in enumerate(range(0, asked.inputs, _AT_ONCE)):
            seed = asked.seed + number
            try:
                read += attack(name, seed, min(_AT_ONCE, asked.inputs - first))
            except Exception as error:
                error.add_note(f"codec {name}, --seed {seed}")
                raise
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        took_s = time.monotonic() - begun
        print(
            f"{name:15} {asked.inputs:,} inputs, {read:,} read, {took_s / asked.inputs * 1e6:.0f} us each, "
            f"largest memory of the process so far {peak_mib} MiB",
            flush=True,
        )


if __name__ == "__main__":
    main()
