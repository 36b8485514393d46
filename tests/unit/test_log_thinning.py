"""Old telemetry becomes one-minute aggregates before anything is lost. L and D rules: sync/log, docs/DELIVERY.md."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from agent.events import Minutes
from agent.events.records import SensorMinute
from sync.log import LogSettings, MemoryLog
from sync.log.disk.blocks import Record
from sync.log.retention.thinning import pending_bytes
from sync.values import Lane, Stream
from tests.support.days import Centre, MovedClock, live_through
from tests.support.log import LIVE, claim

if TYPE_CHECKING:
    from pathlib import Path

    from sync.log.book.content import Book

BACKFILL = Stream(Lane.BACKFILL, "sensor-data", 0)
BOUND = 5 * 1024**2


def a_log(tmp_path: Path, max_bytes: int = BOUND) -> tuple[MemoryLog, MovedClock]:
    clock = MovedClock()
    given = LogSettings(tmp_path / "log.sqlite", "gw-1", "site-a", max_bytes=max_bytes, fold=Minutes())
    return MemoryLog(given, clock), clock


async def delivered(log: MemoryLog, clock: MovedClock) -> Centre:
    """All of it, the ledger's last entries included."""
    centre = Centre(log.stats().log_id)
    for _ in range(3):
        # What goes while it is told is told in its turn.
        await quiet(log)
        clock.at += timedelta(hours=1)
        await log.hand_to_backfill(0)
        await log.cursor("nothing")
        for pending in log.streams():
            stream = Stream(pending.lane, pending.topic, await log.assign_partition(pending.topic, 1))
            while (batch := await log.lease(claim(stream, log.stats().next_seq, producer=99), 1 << 20)) is not None:
                centre.take(batch)
                log.settle(batch, 0)
    return centre


async def quiet(log: MemoryLog) -> None:
    while log._figures.trim_more:
        await asyncio.sleep(0)


async def test_days_that_the_log_cannot_hold_end_as_aggregates_with_every_number_accounted_for(
    tmp_path: Path,
) -> None:
    log, clock = a_log(tmp_path)
    alerts = await live_through(log, clock, days=3, every_s=120, per_commit=160)
    await quiet(log)
    assert log.stats().bytes_used <= BOUND
    assert log.stats().lost.get("evicted", 0) == 0
    centre = await delivered(log, clock)

    assert len(centre.alerts) == alerts
    assert set(centre.numbers.values()) == {1}
    assert centre.unexplained(log.stats().next_seq - 1) == []
    assert {entry["event"] for entry in centre.ledger} == {"records_thinned"}
    # The newest whole, what is older as aggregates, and nothing of the three days without either.
    assert centre.readings
    assert centre.minutes
    newest_aggregate = max(minute["at"] for minute in centre.minutes)
    oldest_reading = min(reading["at"] for reading in centre.readings.values())
    assert oldest_reading[:16] >= newest_aggregate[:16]
    assert sum(minute["count"] for minute in centre.minutes) + len(centre.readings) == 3 * 720 * 160
    assert sum(entry["data"]["into"]["count"] for entry in centre.ledger) == len(centre.minutes)


async def test_what_even_aggregates_do_not_fit_in_goes_oldest_first_and_alerts_stay(tmp_path: Path) -> None:
    log, clock = a_log(tmp_path, 4 * 1024**2)
    alerts = await live_through(log, clock, days=3, every_s=120, per_commit=160, sensors=40)
    await quiet(log)
    assert log.stats().lost.get("evicted", 0) > 0
    centre = await delivered(log, clock)
    assert len(centre.alerts) == alerts
    assert centre.unexplained(log.stats().next_seq - 1) == []


