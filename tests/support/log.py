"""What tests of the log share: records, claims, a broker of three lines, and a log that runs for a block."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiokafka.record.default_records import DefaultRecordBatch

from sync.batches import frame_batch
from sync.log import LogSettings, SqliteLog
from sync.log.clock import Clock
from sync.log.disk import aside
from sync.log.disk.names import SUFFIX, Names
from sync.values import Batch, Claim, Envelope, Lane, Producer, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sync.log import MemoryLog

TOPIC = "sensor-data"
LIVE = Stream(Lane.LIVE, TOPIC, 0)


def envelope(value: str, lane: Lane = Lane.LIVE, topic: str = TOPIC, size: int = 0) -> Envelope:
    body = value.encode().ljust(size, b".")
    return Envelope(lane, topic, b"site/tank/sensor", body, (("ce_specversion", b"1.0"), ("ce_type", b"test.v1")))


def envelopes(*values: object, lane: Lane = Lane.LIVE, topic: str = TOPIC) -> list[Envelope]:
    return [envelope(str(value), lane, topic) for value in values]


def claim(stream: Stream, sequence: int = 0, producer: int = 7, log_end: int = -1) -> Claim:
    return Claim(stream, Producer(producer, 0), sequence, log_end)


def opened(batch: Batch) -> list[tuple[str, dict[str, bytes]]]:
    """What a broker's reader finds in the batch's own bytes: values and headers, checksum verified."""
    found = DefaultRecordBatch(frame_batch(batch, 1_700_000_000_000))
    assert found.validate_crc()
    records = list(found)
    assert [record.offset for record in records] == list(range(batch.count))
    assert {record.timestamp for record in records} == {1_700_000_000_000}
    return [(record.value.decode().rstrip("."), dict(record.headers)) for record in records]


def values(batch: Batch) -> list[str]:
    return [value for value, _ in opened(batch)]


def names(batch: Batch) -> list[bytes]:
    return [headers["ce_source"] + b"#" + headers["ce_id"] for _, headers in opened(batch)]


async def drain(log: MemoryLog | SqliteLog, max_bytes: int = 1 << 20) -> dict[tuple[Lane, str], list[str]]:
    """Take everything pending, stream by stream, as a shipper with a patient broker would."""
    found: dict[tuple[Lane, str], list[str]] = {}
    for pending in log.streams():
        partition = await log.assign_partition(pending.topic, 1)
        sequence = 0
        stream = Stream(pending.lane, pending.topic, partition)
        while (batch := await log.lease(claim(stream, sequence, producer=99), max_bytes)) is not None:
            found.setdefault((pending.lane, pending.topic), []).extend(values(batch))
            sequence += batch.count
            log.settle(batch, sequence)
    return found


def settings(folder: Path, **more: object) -> LogSettings:
    given: dict[str, object] = {"commit_interval_s": 0.0, "log_stall_s": 1.0, **more}
    return LogSettings(path=folder / "log.sqlite", gateway_id="gw-1", site_id="site-a", **given)  # type: ignore[arg-type]


def put_aside(path: Path) -> Path:
    """Move a closed log away as a daemon does that is killed before it has begun a new one."""
    to = aside.place(path, aside.DAMAGED)
    aside.move(path, to, Names.read(path.with_name(path.name + SUFFIX)))
    return to


@asynccontextmanager
async def running(log: SqliteLog) -> AsyncIterator[SqliteLog]:
    """The log's unit runs inside the block and ends in order with it."""
    task = asyncio.create_task(log.run())
    try:
        yield log
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: object, timeout_s: float = 30.0) -> None:
    """Poll for something that another thread or process brings about."""
    assert callable(condition)
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


class SetClock(Clock):
    """A clock that tests set, synchronised unless they say otherwise.

    `ahead_ms` is time that has passed, on both clocks; `set_by_ms` what the wall clock alone was set by.
    """

    def __init__(self, *, synced: bool = True) -> None:
        super().__init__()
        self.ahead_ms = 0
        self.set_by_ms = 0
        self.trusted = synced

    def wall_ms(self) -> int:
        return super().wall_ms() + self.ahead_ms + self.set_by_ms

    def mono_ms(self) -> int:
        return super().mono_ms() + self.ahead_ms

    def synced(self) -> bool:
        return self.trusted


class StillClock(Clock):
    """Moves only when told, so that nothing is reported or aged by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 1_900_000_000_000
        self.set_by_ms = 0
        self.trusted = True

    def wall_ms(self) -> int:
        return self.now_ms + self.set_by_ms

    def mono_ms(self) -> int:
        return self.now_ms - 1_900_000_000_000 + 86_400_000

    def synced(self) -> bool:
        return self.trusted


def bulky(count: int, lane: Lane = Lane.LIVE, topic: str = TOPIC) -> list[Envelope]:
    """Records that zstd cannot make smaller."""
    random_bytes = random.Random(count)
    return [envelope(random_bytes.randbytes(500).hex(), lane, topic) for _ in range(count)]


@dataclass(frozen=True)
class Filled:
    """A log that was closed in order: a first batch settled, a second leased, the rest pending."""

    log_id: str
    settled: set[str]
    undelivered: set[str]


async def filled(folder: Path, count: int = 40) -> Filled:
    async with running(SqliteLog(settings(folder))) as log:
        await log.assign_partition(TOPIC, 1)
        await log.assign_partition("farm-alerts", 1)
        for i in range(count):
            await log.append([envelope(f"{i}-{k}", size=300) for k in range(5)])
        await log.append(envelopes("alarm", lane=Lane.ALERT, topic="farm-alerts"))
        settled = await log.lease(claim(LIVE), 400)
        assert settled is not None
        log.settle(settled, 0)
        leased = await log.lease(claim(LIVE, settled.count), 400)
        assert leased is not None
        sent = {f"{i}-{k}" for i in range(count) for k in range(5)} | {"alarm"}
        return Filled(log.stats().log_id, set(values(settled)), sent - set(values(settled)))


async def collected(log: SqliteLog) -> tuple[list[str], list[bytes]]:
    """All that the log still gives out, what is unsettled first; and whether it was marked."""
    found: list[str] = []
    marks: list[bytes] = []
    for batch in await log.unsettled():
        found += values(batch)
        marks += [headers.get("possibly_repeated", b"0") for _, headers in opened(batch)]
        log.settle(batch, 0)
    for pending in log.streams():
        if pending.topic not in {TOPIC, "farm-alerts"}:
            continue
        stream = Stream(pending.lane, pending.topic, await log.assign_partition(pending.topic, 1))
        sequence = 0
        while (batch := await log.lease(claim(stream, sequence, producer=99), 1 << 20)) is not None:
            found += values(batch)
            marks += [headers.get("possibly_repeated", b"0") for _, headers in opened(batch)]
            sequence += batch.count
            log.settle(batch, sequence)
    return found, marks
