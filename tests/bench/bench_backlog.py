"""A log with ten million records pending, beside one with a thousand: what appends, leases and settles cost.

    python -m tests.bench.bench_backlog [blocks]

All times are ratios within one run, on one disk: what is compared takes turns, so that what else the machine does
falls on both. Blocks hold 40 records, as 200 readings/s and commits of 200 ms make them. Other processes fill the
logs and say what an idle one takes of memory, so that neither counts here.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from agent.events import Encoder, Minutes
from drivers import Reading
from sync.log import LogSettings
from sync.log.commit.engine import Engine
from sync.log.commit.file import LogFile
from sync.log.commit.work import Append, Request, Work
from sync.log.disk import blocks
from sync.log.leasing import leases
from sync.values import Claim, Envelope, Lane, Producer, Stream
from tests.support.days import MovedClock

if TYPE_CHECKING:
    from collections.abc import Callable

TIDEGATE = str(Path(sys.executable).with_name("tidegate"))
RECORDS = 40
ROUNDS = 1_000
TURN = 50
"""Commits in a row of what is compared."""
PIPE_BYTES = 64 * 1024
"""Taken from an export at each commit: less than it could give."""
UNBOUNDED = 1 << 40
MIB = 1024**2
LIVE = Stream(Lane.LIVE, "sensor-data", 0)


class Subject:
    """An open log, with the time that each kind of commit took, and the largest WAL that was seen."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = MovedClock()
        given = LogSettings(path, "bench", "site", max_bytes=UNBOUNDED, fold=Minutes())
        self.file = LogFile(given, self.clock)
        self.engine = Engine(given.max_bytes, given.fold)
        self.taken: dict[str, list[float]] = {}
        self.sequence = 0
        self.wal_bytes = 0
        self.open()

    def open(self) -> None:
        self.book = self.file.open()
        self.engine.opened(self.book)

    def fill(self, count: int) -> None:
        self.book.begin()
        self.book.assign_partition("sensor-data", 1)
        state = self.book.stream(Lane.LIVE, "sensor-data")
        made: list[blocks.Block] = []
        for number in range(count):
            if number % 300 == 0:
                # Every minute has readings of its own; within it their bytes repeat.
                made = blocks.encode(readings(self.clock.at), self.book.next_number, self.book.namer, 3)
            self.clock.at += timedelta(milliseconds=200)
            self.book.add(
                state,
                replace(made[0], first=self.book.next_number),
                self.book.timeline.now._replace(at_ms=self.clock.wall_ms()),
            )
            if number % 2_000 == 1_999:
                self.book.commit()
                self.file.checkpoint()
                self.book.begin()
        self.book.commit()
        self.file.close(clean=True)

    def turn(self, kind: str, work: Work) -> object:
        """One commit, timed, with what the writer does after it."""
        self.clock.at += timedelta(milliseconds=200)
        began = time.perf_counter()
        answers = self.engine.transact(self.book, work)
        self.taken.setdefault(kind, []).append(time.perf_counter() - began)
        self.file.committed()
        self.wal_bytes = max(self.wal_bytes, self.file.wal_bytes)
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


