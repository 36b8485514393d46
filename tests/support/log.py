"""What tests of the log share: records, claims, a broker of three lines, and a log that runs for a block."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from aiokafka.record.default_records import DefaultRecordBatch

from sync.batches import frame_batch
from sync.log import LogSettings, SqliteLog
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
