"""Killed with -9 hundreds of times under load, in a cluster in chaos: nothing is missing and nothing came twice."""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.crash.scenario import crash
from tests.support.crash.variants import VARIANTS

if TYPE_CHECKING:
    from tests.support.crash.outcome import Outcome

_HEAD = (
    "VARIANT",
    "KILLS",
    "MINUTES",
    "READINGS",
    "RECORDS",
    "MISSING",
    "DOUBLED",
    "MARKED",
    "LOST",
    "AGAIN",
    "NAMES",
    "HELD",
)


def table(outcomes: list[Outcome]) -> str:
    """A line a variant. The audit finds MISSING, DOUBLED and MARKED; a plain consumer which of the readings that the
    MQTT broker took are LOST or there AGAIN, and how many records came again under their NAMES (`ce_id`).
    """
    rows = [
        (
            one.name,
            f"{one.kills}",
            f"{one.took_s / 60:.1f}",
            f"{one.acked:,}",
            f"{one.records:,}",
            f"{one.missing:,}",
            f"{one.duplicated:,}",
            f"{one.marked:,}",
            f"{one.lost:,}",
            f"{one.again:,}",
            f"{one.names_again:,}",
            f"{one.held_back}",
        )
        for one in outcomes
    ]
    widths = [max(map(len, column)) for column in zip(_HEAD, *rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) if at == 0 else cell.rjust(width) for at, (cell, width) in enumerate(line))
        for line in (list(zip(row, widths, strict=True)) for row in (_HEAD, *rows))
    )


def around(one: Outcome) -> str:
    """What happened to the cluster, and how soon a reader was at the end while a gateway lay dead."""
    acts = ", ".join(f"{name} {count} times" for name, count in sorted(one.acts.items()))
    reader = "no reader was looked at"
    if one.behind_s:
        reader = (
            f"a reader was at the end after {statistics.median(one.behind_s):.2f} s "
            f"(longest {max(one.behind_s):.1f} s) in {len(one.behind_s)} looks at a dead gateway"
        )
    return f"{one.name}: {acts} ({one.leaderless_s:.0f} s); {reader}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.shows.crash", description=__doc__)
    parser.add_argument("--variant", choices=[*VARIANTS, "all"], default="all")
    parser.add_argument("--kills", type=int, help="in place of each variant's own number")
    parser.add_argument("--leaderless-s", type=float, help="how long a partition has no leader")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "tidegate-crash")
    parser.add_argument("--quiet", action="store_true", help="do not tell what happens")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    # The reader's client says of every node that is away that it is away.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    outcomes = []
    for variant in VARIANTS.values() if given.variant == "all" else [VARIANTS[given.variant]]:
        chosen = replace(
            variant,
            kills=given.kills or variant.kills,
            leaderless_s=variant.leaderless_s if given.leaderless_s is None else given.leaderless_s,
        )
        outcomes.append(crash(chosen, given.seed, given.keep, loud=not given.quiet))
        print(table(outcomes[-1:]), around(outcomes[-1]), sep="\n", flush=True)
    print(table(outcomes))
    return 0 if all(one.good for one in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
