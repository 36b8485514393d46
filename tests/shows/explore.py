"""The shipper's decisions through every order of events, deeper than the suite goes; prints worlds and verdicts.

Each scope is visited whole, or up to `--most` worlds: then nothing is said of the rest.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.support.exploration.scopes import DEEP
from tests.support.exploration.search import explore


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.shows.explore", description=__doc__)
    parser.add_argument("--most", type=int, default=6_000_000, help="worlds a scope; a million takes some 400 MB")
    parser.add_argument("--only", choices=sorted(DEEP), help="one scope")
    given = parser.parse_args()
    wrong = worlds = 0
    for name, scope in DEEP.items():
        if given.only not in {None, name}:
            continue
        began = time.monotonic()
        finding = explore(scope, most=given.most)
        worlds += finding.worlds
        wrong += finding.wrong is not None
        extent = "all of them" if finding.whole else "not all of them"
        print(
            f"{name}: {finding.worlds:,} worlds, {extent}, {finding.marked:,} with a record that is marked,"
            f" {time.monotonic() - began:.0f} s: {finding.wrong or 'nothing wrong'}",
            flush=True,
        )
        if finding.wrong is not None:
            print(finding)
    print(f"{worlds:,} worlds, {wrong} scopes with something wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
