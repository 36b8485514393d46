"""`make bench-versions ARGS="--other TREE"`: this tree beside another built one, in interleaved rounds.

Both daemons get the same brokers, publisher and payload: five fields of JSON with the device's time, 150 sensors that
all have limits. A machine's speed changes from minute to minute, so only ratios within a round are compared.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import rates
from tests.support.daemon import EXECUTABLE

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS: dict[str, Callable[..., rates.Rate]] = {
    "from a waiting session": rates.waiting_session,
    "beside the publisher": rates.beside_publisher,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_versions", description=__doc__)
    parser.add_argument("--other", type=Path, required=True, help="a checkout with its own .venv")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--readings", type=int, default=200_000)
    parser.add_argument("--kind", choices=list(KINDS), help="one kind of load alone")
    given = parser.parse_args()
    trees = {"other": given.other.resolve() / ".venv" / "bin" / "tidegate", "this": EXECUTABLE}
    for kind in [given.kind] if given.kind else KINDS:
        found: dict[str, list[rates.Rate]] = {name: [] for name in trees}
        for number in range(given.rounds):
            # Each goes first in turn.
            for name in sorted(trees, reverse=number % 2 == 0):
                one = KINDS[kind](given.readings, executable=trees[name], sent=rates.FIVE_FIELDS)
                found[name].append(one)
                print(
                    f"{kind}, round {number + 1}, {name}: {one.per_second:,.0f} readings/s, "
                    f"{one.cpu_us:.2f} µs each, {one.missing} missing, {one.repeated} repeated",
                    flush=True,
                )
        pairs = list(zip(found["this"], found["other"], strict=True))
        _say(kind, "readings/s", [this.per_second / other.per_second for this, other in pairs])
        _say(kind, "CPU a reading", [this.cpu_us / other.cpu_us for this, other in pairs])


def _say(kind: str, what: str, ratios: list[float]) -> None:
    middle = statistics.median(ratios)
    print(f"{kind}: {what}, this / other: median {middle:.3f}, {min(ratios):.3f} to {max(ratios):.3f}")


if __name__ == "__main__":
    main()
