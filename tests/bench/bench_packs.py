"""What a reading takes of the disk in an outage, as blocks and packed, and how fast packs are sent afterwards.

    python -m tests.bench.bench_packs [--readings N] [--noise N …] [--keep]

The log's own writer, file and commits, with an fsync each, 40 readings and a receipt in each, as 200 readings/s and
commits of 200 ms make them; only its clock goes faster than it would. The readings are those of
`tests/support/site.py`: 150 sensors, the last digit noisy, times off by up to 50 ms. Everything is counted: the log's
file and its WAL. Written is what the kernel counts as sent to the device.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.events import NUMBERS
from sync.log import LogSettings
from sync.log.commit.engine import Engine
from sync.log.commit.file import LogFile
from sync.log.commit.work import Append, Request, Work
from sync.log.disk import blocks
from sync.log.leasing import leases
from sync.log.retention.packing import Packing
from sync.values import Claim, Lane, Producer, Stream
from tests.support.log import SetClock
from tests.support.site import PART, PER_SECOND, Site

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMIT = 40
NOISES: tuple[float | None, ...] = (0.0, 1.0, 3.0, 10.0, None)
LIVE = Stream(Lane.LIVE, "sensor-data", 0)
_RECEIPT_BYTES = 8 + 4 * COMMIT
"""As the MQTT driver gives for so many messages: a digest each."""
_RECEIPT_BYTES = 8 + 4 * COMMIT
"""As the MQTT driver gives for so many messages: a digest each."""
_LOOK_EVERY = 25
"""Commits between two looks for what can be packed: five seconds of the log's clock."""


@dataclass(frozen=True, slots=True)
class Found:
    """Of one log: bytes are of a reading. `same` says that the drain brought every body that went in, in order."""

    readings: int
    kept: float
    written: float
    body: float
    packed: int
    commit_us: float
    longest_ms: float
    drained_per_second: float
    drain_cpu_us: float
    same: bool


class Outage:
    """A log in an outage. With `after_s` unset nothing is packed."""

    def __init__(self, folder: Path, after_s: float | None) -> None:
        self.path = folder / "log.sqlite"
        self.clock = SetClock()
        given = LogSettings(self.path, "barge-1", "site_001", max_bytes=1 << 40)
        self.file = LogFile(given, self.clock)
        self.book = self.file.open()
        self.packing = Packing(NUMBERS, after_s, threads=False)
        self.engine = Engine(given.max_bytes, None, self.packing)
        self.engine.opened(self.book)
        self.loop = asyncio.new_event_loop()
        self.came = blake2b()
        self.body_bytes = 0
        self.commits = 0
        self.random = random.Random(1)
        self.spent_s = self.longest_s = 0.0
        self.do(lambda book: book.assign_partition(LIVE.topic, 1))

    def do(self, act: Any = None, append: Append | None = None) -> Any:
        """One commit, and what follows it."""
        work, done = Work(), self.loop.create_future()
        if append is not None:
            work.appends.append(append)
        if act is not None:
            work.requests.append(Request(act, done))
        began_s = time.perf_counter()
        answers = self.engine.transact(self.book, work)
        self.file.committed()
        took_s = time.perf_counter() - began_s
        self.spent_s, self.longest_s = self.spent_s + took_s, max(self.longest_s, took_s)
        return next((answer.value for answer in answers if answer.done is done), None)

    def take(self, site: Site, part: int) -> None:
        """A part of a site's readings comes in."""
        envelopes = site.envelopes(part)
        for begun in range(0, PART, COMMIT):
            records = envelopes[begun : begun + COMMIT]
            for record in records:
                self.came.update(record.value)
                self.body_bytes += len(record.value)
            self.clock.ahead_ms += COMMIT * 1_000 // PER_SECOND
            receipt = ("barge", self.random.randbytes(_RECEIPT_BYTES))
            self.do(None, Append(records, self.loop.create_future(), 0.0, [receipt]))
            self.commits += 1
            if self.commits % _LOOK_EVERY == 0:
                self.engine.between(self.book)

    def kept_bytes(self) -> int:
        """The file and its WAL."""
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def drain(self) -> Iterator[Any]:
        """All batches, as a shipper on a fast link takes them."""
        sequence = 0
        while True:
            claim = Claim(LIVE, Producer(1, 0), sequence, -1)
            batch = self.do(lambda book, claim=claim: leases.lease(book, claim, 1 << 20))
            if batch is None:
                return
            yield batch
            sequence += batch.count
            self.do(lambda book, batch=batch: leases.settle(book, batch, 5))


