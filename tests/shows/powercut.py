"""Power cuts: on a disk that forgets what was not synced, the log and the shipper lose nothing that they promised.

Each cut is at one change of the disk, also in the middle of a commit or of a checkpoint. What it may leave is drawn
several times; each draw is opened, shipped and compared, and the next life goes on from one of them.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sync.log import SqliteLog
from tests.support.cuts import CutScenario, synchronous
from tests.support.forgetful.mount import Forgetful
from tests.support.log import settings

if TYPE_CHECKING:
    from collections.abc import Iterable

_LIVES = 20
"""Cuts in a row of one log, before a new one is begun."""
_MOST_CHANGES = 2_000
_FAT_EVERY = 4
_RANDOM = ("forgets", "tears", "tears")
_EACH = ("ends", "forgets", "tears")


@dataclass(slots=True)
class Cuts:
    """So many cuts, each with so many outcomes; what was wrong after which."""

    what: str
    cuts: int = 0
    outcomes: int = 0
    appended: int = 0
    acknowledged: int = 0
    changes: int = 0
    wrong: list[str] = field(default_factory=list)
    took_s: float = 0.0

    @property
    def good(self) -> bool:
        return not self.wrong

    def __str__(self) -> str:
        told = "".join(f"\n  {wrong}" for wrong in self.wrong[:10])
        return (
            f"{self.what}: {self.cuts} cuts, {self.outcomes} outcomes opened and shipped; "
            f"{self.acknowledged} of {self.appended} records were acknowledged, {self.changes} changes of the disk; "
            f"{len(self.wrong)} things wrong, in {self.took_s:.0f} s{told}"
        )


class CutReport:
    """Lives of logs on one mount, and what is told of their cuts."""

    def __init__(self, disks: Forgetful, shelf: Path, told: Cuts) -> None:
        self._disks = disks
        self._shelf = shelf
        self._told = told

    async def live(
        self, place: str, scenario: CutScenario, image: Path | None, changes: int, outcomes: Iterable[str]
    ) -> list[Path]:
        """A life that ends after so many changes of its disk; what it may leave, each opened once and checked."""
        folder = self._disks.disk(place, image)
        self._disks.order("freeze", name=place, after=changes)
        log = SqliteLog(settings(folder, log_stall_s=30.0, max_bytes=4 * 1024**2))
        await scenario.live(log, lambda: not self._disks.order("state", name=place)["frozen"])
        images = []
        for number, outcome in enumerate(outcomes):
            left = self._shelf / f"{place}-{number}"
            left.mkdir()
            seed = scenario.draws.getrandbits(32)
            self._disks.order("image", name=place, outcome=outcome, seed=seed, folder=str(left))
            images.append(left)
            opened = left.with_name(left.name + "-opened")
            shutil.copytree(left, opened)
            self._told.wrong += [f"{place}, {outcome}: {what}" for what in await scenario.arrive(opened)]
            self._told.outcomes += 1
            shutil.rmtree(opened)
        self._told.cuts += 1
        self._told.changes += self._disks.order("state", name=place)["changes"]
        self._disks.order("remove", name=place)
        if image is not None:
            shutil.rmtree(image, ignore_errors=True)
        return images

    def landed(self, scenario: CutScenario) -> None:
        """A log's last life is over."""
        self._told.appended += scenario.appended
        self._told.acknowledged += len(scenario.acknowledged)


async def cuts(count: int, seed: int, *, how: str = "FULL", until_wrong: bool = False) -> Cuts:
    """Cut the power so often at random; with `until_wrong` stop at the first thing that is."""
    begun = time.monotonic()
    told = Cuts(f"power cuts at random, synchronous={how}")
    chain = 0
    with Forgetful() as disks, synchronous(how), tempfile.TemporaryDirectory(dir="/dev/shm") as shelf:
        report = CutReport(disks, Path(shelf), told)
        while told.cuts < count and not (until_wrong and told.wrong):
            draws = random.Random(f"{seed}/{chain}")
            scenario = CutScenario(draws, fat=chain % _FAT_EVERY == _FAT_EVERY - 1)
            image: Path | None = None
            for life in range(min(_LIVES, count - told.cuts)):
                changes = int(_MOST_CHANGES ** draws.random() * (4 if scenario.fat else 1))
                place = f"seed {seed} log {chain} life {life}"
                images = await report.live(place, scenario, image, changes, _RANDOM)
                if told.wrong:
                    break
                image = draws.choice(images)
            report.landed(scenario)
            chain += 1
    told.took_s = time.monotonic() - begun
    return told


async def each_change(until: int, seed: int, *, every: int = 1) -> Cuts:
    """End a process and cut the power at each of the first changes of a log's life, its making included."""
    begun = time.monotonic()
    told = Cuts(f"kill and power cut at each change up to {until}" + (f", every {every}." if every > 1 else ""))
    with Forgetful() as disks, tempfile.TemporaryDirectory(dir="/dev/shm") as shelf:
        report = CutReport(disks, Path(shelf), told)
        for changes in range(1 + seed % every, until + 1, every):
            scenario = CutScenario(random.Random(seed))
            images = await report.live(f"seed {seed} change {changes}", scenario, None, changes, _EACH)
            for image in images:
                shutil.rmtree(image)
            report.landed(scenario)
    told.took_s = time.monotonic() - begun
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=500)
    parser.add_argument("--changes", type=int, default=300)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    if not Forgetful.possible():
        print("needs root and FUSE 3")
        return 1
    told = [asyncio.run(cuts(given.cuts, given.seed)), asyncio.run(each_change(given.changes, given.seed))]
    print(*told, sep="\n")
    control = asyncio.run(cuts(given.cuts, given.seed, how="NORMAL", until_wrong=True))
    print(f"control, which must lose: {control}")
    return 0 if all(one.good for one in told) and not control.good else 1


if __name__ == "__main__":
    sys.exit(main())
