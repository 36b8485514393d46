"""Every number of a log is a record's, or is told: lost, or never used. L rules: sync/log."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from sync.log import SqliteLog
from sync.log.book.content import RESERVE
from sync.log.commit.engine import Engine
from sync.log.commit.file import LogFile
from sync.log.commit.work import Append, Request, Work
from sync.log.disk import aside
from sync.log.inspect.reader import LogReader
from sync.log.leasing import leases
from sync.log.ledger.entries import REPORT_AFTER_MS
from sync.log.salvage.transfer import Salvage
from sync.values import Lane, LogStalled
from tests.support.log import (
    LIVE,
    TOPIC,
    SetClock,
    bulky,
    claim,
    drain,
    envelopes,
    filled,
    running,
    settings,
    until,
)

if TYPE_CHECKING:
    from pathlib import Path


async def told(log: SqliteLog, clock: SetClock) -> list[dict[str, object]]:
    """The events of the ledger, once it is time for them."""
    clock.ahead_ms += 2 * REPORT_AFTER_MS
    await log.append(envelopes("x", topic="camera-events"))
    found = (await drain(log)).get((Lane.ALERT, "system-events"), [])
    return [{"event": event["event"], **event["data"]} for event in map(json.loads, found)]


async def test_a_reading_lost_to_a_stalled_log_has_a_number_and_the_loss_says_which(tmp_path: Path) -> None:
    log = SqliteLog(settings(tmp_path, log_stall_s=0.3), clock := SetClock())
    async with running(log):
        await log.append(envelopes("before"))
        with closing(sqlite3.connect(tmp_path / "log.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for _ in range(2):
                with pytest.raises(LogStalled):
                    await log.append(envelopes("lost", "too"))
            other.execute("ROLLBACK")
        await until(lambda: not log.stats().stalled)
        await log.append(envelopes("after"))
        lost = log.stats().lost["stalled"]
        # The file was opened anew meanwhile, which leaves numbers unused too.
        (loss,) = [event for event in await told(log, clock) if event["event"] == "records_lost"]
    assert (loss["event"], loss["reason"], loss["lane"], loss["topic"]) == ("records_lost", "stalled", "live", TOPIC)
    assert loss["count"] == lost
    assert int(str(loss["last"])) - int(str(loss["first"])) + 1 == lost


async def test_a_run_that_ended_without_warning_leaves_numbers_that_the_next_one_tells(tmp_path: Path) -> None:
    """L10, also where everything was delivered and removed: the high-water mark stands with the streams."""
    file = LogFile(settings(tmp_path), SetClock())
    book, engine = file.open(), Engine(1 << 30)
    engine.opened(book)
    await _commit(engine, file, 5)
    for origin in book.streams:
        book.connection.execute("DELETE FROM blocks WHERE key BETWEEN ? AND ?", (origin << 48, (origin + 1) << 48))
    file.close(clean=False)

    log = SqliteLog(settings(tmp_path), clock := SetClock())
    async with running(log):
        await log.append(envelopes("next"))
        events = [event for event in await told(log, clock) if event["event"] == "numbers_skipped"]
    assert events == [
        {
            "event": "numbers_skipped",
            "log_id": log.stats().log_id,
            "first": 6,
            "last": RESERVE,
            "reason": "unclosed",
        }
    ]


async def test_what_a_crash_left_unused_is_told_even_if_the_next_run_crashes_before_it_says_so(
    tmp_path: Path,
) -> None:
    for _ in range(3):
        file = LogFile(settings(tmp_path), SetClock())
        file.open()
        file.close(clean=False)
    (loss,) = LogReader(tmp_path / "log.sqlite").losses(9)
    assert (loss.lane, loss.first, loss.last, loss.records) == (None, 1, 2 * RESERVE, 2 * RESERVE)


async def test_numbers_of_a_transaction_that_was_undone_are_given_again_and_nothing_is_told(tmp_path: Path) -> None:
    """L10: each is a record's in the end."""
    file = LogFile(settings(tmp_path), SetClock())
    book, engine = file.open(), Engine(1 << 30)
    engine.opened(book)

    def fail(_: object) -> None:
        raise sqlite3.OperationalError("the disk says no")

    with pytest.raises(sqlite3.OperationalError):
        engine.transact(book, Work([_append(3)], [Request(fail)]))
    await _commit(engine, file, 3)
    book.begin()
    book.assign_partition(TOPIC, 1)
    batch = leases.lease(book, claim(LIVE), 1 << 20)
    assert batch is not None
    assert (batch.first, batch.last) == (1, 3)
    book.rollback()
    assert LogReader(tmp_path / "log.sqlite").losses(9) == []
    file.close(clean=True)