def written() -> int:
    """Bytes that this thread has had written to storage so far."""
    lines = Path("/proc/thread-self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


def outage(readings: int, noise: float | None, after_s: float | None) -> Found:
    """Fill a log and drain it."""
    with tempfile.TemporaryDirectory(prefix="packs-", dir=Path.cwd()) as folder:
        log, site = Outage(Path(folder), after_s), Site(noise)
        before = written()
        for part in range(-(-readings // PART)):
            log.take(site, part)
        taken = log.commits * COMMIT
        kept, wrote = log.kept_bytes(), written() - before
        commit_us, longest_ms = log.spent_s / log.commits * 1e6, log.longest_s * 1e3
        left, drained_s, cpu_s, drained = blake2b(), 0.0, 0.0, 0
        began_s, began_cpu_s = time.perf_counter(), time.thread_time()
        for batch in log.drain():
            drained_s += time.perf_counter() - began_s
            cpu_s += time.thread_time() - began_cpu_s
            for record in blocks.decode(batch.body, batch.count):
                left.update(record.value or b"")
            drained += batch.count
            began_s, began_cpu_s = time.perf_counter(), time.thread_time()
        same = drained == taken and left.digest() == log.came.digest()
        packed = log.packing.packed
        log.file.close(clean=True)
    return Found(
        taken,
        kept / taken,
        wrote / taken,
        log.body_bytes / taken,
        packed,
        commit_us,
        longest_ms,
        drained / drained_s,
        cpu_s / drained * 1e6,
        same,
    )


def plain_table(readings: int, noise: float | None) -> tuple[float, float]:
    """Bytes a reading of two plain SQLite tables with a commit for 40: body and key as text; and numbers alone."""
    found = []
    for make in (_texts, _numbers):
        with tempfile.TemporaryDirectory(prefix="packs-", dir=Path.cwd()) as folder:
            path = Path(folder) / "plain.sqlite"
            connection = sqlite3.connect(path, isolation_level=None)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=OFF")  # the same file, sooner
            count = make(connection, Site(noise), readings)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.close()
            found.append(path.stat().st_size / count)
    return found[0], found[1]


def _texts(connection: sqlite3.Connection, site: Site, readings: int) -> int:
    connection.execute("CREATE TABLE readings(id INTEGER PRIMARY KEY, key TEXT, body TEXT)")
    count = 0
    for part in range(-(-readings // PART)):
        rows = [(record.key.decode(), record.value.decode()) for record in site.envelopes(part)]
        for begun in range(0, PART, COMMIT):
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO readings(key, body) VALUES(?,?)", rows[begun : begun + COMMIT])
            connection.execute("COMMIT")
        count += PART
    return count


def _numbers(connection: sqlite3.Connection, site: Site, readings: int) -> int:
    connection.execute("CREATE TABLE readings(id INTEGER PRIMARY KEY, sensor INTEGER, at_ms INTEGER, value REAL)")
    count = 0
    for part in range(-(-readings // PART)):
        rows = [
            (hash(reading.sensor_id) % 150, int(reading.at.timestamp() * 1_000), reading.value)
            for reading in site.readings(part)
        ]
        for begun in range(0, PART, COMMIT):
            connection.execute("BEGIN")
            connection.executemany(
                "INSERT INTO readings(sensor, at_ms, value) VALUES(?,?,?)", rows[begun : begun + COMMIT]
            )
            connection.execute("COMMIT")
        count += PART
    return count


def in_a_process(readings: int, noise: float | None, after_s: float | None) -> Found:
    """A log in a process of its own, so that what it wrote is its own alone."""
    wanted = json.dumps([readings, noise, after_s])
    command = [
        sys.executable,
        "-m",
        __name__ if __name__ != "__main__" else "tests.bench.bench_packs",
        "--one",
        wanted,
    ]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=7_200, cwd=Path(__file__).parents[2])
    return Found(**json.loads(done.stdout))


def page(readings: int = 200_000, noises: tuple[float | None, ...] = NOISES) -> str:
    """The table of docs/BENCHMARKS.md."""
    lines = [
        "| last digit off by | as | bytes kept a reading | written a byte of body | commit | drain | given back |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for noise in noises:
        name = "17 digits" if noise is None else f"{noise:g}"
        for kind, after_s in (("blocks", None), ("packs", 60.0)):
            one = in_a_process(readings, noise, after_s)
            took = f"{one.commit_us:.0f} µs, at most {one.longest_ms:.0f} ms"
            lines.append(
                f"| {name} | {kind} | {one.kept:.2f} | {one.written / one.body:.2f} | {took} | "
                f"{one.drained_per_second:,.0f}/s, {one.drain_cpu_us:.2f} µs CPU | "
                f"{'all' if one.same else '**not all**'} of {one.readings:,} |"
            )
    texts, plain = plain_table(readings, 1.0)
    lines.append(f"| 1 | a plain SQLite table, key and body as text | {texts:.1f} | | | | |")
    lines.append(f"| 1 | a plain SQLite table of sensor, time and value alone | {plain:.1f} | | | | |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_packs", description="Measure packs.")
    parser.add_argument("--readings", type=int, default=200_000)
    parser.add_argument("--noise", type=float, nargs="*", help="in units of the last digit (0 1 3 10, and 17 digits)")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(asdict(outage(*json.loads(given.one)))))
        return 0
    print(page(given.readings, tuple(given.noise) if given.noise else NOISES))
    return 0


if __name__ == "__main__":
    sys.exit(main())
