"""What the log costs: readings from `append` to fsync, and CPU for each, at full load and at a sensor's pace.

python tests/bench/bench_log.py [FOLDER]
"""

from __future__ import annotations

import asyncio
import os
import platform
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sync.log import LogSettings, SqliteLog
from sync.log.disk import blocks as block_codec
from sync.values import Claim, Envelope, Lane, Producer, Stream

TOPIC = "sensor-data"


def envelopes(count: int) -> list[Envelope]:
    """Readings as the hub writes them: about 180 bytes of JSON, four headers, to which the log adds two."""
    found = []
    for i in range(count):
        at = f"2026-11-23T18:{i // 60_000 % 60:02}:{i // 1000 % 60:02}.{i % 1000:03}Z"
        value = 25 + (i * 7919 % 997) / 500
        body = (
            f'{{"sensor_id":"temp_{i % 50:03}","sensor_type":"temperature","value":{value:.2f},"unit":"degC",'
            f'"tank_id":"tank_{i % 7:03}","site_id":"site-a","at":"{at}","at_from":"gateway","quality":"unjudged"}}'
        )
        found.append(
            Envelope(
                Lane.LIVE,
                TOPIC,
                f"site-a/tank_{i % 7:03}/temp_{i % 50:03}".encode(),
                body.encode(),
                (
                    ("ce_specversion", b"1.0"),
                    ("ce_type", b"tidegate.sensor-data.v1"),
                    ("content-type", b"application/json"),
                    ("ce_time", at.encode()),
                ),
            )
        )
    return found


@dataclass
class Figure:
    """One line of the table."""

    name: str
    value: str


async def full_load(folder: Path, *, offers: bool, records: int = 400_000, call: int = 200) -> list[Figure]:
    """Batches of 200, up to 50 outstanding, as a driver with a window of 10,000 would hand them over."""
    readings = envelopes(10_000)
    batches = [readings[i : i + call] for i in range(0, len(readings), call)]
    log = SqliteLog(LogSettings(path=folder / f"load-{offers}.sqlite", gateway_id="bench", max_bytes=256 * 1024**2))
    running = asyncio.create_task(log.run())
    await log.append(readings[:10])
    partition = await log.assign_partition(TOPIC, 6)
    shipping = asyncio.create_task(settle_all(log, partition)) if offers else None
    window = asyncio.Semaphore(50)
    began, cpu = time.perf_counter(), time.process_time()
    last = None
    for i in range(records // call):
        await window.acquire()
        last = log.append(batches[i % len(batches)])
        last.add_done_callback(lambda _: window.release())
    assert last is not None
    await last
    took, used = time.perf_counter() - began, time.process_time() - cpu
    stats = log.stats()
    if shipping:
        shipping.cancel()
        with suppress(asyncio.CancelledError):
            await shipping
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    name = "append to fsync, leased and settled" if offers else "append to fsync"
    return [
        Figure(f"{name}: readings/s", f"{records / took:,.0f}"),
        Figure(f"{name}: CPU a reading", f"{used / records * 1e6:.2f} µs"),
        Figure(f"{name}: commits, mean", f"{stats.commits}, {stats.commit_s_sum / stats.commits * 1e3:.1f} ms"),
    ]


async def settle_all(log: SqliteLog, partition: int) -> None:
    """A shipper whose broker answers at once."""
    sequence = 0
    while True:
        claim = Claim(Stream(Lane.LIVE, TOPIC, partition), Producer(1, 0), sequence)
        batch = await log.offer(claim, 1024**2)
        sequence += batch.count
        log.settle(batch, sequence)


async def drain(folder: Path, records: int = 200_000) -> list[Figure]:
    """A backlog in blocks of 40, as 200 readings/s leave it, leased and settled as fast as the log allows."""
    readings = envelopes(4_000)
    settings = LogSettings(
        path=folder / "drain.sqlite", gateway_id="bench", commit_records=40, max_bytes=256 * 1024**2
    )
    log = SqliteLog(settings)
    running = asyncio.create_task(log.run())
    for i in range(records // 40):
        await log.append(readings[i * 40 % 4_000 : i * 40 % 4_000 + 40])
    partition = await log.assign_partition(TOPIC, 6)
    began, cpu, sequence = time.perf_counter(), time.process_time(), 0
    while sequence < records:
        claim = Claim(Stream(Lane.LIVE, TOPIC, partition), Producer(1, 0), sequence)
        batch = await log.lease(claim, 1024**2)
        assert batch is not None
        sequence += batch.count
        log.settle(batch, sequence)
    took, used = time.perf_counter() - began, time.process_time() - cpu
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return [
        Figure("drain of blocks of 40: records/s", f"{records / took:,.0f}"),
        Figure("drain of blocks of 40: CPU a record", f"{used / records * 1e6:.2f} µs"),
    ]


async def idle_cpu(folder: Path, seconds: float = 10.0) -> list[Figure]:
    """200 readings/s in calls of ten, at the default interval, settled as they come."""
    readings = envelopes(4_000)
    log = SqliteLog(LogSettings(path=folder / "idle.sqlite", gateway_id="bench"))
    running = asyncio.create_task(log.run())
    await log.append(readings[:1])
    shipping = asyncio.create_task(settle_all(log, await log.assign_partition(TOPIC, 6)))
    cpu = time.process_time()
    for i in range(int(seconds * 20)):
        log.append(readings[i * 10 % 4_000 : i * 10 % 4_000 + 10])
        await asyncio.sleep(0.05)
    used = time.process_time() - cpu
    shipping.cancel()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return [Figure("200/s, commit each 0.2 s: CPU", f"{used / seconds * 100:.2f} % of a core")]


def written() -> int:
    """What this process has had written to storage, in bytes."""
    said = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(said["write_bytes"])


def codec() -> list[Figure]:
    """The block codec by itself."""
    readings = envelopes(4_000)
    namer = block_codec.Namer("bench", "0123456789ab")

    def best(work: object, records: int) -> str:
        assert callable(work)
        took = []
        for _ in range(7):
            began = time.perf_counter()
            work()
            took.append(time.perf_counter() - began)
        return f"{min(took) / records * 1e6:.2f} µs"

    small = [block for i in range(0, 4_000, 40) for block in block_codec.encode(readings[i : i + 40], i, namer, 3)]
    parts = [(block.records, block.body) for block in small]
    return [
        Figure("encode 4,000 with 6 headers, zstd 3", best(lambda: block_codec.encode(readings, 1, namer, 3), 4_000)),
        Figure(
            "encode 40 with 6 headers, zstd 3",
            best(lambda: block_codec.encode(readings[:40], 1, namer, 3), 40),
        ),
        Figure("join blocks of 40 into 4,000", best(lambda: block_codec.join(parts, 3), 4_000)),
    ]


async def main(folder: Path) -> None:
    """Print one line a figure."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {folder}")
    _show(codec())
    _show(await full_load(folder, offers=False))
    _show(await full_load(folder, offers=True))
    _show(await drain(folder))
    _show(await idle_cpu(folder))


def _show(figures: list[Figure]) -> None:
    for figure in figures:
        print(f"{figure.name:60} {figure.value}", flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as made:
        asyncio.run(main(Path(made)))