async def test_an_aggregate_says_what_its_readings_said(tmp_path: Path) -> None:
    log, clock = a_log(tmp_path)
    await live_through(log, clock, days=600 / 86_400, every_s=20, per_commit=40)
    whole = MemoryLog(LogSettings(tmp_path / "x", "gw-1", "site-a"), MovedClock())
    await live_through(whole, whole._clock, days=600 / 86_400, every_s=20, per_commit=40)  # type: ignore[arg-type]
    readings = (await delivered(whole, whole._clock)).readings  # type: ignore[arg-type]
    await log.hand_to_backfill(0)
    folded = await log.thin_backfill(0)
    assert folded > 600
    centre = await delivered(log, clock)
    for minute in centre.minutes:
        found = SensorMinute.model_validate(minute)
        numbers = range(found.seq_first, found.seq_last + 1)
        mine = [readings[n] for n in numbers if n in readings and readings[n]["sensor_id"] == found.sensor_id]
        of = [reading["value"] for reading in mine]
        assert (found.count, found.min, found.max, found.last) == (len(of), min(of), max(of), of[-1])
        assert abs(found.mean - sum(of) / len(of)) < 1e-9
        assert (found.quality, found.unreadable, found.log_id) == ("unjudged", 0, log.stats().log_id)
        assert found.seq_last - found.seq_first >= found.count - 1
    assert centre.unexplained(log.stats().next_seq - 1) == []


async def test_a_backfill_is_thinned_only_as_far_as_asked(tmp_path: Path) -> None:
    log, clock = a_log(tmp_path)
    await live_through(log, clock, days=0.1, every_s=60, per_commit=400)
    await log.hand_to_backfill(0)
    before = log.stats().depth[Lane.BACKFILL]
    folded = await log.thin_backfill(pending_bytes(log._book, Lane.BACKFILL) // 2)
    after = log.stats().depth[Lane.BACKFILL]
    assert 0 < folded < before
    assert after < before
    assert await log.thin_backfill(1 << 30) == 0
    assert log.stats().depth[Lane.BACKFILL] == after


async def test_what_was_leased_while_its_minute_was_read_is_not_thinned(tmp_path: Path) -> None:
    """D8: and its minute is begun again with what is left."""
    log, clock = a_log(tmp_path)
    await log.assign_partition("sensor-data", 1)
    await live_through(log, clock, days=0.01, every_s=20, per_commit=40)
    book: Book = log._book
    thinner = log._engine.thinner
    thinner.pressing = True
    while thinner._minute is None or not thinner._minute.ready:
        thinner.prepare(book)
    thinner.pressing = False
    batch = await log.lease(claim(LIVE), 1)
    assert batch is not None
    assert thinner._minute is None
    (again,) = await log.unsettled()
    assert again.body == batch.body
    log.settle(batch, 0)
    await log.hand_to_backfill(0)
    await log.thin_backfill(0)
    centre = await delivered(log, clock)
    centre.take(batch)
    assert centre.unexplained(log.stats().next_seq - 1) == []


@pytest.mark.parametrize("damage", ["checksum=checksum+1", "records=1 << 40, body=x'00'", "records='x', checksum=0"])
async def test_a_damaged_block_is_counted_and_its_minute_says_so(tmp_path: Path, damage: str) -> None:
    log, clock = a_log(tmp_path)
    await live_through(log, clock, days=0.01, every_s=20, per_commit=40)
    keys = [key for (key,) in log._book.connection.execute("SELECT key FROM blocks WHERE records>1 ORDER BY key")]
    for key in (keys[3], keys[9], keys[10], keys[11]):
        log._book.connection.execute(f"UPDATE blocks SET {damage} WHERE key=?", (key,))
    await log.hand_to_backfill(0)
    await log.thin_backfill(0)
    centre = await delivered(log, clock)
    lost = [entry["data"] for entry in centre.ledger if entry["event"] == "records_lost"]
    assert sum(entry["count"] for entry in lost) == 160
    assert {minute["unreadable"] for minute in centre.minutes} >= {40}
    assert centre.unexplained(log.stats().next_seq - 1) == []


def test_what_is_no_reading_is_not_folded() -> None:
    name = (("ce_id", b"ab-7"),)
    reading = {"sensor_id": "a", "value": 1.5, "at": "2026-03-01T12:00:00.000Z", "quality": "good"}
    for odd in ({**reading, "value": None}, {"min": 1, "at": reading["at"]}, [], {**reading, "quality": "new"}):
        assert not Minutes().begin(0).add([Record(b"k", json.dumps(odd).encode(), name)])
    assert not Minutes().begin(0).add([Record(b"k", json.dumps(reading).encode(), ())])
    assert Minutes().begin(0).add([Record(b"k", json.dumps(reading).encode(), name)])
