"""A log with ten million records pending, beside one with a thousand: what appends, leases and settles cost.

    python -m tests.bench.bench_backlog [blocks]

All figures are ratios within one run, on one disk: each step is timed in turns on both logs, so that what else the
machine does falls on both. Blocks hold 40 records, as 200 readings/s and commits of 200 ms make them.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from agent.events import Encoder, Minutes
from drivers import Reading
from sync.log import LogSettings, blocks, leases
from sync.log.engine import Engine
from sync.log.file import LogFile
from sync.log.work import Append, Request, Work
from sync.values import Claim, Envelope, Lane, Producer, Stream
from tests.support.days import MovedClock

RECORDS = 40
ROUNDS = 300
LIVE = Stream(Lane.LIVE, "sensor-data", 0)


class Subject:
    """One log, filled, with the time that each kind of commit took."""

    def __init__(self, folder: Path, name: str, count: int) -> None:
        self.clock = MovedClock()
        given = LogSettings(folder / f"{name}.sqlite", "bench", "site", max_bytes=1 << 40, fold=Minutes())
        self.file = LogFile(given, self.clock)
        self.book = self.file.open()
        self.engine = Engine(given.max_bytes, given.fold)
        self.engine.opened(self.book)
        self.taken: dict[str, list[float]] = {}
        self.sequence = 0
        self._fill(count)

    def _fill(self, count: int) -> None:
        self.book.begin()
        self.book.assign_partition("sensor-data", 1)
        state = self.book.stream(Lane.LIVE, "sensor-data")
        made: list[blocks.Block] = []
        for number in range(count):
            if number % 300 == 0:
                # Every minute has readings of its own; within it their bytes repeat.
                made = blocks.encode(readings(self.clock.at), self.book.next_number, self.book.namer, 3)
            self.clock.at += timedelta(milliseconds=200)
            self.book.add(state, replace(made[0], first=self.book.next_number), self.clock.wall_ms())
            if number % 2_000 == 1_999:
                self.book.commit()
                self.file.checkpoint()
                self.book.begin()
        self.book.commit()
        self.file.checkpoint()

    def turn(self, kind: str, work: Work) -> object:
        """One commit, timed, with what the writer does after it."""
        self.clock.at += timedelta(milliseconds=200)
        began = time.perf_counter()
        answers = self.engine.transact(self.book, work)
        self.taken.setdefault(kind, []).append(time.perf_counter() - began)
        self.file.committed()
        self.engine.between(self.book)
        return answers[0].value if answers else None

    def append(self, kind: str = "append") -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.turn(kind, Work([Append(readings(self.clock.at), done, 0.0)]))

    def lease_and_settle(self) -> None:
        claim = Claim(LIVE, Producer(1, 0), self.sequence)
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        batch = self.turn("lease", Work([], [Request(lambda book: leases.lease(book, claim, 1), done)]))
        self.sequence += RECORDS
        self.turn("settle", Work([], [Request(lambda book: leases.settle(book, batch, 0))]))  # type: ignore[arg-type]


def readings(at: datetime) -> list[Envelope]:
    encoder = Encoder("bench", "site")
    return [
        encoder.readings(
            [Reading(f"temp_{index:03}", "temperature", 12 + index / 7, "degC", "tank", "site", at, False, 0)]
        )[0]
        for index in range(RECORDS)
    ]


async def main(count: int) -> None:
    with tempfile.TemporaryDirectory(dir=".") as folder:
        began = time.perf_counter()
        deep, shallow = Subject(Path(folder), "deep", count), Subject(Path(folder), "shallow", 1_000 // RECORDS)
        print(f"filled {count * RECORDS:,} records in {time.perf_counter() - began:.0f} s")
        for _ in range(ROUNDS):
            for subject in (deep, shallow):
                subject.append()
                subject.lease_and_settle()
        for kind in ("append", "lease", "settle"):
            median = statistics.median(deep.taken[kind]) / statistics.median(shallow.taken[kind])
            print(f"{kind}: {median:.2f} times a thousand's (median, most 1.5)")
        for kind, bound in (("thinned", 0.5), ("evicted", 0.5)):
            if kind == "evicted":
                deep.engine.thinner._fold = None
            used = deep.engine.figures.stats.bytes_used
            deep.engine.max_bytes = int(used * bound) if kind == "evicted" else int(used / 0.95)
            for _ in range(ROUNDS):
                deep.append(kind)
                shallow.append("idle")
            print(
                f"commits while {kind}: p99 {p99(deep.taken[kind]) / p99(shallow.taken['idle']):.2f} times idle's"
                f" (most 3); {deep.engine.figures.stats.lost}; WAL {deep.file.wal_bytes / 1024**2:.1f} MiB (most 64)"
            )
        deep.file.close(clean=False)
        began = time.perf_counter()
        deep.file.open()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"most resident memory {memory:.0f} MiB")
        print(f"opened after a crash in {time.perf_counter() - began:.3f} s")
        deep.file.close(clean=True)
        shallow.file.close(clean=True)


def p99(taken: list[float]) -> float:
    return statistics.quantiles(taken, n=100)[98]


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 250_000))