async def test_numbers_of_a_commit_that_failed_are_told_with_the_next_one(tmp_path: Path) -> None:
    """L10: it may be on disk for all we know, so they cannot be given again."""
    file = LogFile(settings(tmp_path), SetClock())
    book, engine = file.open(), Engine(1 << 30)
    engine.opened(book)
    await _commit(engine, file, 2)
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as other:
        # A COMMIT that fails, and is not on disk.
        book.connection.execute("CREATE TEMP TABLE parent(id INTEGER PRIMARY KEY)")
        book.connection.execute("PRAGMA foreign_keys=ON")
        book.connection.execute("CREATE TEMP TABLE child(id REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED)")
        for _ in range(2):
            spoil = Request(lambda book: book.connection.execute("INSERT INTO child VALUES(1)") and None)
            with pytest.raises(sqlite3.IntegrityError):
                engine.transact(book, Work([_append(4)], [spoil]))
        assert other.execute("SELECT count(*) FROM ledger").fetchone() == (0,)
    await _commit(engine, file, 1)
    (loss,) = LogReader(tmp_path / "log.sqlite").losses(9)
    assert (loss.lane, loss.first, loss.last, loss.reason) == (None, 3, 10, "rollback")
    assert book.next_number == 12
    file.close(clean=True)


async def test_what_a_salvage_brings_over_keeps_its_names_and_its_new_numbers_are_told_as_no_ones(
    tmp_path: Path,
) -> None:
    """What is evicted of it later is told by the names that it has, and what the old file had to tell is told too."""
    before = await filled(tmp_path)
    file = LogFile(settings(tmp_path), SetClock())
    file.open()
    file.close(clean=False)
    file.open()
    file.put_aside(aside.DAMAGED)
    (damaged_file,) = aside.files(tmp_path / "log.sqlite")
    with closing(sqlite3.connect(damaged_file)) as damaged:
        ((middle,),) = damaged.execute("SELECT key FROM blocks ORDER BY key LIMIT 1 OFFSET 20")
        ((gone,),) = damaged.execute("SELECT records FROM blocks WHERE key=?", (middle,))
        damaged.execute("UPDATE blocks SET checksum=0 WHERE key=?", (middle,))
        damaged.commit()
    book, engine = file.open(), Engine(1 << 30)
    engine.opened(book)
    assert book.names.log_id != before.log_id
    salvage = Salvage.next(book, patient=True)
    assert salvage is not None
    while not salvage.finished:
        engine.transact(book, Work(), salvage)
    saved = salvage.saved
    engine.max_bytes = 0
    while engine.transact(book, Work()) or engine.figures.trim_more:
        pass
    salvage.close()
    losses = LogReader(tmp_path / "log.sqlite").losses(1_000)
    file.close(clean=True)

    (unclosed,) = [loss for loss in losses if loss.reason == "unclosed"]
    assert (unclosed.log_id, unclosed.lane) == (before.log_id, None)
    skipped = [loss for loss in losses if loss.reason == "salvaged"]
    assert sum(loss.records for loss in skipped) == saved == len(before.undelivered) - gone
    assert {loss.log_id for loss in skipped} == {book.names.log_id}
    (corrupt,) = [loss for loss in losses if loss.reason == "corrupt"]
    assert (corrupt.log_id, corrupt.records) == (before.log_id, gone)
    assert (corrupt.first or 0) <= middle & ((1 << 48) - 1) <= (corrupt.last or 0)
    evicted = [loss for loss in losses if loss.reason == "evicted" and loss.log_id == before.log_id]
    leased = sum(state.lease.records for state in book.streams.values() if state.lease)
    assert sum(loss.records for loss in evicted) == saved - leased


async def test_removals_are_one_entry_only_where_nothing_of_the_stream_lies_between(tmp_path: Path) -> None:
    """D8: what is leased stays, so its numbers are not in an entry of what went around it."""
    log = SqliteLog(settings(tmp_path, max_bytes=4 * 1024**2))
    async with running(log):
        await log.assign_partition(TOPIC, 1)
        for _ in range(3):
            await log.append(bulky(60))
        kept = await log.lease(claim(LIVE), 1)
        assert kept is not None
        while log.stats().lost.get("evicted", 0) < 3_000:
            await log.append(bulky(200))
            await log.append(bulky(20, topic="camera-events"))
        losses = LogReader(tmp_path / "log.sqlite").losses(99)
    mine = [loss for loss in losses if loss.topic == TOPIC]
    for loss in mine:
        assert loss.first is not None
        assert loss.last is not None
        assert not loss.first <= kept.first <= loss.last
        assert loss.records <= loss.last - loss.first + 1
    assert sum(loss.records for loss in losses) == log.stats().lost["evicted"]
    assert len(mine) == 1


def _append(count: int) -> Append:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    return Append(envelopes(*range(count)), done, 0.0)


async def _commit(engine: Engine, file: LogFile, count: int) -> None:
    assert file.book is not None
    engine.transact(file.book, Work([_append(count)]))