class Slow:
    """A real `tidegate log export` that is read slowly, in turns."""

    def __init__(self, path: Path) -> None:
        command = [TIDEGATE, "log", "--state-dir", str(path.parent), "export"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.bytes = 0

    def read(self) -> None:
        if self._process.stdout is None or self._process.poll() is not None:
            raise RuntimeError("the export ended while it was to be read")
        self.bytes += len(os.read(self._process.stdout.fileno(), PIPE_BYTES))

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


class Account:
    """Figures with their targets."""

    def __init__(self) -> None:
        self.holds = True

    def line(self, what: str, figure: float, most: float, unit: str) -> None:
        self.holds &= figure <= most
        print(f"{what:<44} {figure:8.2f} {unit:<16} most {most:g}: {'holds' if figure <= most else 'DOES NOT HOLD'}")


def in_turns(subject: Subject, kind: str, busy: Callable[[], None], idle: Callable[[], None]) -> float:
    """The p99 of appends while something goes on, by that of appends of the same log while it does not."""
    for _ in range(ROUNDS // TURN):
        for name, before in ((kind, busy), (f"no {kind}", idle)):
            for _ in range(TURN):
                before()
                subject.append(name)
    return p99(subject.taken[kind]) / p99(subject.taken[f"no {kind}"])


async def measure(folder: Path, idle_kib: int) -> bool:
    account = Account()
    deep, shallow = Subject(folder / "deep" / "log.sqlite"), Subject(folder / "shallow" / "log.sqlite")
    for _ in range(ROUNDS):
        for subject in (deep, shallow):
            subject.append()
            subject.lease_and_settle()
    for kind in ("append", "lease", "settle"):
        median = statistics.median(deep.taken[kind]) / statistics.median(shallow.taken[kind])
        account.line(f"{kind}, median", median, 1.5, "times a thousand's")
    slow = Slow(deep.path)
    ratio = in_turns(deep, "export", slow.read, lambda: None)
    slow.end()
    account.line("append while an export is read, p99", ratio, 3, "times idle's")
    print(f"  ({slow.bytes / MIB:.0f} MiB of lines were read meanwhile)")
    for kind, bound in (("thinned", 1 / 0.95), ("evicted", 0.5)):
        if kind == "evicted":
            deep.engine.thinner._fold = None
        most = int(deep.engine.figures.stats.bytes_used * bound)
        before = deep.engine.figures.stats.lost.get(kind, 0)
        ratio = in_turns(deep, kind, lambda most=most: bounded(deep, most), lambda: bounded(deep, UNBOUNDED))  # type: ignore[misc]
        account.line(f"append while records are {kind}, p99", ratio, 3, "times idle's")
        print(f"  ({deep.engine.figures.stats.lost.get(kind, 0) - before:,} records were {kind} meanwhile)")
    account.line("WAL at its largest", deep.wal_bytes / MIB, 64, "MiB")
    account.line("resident memory at its most, beyond idle", (resident_kib() - idle_kib) / 1024, 20, "MiB")
    deep.file.close(clean=False)
    began = time.perf_counter()
    deep.open()
    took = time.perf_counter() - began
    deep.file.close(clean=False)
    shallow.file.close(clean=False)
    began = time.perf_counter()
    shallow.open()
    print(f"opened after a crash in {took:.3f} s, a thousand in {time.perf_counter() - began:.3f} s")
    return account.holds


def bounded(subject: Subject, most: int) -> None:
    subject.engine.max_bytes = most


def resident_kib() -> int:
    """The most that this process ever had resident."""
    with Path("/proc/self/status").open() as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))


def p99(taken: list[float]) -> float:
    return statistics.quantiles(taken, n=100)[98]


async def idle(folder: Path) -> int:
    """A log with a thousand records, open, that has taken a few more."""
    subject = Subject(folder / "shallow" / "log.sqlite")
    for _ in range(TURN):
        subject.append()
        subject.lease_and_settle()
    subject.file.close(clean=True)
    return resident_kib()


def elsewhere(*words: str) -> str:
    command = [sys.executable, "-m", "tests.bench.bench_backlog", *words]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout


def main(count: int) -> int:
    with tempfile.TemporaryDirectory(dir=".") as named:
        folder = Path(named).absolute()
        began = time.perf_counter()
        for name, records in (("deep", count), ("shallow", 1_000 // RECORDS)):
            (folder / name).mkdir()
            elsewhere("fill", str(folder / name / "log.sqlite"), str(records))
        print(f"filled {count * RECORDS:,} records in {time.perf_counter() - began:.0f} s")
        kib = int(elsewhere("idle", str(folder)))
        return 0 if asyncio.run(measure(folder, kib)) else 1


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["fill", file, records]:
            Subject(Path(file)).fill(int(records))
        case ["idle", folder]:
            print(asyncio.run(idle(Path(folder))))
        case [records]:
            sys.exit(main(int(records)))
        case _:
            sys.exit(main(250_000))
